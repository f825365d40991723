"""Two tensors, broadcast: sums, products, quotients of whole and other numbers, powers."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import tensorflow as tf

from isthmus.readers.tensorflow.contract import ComplexOrReal, Reads
from isthmus.readers.tensorflow.handles import Complex
from isthmus.readers.tensorflow.ops import _complex as cx
from isthmus.readers.tensorflow.ops._angle import atan2
from isthmus.readers.tensorflow.ops.elementwise import angle_of, log_one_plus

table = Reads()
read = table.read

_LARGEST_POWER = 64
"""Constant whole exponents up to this are written as products, which are exact."""


@read("Add", "AddV2")
def add(op, c, x: ComplexOrReal, y: ComplexOrReal):
    if isinstance(x, Complex):
        return Complex(op.Add(x.pairs, y.pairs))
    return op.StringConcat(x, y) if c.dtype() == tf.string else op.Add(x, y)


@read("AddN")
def add_n(op, xs: ComplexOrReal):
    if isinstance(xs[0], Complex):
        return Complex(op.Sum(*(x.pairs for x in xs)))
    if xs[0].dtype in (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16):
        return op.Sum(*xs)
    total, *rest = xs
    for x in rest:
        total = op.Add(total, x)
    return total if rest else op.Identity(total)


@read("AccumulateNV2", ignore=("shape",))
def accumulate(op, xs):
    return add_n(op, xs)


@read("Sub")
def sub(op, x: ComplexOrReal, y: ComplexOrReal):
    return Complex(op.Sub(x.pairs, y.pairs)) if isinstance(x, Complex) else op.Sub(x, y)


@read("Mul")
def mul(op, c, x: ComplexOrReal, y: ComplexOrReal):
    return cx.product(op, x, y) if isinstance(x, Complex) else op.Mul(x, y)


@read("MulNoNan")
def mul_no_nan(op, x: ComplexOrReal, y: ComplexOrReal):
    if isinstance(x, Complex):
        return _unless_zero(op, y, cx.product(op, x, y))
    return op.Where(op.Equal(y, 0.0), _zero(op, x), op.Mul(x, y))


@read("RealDiv")
def real_div(op, x: ComplexOrReal, y: ComplexOrReal):
    return cx.quotient(op, x, y) if isinstance(x, Complex) else op.Div(x, y)


@read("Div")
def div(op, x: ComplexOrReal, y: ComplexOrReal):
    return cx.quotient(op, x, y) if isinstance(x, Complex) else op.Div(x, y)


@read("DivNoNan")
def div_no_nan(op, x: ComplexOrReal, y: ComplexOrReal):
    if isinstance(x, Complex):
        return _unless_zero(op, y, cx.quotient(op, x, y))
    return op.Where(op.Equal(y, 0.0), _zero(op, x), op.Div(x, y))


@read("TruncateDiv")
def truncate_div(op, c, x, y):
    quotient = op.Div(x, y)
    if not c.dtype().is_floating:
        return quotient
    return op.Where(op.Less(quotient, 0.0), op.Ceil(quotient), op.Floor(quotient))


@read("FloorDiv")
def floor_div(op, c, x, y):
    if c.dtype().is_floating:
        return op.Floor(op.Div(x, y))
    quotient = op.Div(x, y)
    if c.dtype().is_unsigned:
        return quotient
    rest = op.Sub(x, op.Mul(quotient, y))
    return op.Sub(quotient, op.Cast(_sign_differs(op, rest, y), to=x.dtype))


@read("FloorMod")
def floor_mod(op, c, x, y):
    if c.dtype().is_integer:
        return op.Mod(x, y)
    rest = op.Mod(x, y, fmod=1)
    return op.Where(_sign_differs(op, rest, y), op.Add(rest, y), rest)


@read("TruncateMod", "Mod")
def truncate_mod(op, c, x, y):
    if c.dtype().is_floating:
        return op.Mod(x, y, fmod=1)
    return op.Sub(x, op.Mul(op.Div(x, y), y))


def _sign_differs(op, rest, y):
    """Whether a rest is not 0, and of the other sign than the divisor."""
    return op.And(op.Not(op.Equal(rest, 0)), op.Xor(op.Less(rest, 0), op.Less(y, 0)))


@read("Maximum")
def maximum(op, x, y):
    return op.Max(x, y)


@read("Minimum")
def minimum(op, x, y):
    return op.Min(x, y)


@read("SquaredDifference")
def squared_difference(op, x: ComplexOrReal, y: ComplexOrReal):
    if isinstance(x, Complex):
        apart = Complex(op.Sub(x.pairs, y.pairs))
        return cx.product(op, cx.conjugate(op, apart), apart)
    apart = op.Sub(x, y)
    return op.Mul(apart, apart)


@read("Xlogy")
def xlogy(op, x, y):
    return op.Where(op.Equal(x, 0.0), _zero(op, x), op.Mul(x, op.Log(y)))


@read("Xlog1py")
def xlog1py(op, x, y):
    return op.Where(op.Equal(x, 0.0), _zero(op, x), op.Mul(x, log_one_plus(op, y)))


@read("Xdivy")
def xdivy(op, x, y):
    return op.Where(op.Equal(x, 0.0), _zero(op, x), op.Div(x, y))


@read("Atan2")
def arctangent(op, y, x):
    return atan2(op, y, x)


@read("Pow")
def power(op, c, x: ComplexOrReal, y: ComplexOrReal):
    if isinstance(x, Complex):
        size = op.Unsqueeze(op.Log(cx.modulus(op, x)), [-1])
        logarithm = cx.joined(op, size, op.Unsqueeze(angle_of(op, x), [-1]))
        real, imaginary = cx.parts(op, cx.product(op, y, logarithm))
        return cx.polar(op, op.Exp(real), imaginary)
    exponent = c.known(1)
    if c.dtype().is_integer and exponent is not None and exponent.size == 1:
        exponent = int(exponent.reshape(()))
        if 0 <= exponent <= _LARGEST_POWER and c.shape(1) == ():
            return _product(op, x, exponent)
    if x.dtype in (ir.DataType.INT8, ir.DataType.INT16, ir.DataType.UINT8, ir.DataType.UINT16, ir.DataType.UINT32):
        wide = ir.DataType.INT64
        return op.Cast(op.Pow(op.Cast(x, to=wide), op.Cast(y, to=wide)), to=x.dtype)
    return op.Pow(x, y)


def _product(op, x, exponent):
    """x to a whole power by squares; what overflows wraps, as in TensorFlow."""
    if exponent == 0:
        return op.Expand(op.constant(1, x.dtype), op.Shape(x))
    result, square = None, x
    while exponent:
        if exponent & 1:
            result = square if result is None else op.Mul(result, square)
        exponent >>= 1
        square = op.Mul(square, square) if exponent else square
    return op.Identity(result) if result is x else result


def _unless_zero(op, y, result):
    """A complex result, but 0 where ``y`` is 0."""
    nothing = op.Equal(op.ReduceSumSquare(y.pairs, [-1], keepdims=1), 0.0)
    return Complex(op.Where(nothing, _zero(op, result.pairs), result.pairs))


def _zero(op, x):
    return op.constant(np.zeros((), x.dtype.numpy()))
