"""Images sampled along their axes: by matrices of weights, or at places."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from isthmus.readers.tensorflow.builder import Builder
from isthmus.readers.tensorflow.ops._sizes import int64, size

FLOAT = ir.DataType.FLOAT


def extents(op: Builder, images: ir.Value) -> list[ir.Value]:
    """Height and width of images with their channels last, each as a vector of one element."""
    return [size(op, images, axis) for axis in (1, 2)]


def asked(op: Builder, sizes: Any) -> list[Any]:
    """The two sizes of an operand, each as a vector of one element."""
    sizes = int64(op, sizes)
    if isinstance(sizes, np.ndarray):
        return [op.constant(sizes[axis : axis + 1]) for axis in (0, 1)]
    return [op.Slice(sizes, [axis], [axis + 1]) for axis in (0, 1)]


def real(op: Builder, value: Any) -> ir.Value:
    """As float32."""
    return value if value.dtype == FLOAT else op.Cast(value, to=FLOAT)


def steps(op: Builder, length: ir.Value) -> ir.Value:
    """0, 1, 2 … as float32; ``length`` is a vector of one element."""
    return op.Cast(op.Range(np.int64(0), op.Squeeze(length, [0]), np.int64(1)), to=FLOAT)


def scale_of(op: Builder, given: ir.Value, made: ir.Value, *, align_corners: bool) -> ir.Value:
    """How far apart samples are, as TensorFlow calculates it, in float32."""
    plain = op.Div(real(op, given), real(op, made))
    if not align_corners:
        return plain
    inner = op.Div(real(op, op.Sub(given, 1)), real(op, op.Max(op.Sub(made, 1), op.constant([1]))))
    return op.Where(op.Greater(made, 1), inner, plain)


def rounded(op: Builder, x: ir.Value) -> ir.Value:
    """To the nearest, halves away from zero."""
    whole = op.Floor(x)
    up = op.GreaterOrEqual(op.Sub(x, whole), 0.5)
    negative_half = op.And(op.Less(x, 0.0), op.Equal(op.Sub(x, whole), 0.5))
    return op.Add(whole, op.Cast(op.And(up, op.Not(negative_half)), to=FLOAT))


def between(op: Builder, x: ir.Value, low: Any, high: Any) -> ir.Value:
    """``x``, at least ``low`` and at most ``high``; these may be vectors of one element."""
    return op.Min(op.Max(x, low), high)


def column(op: Builder, x: ir.Value) -> ir.Value:
    """A vector as a column."""
    return op.Unsqueeze(x, [1])


def resampled(op: Builder, images: ir.Value, rows: ir.Value, columns: ir.Value) -> ir.Value:
    """Images with their channels last times matrices (made, given) along their height and width."""
    shape = op.Shape(images)
    flat = op.Reshape(images, [0, 0, -1])
    high = op.MatMul(rows, flat)
    rest = op.Slice(shape, [2], [4])
    target = op.Concat(op.Shape(high, end=2), rest, axis=0)
    return op.MatMul(columns, op.Reshape(high, target, allowzero=1))


def at(op: Builder, images: ir.Value, which: ir.Value, y: ir.Value, x: ir.Value) -> ir.Value:
    """Pixels (…, channels) of images with their channels last, at whole places that are inside; int64, broadcast."""
    height, width = extents(op, images)
    depth = op.Shape(images, start=3)
    pixels = op.Reshape(images, op.Concat(op.constant([-1]), depth, axis=0))
    index = op.Add(op.Mul(op.Add(op.Mul(which, height), y), width), x)
    return op.Gather(pixels, index, axis=0)
