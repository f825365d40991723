"""Complex numbers as pairs: a real tensor with one axis more, at its end: the real part, then the imaginary one."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from isthmus.readers.tensorflow.builder import Builder
from isthmus.readers.tensorflow.handles import Complex


def parts(op: Builder, z: Complex) -> tuple[ir.Value, ir.Value]:
    """The real and the imaginary part, each with the axis of the pair, now of size 1."""
    first, second = op.Split(z.pairs, axis=-1, num_outputs=2, outputs=2)
    return first, second


def joined(op: Builder, real: Any, imaginary: Any) -> Complex:
    """A complex tensor of two parts that have the axis of the pair."""
    return Complex(op.Concat(real, imaginary, axis=-1))


def real(op: Builder, z: Complex) -> ir.Value:
    return op.Squeeze(parts(op, z)[0], [-1])


def imaginary(op: Builder, z: Complex) -> ir.Value:
    return op.Squeeze(parts(op, z)[1], [-1])


def of_real(op: Builder, x: ir.Value) -> Complex:
    """A real tensor as a complex one."""
    x = op.Unsqueeze(x, [-1])
    return joined(op, x, op.Expand(op.constant(0, x.dtype), op.Shape(x)))


def conjugate(op: Builder, z: Complex) -> Complex:
    a, b = parts(op, z)
    return joined(op, a, op.Neg(b))


def product(op: Builder, z: Complex, w: Complex) -> Complex:
    (a, b), (c, d) = parts(op, z), parts(op, w)
    return joined(op, op.Sub(op.Mul(a, c), op.Mul(b, d)), op.Add(op.Mul(a, d), op.Mul(b, c)))


def quotient(op: Builder, z: Complex, w: Complex) -> Complex:
    over = op.ReduceSumSquare(w.pairs, [-1], keepdims=1)
    return Complex(op.Div(product(op, z, conjugate(op, w)).pairs, over))


def modulus(op: Builder, z: Complex) -> ir.Value:
    """|z|, without the axis of the pair."""
    return op.ReduceL2(z.pairs, [-1], keepdims=0)


def polar(op: Builder, size: ir.Value, angle: ir.Value) -> Complex:
    """size · exp(i · angle); both have the axis of the pair."""
    return joined(op, op.Mul(size, op.Cos(angle)), op.Mul(size, op.Sin(angle)))
