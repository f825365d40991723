"""The angle of a point in the plane."""

from __future__ import annotations

import math

import onnx_ir as ir

from isthmus.readers.tensorflow.builder import Builder


def atan2(op: Builder, y: ir.Value, x: ir.Value) -> ir.Value:
    """The angle of (x, y), of signed zeros and infinities as well; NaN where either is."""
    height, width = op.Abs(y), op.Abs(x)
    flat = op.Less(height, width)
    small, large = op.Where(flat, height, width), op.Where(flat, width, height)
    alike = op.Where(op.Equal(large, 0.0), small, op.Sign(small))
    ratio = op.Where(op.Equal(small, large), alike, op.Div(small, large))
    angle = op.Atan(ratio)
    angle = op.Where(flat, angle, op.Where(op.Equal(large, 0.0), angle, op.Sub(math.pi / 2, angle)))
    angle = op.Where(is_negative(op, x), op.Sub(math.pi, angle), angle)
    return op.Where(is_negative(op, y), op.Neg(angle), angle)


def is_negative(op: Builder, x: ir.Value) -> ir.Value:
    """Whether the sign is minus, that of zero as well."""
    return op.Less(op.Where(op.Equal(x, 0.0), op.Reciprocal(x), x), 0.0)
