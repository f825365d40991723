"""Small words for emitting ONNX inside torch's exporter: typed constants, sizes, positions, matrices of masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript import opset23 as op

Value = Any
"""A value of the graph under construction (``ir.Value``), or None where an operator has an optional input."""

INT64 = ir.DataType.INT64
BOOL = ir.DataType.BOOL


def ints(*values: int) -> Value:
    """A constant int64[n]."""
    return op.Constant(value=ir.tensor(np.array(values, dtype=np.int64)))


def number(value: float, like: Value) -> Value:
    """A constant scalar of the element type of ``like``, which must be known."""
    return op.Constant(value=ir.tensor(np.array(value).astype(like.dtype.numpy())))


def typed(value: Value, like: Value) -> Value:
    """``value``, a fresh result of no recorded type, declared to have the element type of ``like``."""
    value.dtype = like.dtype
    return value


def scalar(value: Any, like: Value) -> Value:
    """A Python number as a constant of ``like``'s type; a value of the graph cast to it."""
    return number(value, like) if isinstance(value, (bool, int, float)) else op.CastLike(value, like)


def rank(value: Value) -> int:
    """The rank, known for every value that torch.export gives."""
    return len(value.shape)


def axis_of(value: Value, dim: int) -> int:
    """``dim`` counted from the front."""
    return dim % max(rank(value), 1)


def size(value: Value, axis: int) -> Value:
    """int64[1]: the size along ``axis``, a constant where it is known."""
    known = None if value.shape is None else value.shape[axis]
    if isinstance(known, int):
        return ints(known)
    end = None if axis == -1 else axis + 1
    return op.Shape(value, start=axis, end=end)


def dim(value: Any) -> Value:
    """int64[1] from a Python int or a symbolic one."""
    return ints(value) if isinstance(value, int) else op.Reshape(value, ints(-1))


def static_size(value: Value, axis: int) -> int | None:
    """The size along ``axis`` where it is known."""
    known = value.shape[axis]
    return known if isinstance(known, int) else None


def positions(count: Value) -> Value:
    """int64[n]: 0 … n-1 for ``count`` int64[1]."""
    return op.Range(ints_scalar(0), op.Squeeze(count, ints(0)), ints_scalar(1))


def ints_scalar(value: int) -> Value:
    """A constant int64 scalar."""
    return op.Constant(value=ir.tensor(np.array(value, dtype=np.int64)))


def moved(value: Value, ndim: int, source: int, target: int) -> Value:
    """``value`` with axis ``source`` moved to ``target``."""
    order = [axis for axis in range(ndim) if axis != source % ndim]
    order.insert(target % ndim, source % ndim)
    return value if order == list(range(ndim)) else op.Transpose(value, perm=order)


def swapped(value: Value, ndim: int) -> Value:
    """The last two axes exchanged."""
    return op.Transpose(value, perm=[*range(ndim - 2), ndim - 1, ndim - 2])


def squeezed(value: Value, axis: int, keep: bool) -> Value:
    """``value`` without ``axis``, unless it is to be kept."""
    return value if keep else op.Squeeze(value, ints(axis))


def reduced(kind: int, value: Value) -> Value:
    """A loss by ATen's reduction code: 0 none, 1 mean, 2 sum."""
    if kind == 0:
        return value
    return op.ReduceMean(value, keepdims=0) if kind == 1 else op.ReduceSum(value, keepdims=0)


def cut(value: Value, axis: int, start: int, end: int) -> Value:
    """``value[start:end]`` along ``axis``."""
    return op.Slice(value, ints(start), ints(end), ints(axis))


def joined(values: Sequence[Value], axis: int) -> Value:
    """Concatenation; a lone value stays as it is."""
    return values[0] if len(values) == 1 else op.Concat(*values, axis=axis)
