"""Functions of one tensor, element by element."""

from __future__ import annotations

import math

import onnx_ir as ir

from isthmus.readers.tensorflow.contract import ComplexOrReal, Reads
from isthmus.readers.tensorflow.handles import Complex
from isthmus.readers.tensorflow.ops import _complex as cx
from isthmus.readers.tensorflow.ops._angle import atan2

table = Reads()
read = table.read

table.alias(
    Acos="Acos",
    Acosh="Acosh",
    Asin="Asin",
    Asinh="Asinh",
    Atan="Atan",
    Atanh="Atanh",
    Ceil="Ceil",
    Cosh="Cosh",
    Erf="Erf",
    Floor="Floor",
    IsNan="IsNaN",
    Rint="Round",
    Sinh="Sinh",
    Tan="Tan",
)


@read("Neg")
def neg(op, x: ComplexOrReal):
    return Complex(op.Neg(x.pairs)) if isinstance(x, Complex) else op.Neg(x)


@read("Abs")
def absolute(op, x):
    return op.Abs(x)


@read("Sign")
def sign(op, c, x: ComplexOrReal):
    if isinstance(x, Complex):
        size = op.Unsqueeze(cx.modulus(op, x), [-1])
        return Complex(op.Where(op.Equal(size, 0.0), op.constant(0, size.dtype), op.Div(x.pairs, size)))
    return op.Where(op.IsNaN(x), x, op.Sign(x)) if c.dtype().is_floating else op.Sign(x)


@read("Relu")
def relu(op, c, x):
    return op.Identity(x) if c.dtype().is_unsigned else op.Relu(x)


@read("Round")
def round_half_even(op, c, x):
    return op.Identity(x) if c.dtype().is_integer else op.Round(x)


@read("Sqrt")
def sqrt(op, x: ComplexOrReal):
    return _sqrt(op, x) if isinstance(x, Complex) else op.Sqrt(x)


@read("Rsqrt")
def rsqrt(op, x: ComplexOrReal):
    return _reciprocal(op, _sqrt(op, x)) if isinstance(x, Complex) else op.Reciprocal(op.Sqrt(x))


def _sqrt(op, z):
    """The root with a real part that is not negative, and the sign of the imaginary part."""
    a, b = cx.parts(op, z)
    size = op.Unsqueeze(cx.modulus(op, z), [-1])
    first = op.Sqrt(op.Mul(op.Max(op.Add(size, a), 0.0), 0.5))
    second = op.Sqrt(op.Mul(op.Max(op.Sub(size, a), 0.0), 0.5))
    return cx.joined(op, first, op.Where(op.Less(b, 0.0), op.Neg(second), second))


@read("Square")
def square(op, x: ComplexOrReal):
    return cx.product(op, x, x) if isinstance(x, Complex) else op.Mul(x, x)


@read("Reciprocal", "Inv")
def reciprocal(op, c, x: ComplexOrReal):
    if isinstance(x, Complex):
        return _reciprocal(op, x)
    return op.Reciprocal(x) if c.dtype().is_floating else op.Div(op.constant(1, x.dtype), x)


def _reciprocal(op, z):
    return Complex(op.Div(cx.conjugate(op, z).pairs, op.ReduceSumSquare(z.pairs, [-1], keepdims=1)))


@read("Exp")
def exp(op, x: ComplexOrReal):
    if isinstance(x, Complex):
        a, b = cx.parts(op, x)
        return cx.polar(op, op.Exp(a), b)
    return op.Exp(x)


@read("Expm1")
def expm1(op, x):
    # eˣ - 1 = tanh(x / 2) · (eˣ + 1), where nothing cancels.
    return op.Mul(op.Tanh(op.Mul(x, 0.5)), op.Add(op.Exp(x), 1.0))


@read("Log")
def log(op, x: ComplexOrReal):
    if isinstance(x, Complex):
        size = op.Unsqueeze(op.Log(cx.modulus(op, x)), [-1])
        return cx.joined(op, size, op.Unsqueeze(angle_of(op, x), [-1]))
    return op.Log(x)


@read("Log1p")
def log1p(op, x):
    return log_one_plus(op, x)


def log_one_plus(op, x):
    """log(1 + x): what rounding adds to or takes from 1 + x is made good by the factor x / ((1 + x) - 1)."""
    u = op.Add(x, 1.0)
    mended = op.Mul(op.Log(u), op.Div(x, op.Sub(u, 1.0)))
    return op.Where(op.Equal(u, 1.0), x, op.Where(op.Equal(u, x), op.Log(u), mended))


@read("Sin")
def sin(op, x: ComplexOrReal):
    if isinstance(x, Complex):
        a, b = cx.parts(op, x)
        return cx.joined(op, op.Mul(op.Sin(a), op.Cosh(b)), op.Mul(op.Cos(a), op.Sinh(b)))
    return op.Sin(x)


@read("Cos")
def cos(op, x: ComplexOrReal):
    if isinstance(x, Complex):
        a, b = cx.parts(op, x)
        return cx.joined(op, op.Mul(op.Cos(a), op.Cosh(b)), op.Neg(op.Mul(op.Sin(a), op.Sinh(b))))
    return op.Cos(x)


@read("Sigmoid")
def sigmoid(op, x):
    return op.Sigmoid(x)


@read("Tanh")
def tanh(op, x):
    return op.Tanh(x)


@read("Erfc")
def erfc(op, x):
    return op.Sub(1.0, op.Erf(x))


@read("IsInf")
def is_inf(op, x):
    return op.IsInf(x) if x.dtype in (ir.DataType.FLOAT, ir.DataType.DOUBLE) else op.Equal(op.Abs(x), math.inf)


@read("IsFinite")
def is_finite(op, x):
    return op.Less(op.Abs(x), math.inf)


# ---- parts of complex numbers -----------------------------------------------------------------------
@read("Complex")
def complex_of(op, c, real, imag):
    shape = c.shape_or_none(0)
    if shape is None or None in shape or shape != c.shape_or_none(1):
        real, imag = op.Expand(real, op.Shape(imag)), op.Expand(imag, op.Shape(real))
    return cx.joined(op, op.Unsqueeze(real, [-1]), op.Unsqueeze(imag, [-1]))


@read("Real")
def real(op, z: ComplexOrReal):
    return cx.real(op, z)


@read("Imag")
def imag(op, z: ComplexOrReal):
    return cx.imaginary(op, z)


@read("Conj")
def conj(op, z: ComplexOrReal):
    return cx.conjugate(op, z) if isinstance(z, Complex) else z


@read("ComplexAbs")
def complex_abs(op, z: ComplexOrReal):
    return cx.modulus(op, z)


@read("Angle")
def angle(op, z: ComplexOrReal):
    return angle_of(op, z)


def angle_of(op, z):
    """The argument of z, without the axis of the pair."""
    a, b = cx.parts(op, z)
    return op.Squeeze(atan2(op, b, a), [-1])
