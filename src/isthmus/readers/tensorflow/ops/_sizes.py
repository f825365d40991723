"""Sizes, axes and indices as int64, whether known or computed; complex tensors as the pairs that stand for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from isthmus.readers.tensorflow.builder import Builder
from isthmus.readers.tensorflow.handles import Complex

INT64 = ir.DataType.INT64
LAST = np.iinfo(np.int64).max
"""As the end of a Slice: to the end, whatever the size."""
FIRST = np.iinfo(np.int64).min
"""As the end of a Slice with a negative step: to the beginning, itself included."""


def int64(op: Builder, value: Any) -> Any:
    """Integers as int64: an array stays an array, a value is cast where it is not int64 already."""
    if not isinstance(value, ir.Value):
        return np.asarray(value, np.int64)
    return value if value.dtype == INT64 else op.Cast(value, to=INT64)


def vector(op: Builder, value: Any) -> Any:
    """A scalar, or a vector of one element, as an int64 vector of one element."""
    value = int64(op, value)
    return value.reshape(1) if isinstance(value, np.ndarray) else op.Reshape(value, [1])


def positive(axis: Any, rank: int) -> int:
    """An axis counted from the front."""
    axis = int(np.asarray(axis).reshape(()))
    return axis + rank if axis < 0 else axis


def front(c: Any, axis: Any, index: int = 0, more: int = 0) -> int:
    """An axis of input ``index``, which has ``more`` of them, counted from the front; asked only if need be."""
    axis = int(np.asarray(axis).reshape(()))
    return axis if axis >= 0 else axis + int(c.rank(index)) + more


def size(op: Builder, value: ir.Value, axis: int) -> ir.Value:
    """The size of one axis, counted from the front, as a vector of one element."""
    return op.Shape(value, start=axis, end=axis + 1)


def counted(op: Builder, length: Any) -> ir.Value:
    """0, 1, 2 … ``length`` - 1 as int64; ``length`` is a vector of one element, or a number."""
    if not isinstance(length, ir.Value):
        return op.constant(np.arange(int(np.asarray(length).reshape(())), dtype=np.int64))
    return op.Range(np.int64(0), op.Squeeze(length, [0]), np.int64(1))


def filled(op: Builder, number: Any, dtype: ir.DataType, shape: Any) -> ir.Value:
    """A tensor of one number."""
    return op.Expand(op.constant(np.asarray(number), dtype), shape)


def through_float(op: Builder, x: ir.Value, moved: Callable[[ir.Value], ir.Value]) -> ir.Value:
    """``moved(x)``, an operator that only moves elements and does not take bfloat16."""
    if x.dtype != ir.DataType.BFLOAT16:
        return moved(x)
    found: ir.Value = op.Cast(moved(op.Cast(x, to=ir.DataType.FLOAT)), to=ir.DataType.BFLOAT16)
    return found


def entry(op: Builder, numbers: Any, index: int) -> Any:
    """One entry of a scalar or vector, as a vector of one element; -1 is the last."""
    if isinstance(numbers, np.ndarray):
        return int64(op, numbers).reshape(-1)[index].reshape(1)
    return op.Gather(op.Reshape(int64(op, numbers), [-1]), np.asarray([index]), axis=0)


def strides(op: Builder, sizes: ir.Value, rank: int) -> ir.Value:
    """How many elements one step on each axis passes over."""
    steps = [op.constant(np.asarray([1], np.int64))]
    for axis in range(rank - 1, 0, -1):
        steps.insert(0, op.Mul(steps[0], entry(op, sizes, axis)))
    return op.Concat(*steps, axis=0)


def tensor_of(value: Any) -> Any:
    """The tensor itself, or the pairs that stand for a complex one: one axis more, at the end."""
    return value.pairs if isinstance(value, Complex) else value


def like(source: Any, *results: ir.Value) -> Any:
    """``results`` as what ``source`` is: complex or real."""
    found = tuple(Complex(result) for result in results) if isinstance(source, Complex) else results
    return found[0] if len(found) == 1 else found


def with_pairs(op: Builder, source: Any, shape: Any) -> Any:
    """A target shape for the tensor that stands for ``source``."""
    if not isinstance(source, Complex):
        return shape
    if isinstance(shape, np.ndarray):
        return np.append(shape, np.int64(2))
    return op.Concat(shape, [2], axis=0)


def rows(op: Builder, c: Any, value: ir.Value, index: int, leading: int) -> ir.Value:
    """A tensor, input ``index`` of the operation, with its ``leading`` axes as one; with none, that one is 1."""
    if leading == 1:
        return value
    rest = c.shape(index)[leading:]
    if all(isinstance(n, int) and n > 0 for n in rest):
        return op.Reshape(value, [-1, *rest])
    count = op.ReduceProd(op.Shape(value, end=leading), keepdims=True)
    return op.Reshape(value, op.Concat(count, op.Shape(value, start=leading), axis=0), allowzero=1)
