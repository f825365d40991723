"""Elementwise operators that ONNX lacks by name, as compositions."""

from __future__ import annotations

import math
from typing import Any

import onnx_ir as ir
import torch
from onnxscript import opset23 as op

import isthmus.readers.torch.whole  # noqa: F401 - defines the operators of torch.ops.isthmus
from isthmus.readers.torch.translations.build import INT64, Value, number, scalar

aten = torch.ops.aten


def _promoted(x: Value, y: Value) -> tuple[Value, Value]:
    """Both in one element type: torch promotes before these operators, so only scalars still differ."""
    if isinstance(y, (bool, int, float)):
        return x, number(y, x)
    if isinstance(x, (bool, int, float)):
        return number(x, y), y
    return x, y


def fmax(self: Value, other: Value) -> Value:
    """The larger; a NaN loses against a number."""
    x, y = _promoted(self, other)
    if not x.dtype.is_floating_point():
        return op.Max(x, y)
    return op.Where(op.IsNaN(x), y, op.Where(op.IsNaN(y), x, op.Max(x, y)))


def fmin(self: Value, other: Value) -> Value:
    """The smaller; a NaN loses against a number."""
    x, y = _promoted(self, other)
    if not x.dtype.is_floating_point():
        return op.Min(x, y)
    return op.Where(op.IsNaN(x), y, op.Where(op.IsNaN(y), x, op.Min(x, y)))


def hypot(self: Value, other: Value) -> Value:
    """√(x² + y²), scaled by the larger so that it does not overflow."""
    x, y = op.Abs(self), op.Abs(other)
    large, small = op.Max(x, y), op.Min(x, y)
    safe = op.Where(op.Equal(large, number(0, self)), number(1, self), large)
    ratio = op.Div(small, safe)
    result = op.Mul(large, op.Sqrt(op.Add(op.Mul(ratio, ratio), number(1, self))))
    return op.Where(op.IsInf(large), large, result)


def _negative(x: Value) -> Value:
    """bool: the sign bit, told from the sign of 1/x where x is a zero."""
    zero = number(0, x)
    if not x.dtype.is_floating_point():
        return op.Less(x, zero)
    return op.Or(op.Less(x, zero), op.And(op.Equal(x, zero), op.Less(op.Reciprocal(x), zero)))


def copysign(self: Value, other: Value) -> Value:
    """|x| with the sign of y; a signed zero counts, the sign of a NaN does not reach ONNX."""
    if isinstance(other, (int, float)):
        size = op.Abs(self)
        return op.Neg(size) if math.copysign(1, other) < 0 else size
    size = op.Abs(self)
    return op.Where(_negative(other), op.Neg(size), size)


def signbit(self: Value) -> Value:
    """Whether the sign bit is set."""
    return _negative(self)


def left_shift(self: Value, other: Value) -> Value:
    """x · 2ⁿ, exact for signed integers where ONNX shifts unsigned ones only."""
    x, n = _promoted(self, other)
    return op.Mul(x, op.CastLike(_power_of_two(n), x))


def right_shift(self: Value, other: Value) -> Value:
    """⌊x / 2ⁿ⌋: an arithmetic shift, towards negative infinity."""
    x, n = _promoted(self, other)
    wide = op.Cast(x, to=INT64)
    power = _power_of_two(n)
    quotient = op.Div(op.Sub(wide, op.Mod(wide, power)), power)
    return op.CastLike(quotient, x)


def _power_of_two(n: Value) -> Value:
    # Doubles hold every power of two that an int64 shift can ask for.
    exponent = op.Cast(n, to=ir.DataType.DOUBLE)
    two = op.Constant(value=ir.tensor(2.0, dtype=ir.DataType.DOUBLE))
    return op.Cast(op.Pow(two, exponent), to=INT64)


def gcd(self: Value, other: Value) -> Value:
    """Euclid's algorithm; 92 rounds reach every pair of int64 (Fibonacci numbers are the worst)."""
    rounds = {ir.DataType.INT8: 12, ir.DataType.UINT8: 13, ir.DataType.INT16: 23, ir.DataType.INT32: 46}
    x, y = op.Cast(op.Abs(self), to=INT64), op.Cast(op.Abs(other), to=INT64)
    zero, one = number(0, _INT64), number(1, _INT64)
    for _ in range(rounds.get(self.dtype, 92)):
        done = op.Equal(y, zero)
        rest = op.Mod(x, op.Where(done, one, y))
        x, y = op.Where(done, x, y), op.Where(done, zero, rest)
    return op.CastLike(x, self)


class _Int64:
    dtype = INT64


_INT64 = _Int64()

_LANCZOS = (
    0.99999999999980993,
    676.5203681218851,
    -1259.1392167224028,
    771.32342877765313,
    -176.61502916214059,
    12.507343278686905,
    -0.13857109526572012,
    9.9843695780195716e-6,
    1.5056327351493116e-7,
)


def lgamma(self: Value) -> Value:
    """ln|Γ(x)| by Lanczos' approximation (g = 7), reflected below one half; computed in double."""
    x = _double(self)
    half, one = _d(0.5), _d(1.0)
    low = op.Less(x, half)
    z = op.Sub(op.Where(low, op.Sub(one, x), x), one)
    series = _d(_LANCZOS[0])
    for k, coefficient in enumerate(_LANCZOS[1:], 1):
        series = op.Add(series, op.Div(_d(coefficient), op.Add(z, _d(float(k)))))
    t = op.Add(z, _d(7.5))
    right = op.Add(
        op.Sub(op.Mul(op.Add(z, half), op.Log(t)), t), op.Add(op.Log(series), _d(0.5 * math.log(2 * math.pi)))
    )
    # Γ(x)Γ(1-x) = π / sin(πx); the sine of the fraction keeps its accuracy for large |x|.
    fraction = op.Sub(x, op.Floor(x))
    left = op.Sub(_d(math.log(math.pi)), op.Add(op.Log(op.Sin(op.Mul(_d(math.pi), fraction))), right))
    result = op.Where(low, left, right)
    result = op.Where(op.IsInf(x), _d(float("inf")), result)
    return op.CastLike(result, self)


_STIRLING = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)


def digamma(self: Value) -> Value:
    """ψ(x): recurrence up to x ≥ 10, then the asymptotic series; reflected below zero; in double."""
    x = _double(self)
    zero, one = _d(0.0), _d(1.0)
    low = op.Less(x, zero)
    y = op.Where(low, op.Sub(one, x), x)
    shift = zero
    for _ in range(10):
        small = op.Less(y, _d(10.0))
        shift = op.Where(small, op.Sub(shift, op.Reciprocal(y)), shift)
        y = op.Where(small, op.Add(y, one), y)
    inverse = op.Reciprocal(op.Mul(y, y))
    series = _d(0.0)
    for coefficient in reversed(_STIRLING):
        series = op.Mul(inverse, op.Add(series, _d(coefficient)))
    right = op.Add(shift, op.Sub(op.Sub(op.Log(y), op.Div(_d(0.5), y)), series))
    angle = op.Mul(_d(math.pi), op.Sub(x, op.Floor(x)))
    left = op.Sub(right, op.Div(op.Mul(_d(math.pi), op.Cos(angle)), op.Sin(angle)))
    pole = op.And(low, op.Equal(x, op.Floor(x)))
    result = op.Where(pole, _d(float("nan")), op.Where(low, left, right))
    result = op.Where(op.Equal(x, zero), op.Neg(op.Reciprocal(x)), result)
    return op.CastLike(result, self)


_ERFINV_CENTRAL = (
    (0.886226899, -1.645349621, 0.914624893, -0.140543331),
    (1.0, -2.118377725, 1.442710462, -0.329097515, 0.012229801),
)
_ERFINV_TAIL = ((-1.970840454, -1.624906493, 3.429567803, 1.641345311), (1.0, 3.543889200, 1.637067800))


def erfinv(self: Value) -> Value:
    """erf⁻¹: Giles' rational start in double, then two steps of Newton's method on a single-precision Erf."""
    x = _double(self)
    one = _d(1.0)
    square = op.Mul(x, x)
    central = op.Mul(x, op.Div(_polynomial(_ERFINV_CENTRAL[0], square), _polynomial(_ERFINV_CENTRAL[1], square)))
    size = op.Abs(x)
    tail_at = op.Sqrt(op.Neg(op.Log(op.Div(op.Sub(one, op.Min(size, _d(1 - 1e-16))), _d(2.0)))))
    tail = op.Mul(op.Sign(x), op.Div(_polynomial(_ERFINV_TAIL[0], tail_at), _polynomial(_ERFINV_TAIL[1], tail_at)))
    y = op.Where(op.LessOrEqual(size, _d(0.7)), central, tail)
    for _ in range(2):
        slope = op.Mul(_d(2 / math.sqrt(math.pi)), op.Exp(op.Neg(op.Mul(y, y))))
        y = op.Sub(y, op.Div(op.Sub(_double(op.Erf(op.Cast(y, to=ir.DataType.FLOAT))), x), slope))
    ends = op.Mul(op.Sign(x), _d(float("inf")))
    y = op.Where(op.Equal(size, one), ends, op.Where(op.Greater(size, one), _d(float("nan")), y))
    return op.CastLike(y, self)


def _polynomial(coefficients: tuple[float, ...], x: Value) -> Value:
    result = _d(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        result = op.Add(op.Mul(result, x), _d(coefficient))
    return result


def _double(x: Value) -> Value:
    return op.Cast(x, to=ir.DataType.DOUBLE)


def _d(value: float) -> Value:
    return op.Constant(value=ir.tensor(value, dtype=ir.DataType.DOUBLE))


def rrelu_eval(self: Value, lower: float = 0.125, upper: float = 1 / 3) -> Value:
    """The mean slope, as ``training=False`` has it."""
    return op.LeakyRelu(self, alpha=(lower + upper) / 2)


def rrelu(
    self: Value, lower: float = 0.125, upper: float = 1 / 3, training: bool = False, generator: Any = None
) -> Value:
    """Randomised leaky ReLU, outside of training."""
    return rrelu_eval(self, lower, upper)


def rrelu_with_noise(
    self: Value,
    noise: Value,
    lower: float = 0.125,
    upper: float = 1 / 3,
    training: bool = False,
    generator: Any = None,
) -> Value:
    """The same; the noise is not read outside of training."""
    return rrelu_eval(self, lower, upper)


def rrelu_with_noise_functional(
    self: Value,
    noise: Value,
    lower: float = 0.125,
    upper: float = 1 / 3,
    training: bool = False,
    generator: Any = None,
) -> tuple[Value, Value]:
    """The same, with the untouched noise."""
    return rrelu_eval(self, lower, upper), op.Identity(noise)


def dropout(x: Value, p: float) -> Value:
    """Dropout kept as an operator, switched off: a trainable target can switch it on."""
    ratio = op.Constant(value=ir.tensor(float(p), dtype=ir.DataType.FLOAT))
    return op.Dropout(x, ratio, op.Constant(value=ir.tensor(False)))[0]


def cdist(x1: Value, x2: Value, p: float = 2.0, compute_mode: int | None = None) -> Value:
    """Distances between the rows of two batches: the p-norm of every difference."""
    from isthmus.readers.torch.translations.build import ints

    difference = op.Abs(op.Sub(op.Unsqueeze(x1, ints(-2)), op.Unsqueeze(x2, ints(-3))))
    last = ints(-1)
    if p == 0:
        return op.ReduceSum(op.CastLike(op.Greater(difference, number(0, x1)), x1), last, keepdims=0)
    if p == 1:
        return op.ReduceL1(difference, last, keepdims=0)
    if p == 2:
        return op.ReduceL2(difference, last, keepdims=0)
    if math.isinf(p):
        return op.ReduceMax(difference, last, keepdims=0)
    total = op.ReduceSum(op.Pow(difference, number(p, x1)), last, keepdims=0)
    return op.Pow(total, number(1 / p, x1))


def pdist(self: Value, p: float = 2.0) -> Value:
    """The distances above the diagonal of ``cdist(x, x)``, row by row."""
    from isthmus.readers.torch.translations.build import BOOL, ints, positions

    rows = op.Shape(self, start=0, end=1)
    steps = positions(rows)
    upper = op.Less(op.Unsqueeze(steps, ints(1)), op.Unsqueeze(steps, ints(0)))
    flat = op.Reshape(cdist(self, self, p), ints(-1))
    return op.Compress(flat, op.Cast(op.Reshape(upper, ints(-1)), to=BOOL))


def xlogy_scalar(self: Value, other: Value) -> Value:
    """x · ln y, and 0 where x is 0."""
    x, y = _promoted(self, other)
    zero = scalar(0, x)
    product = op.Mul(x, op.Log(y))
    return op.Where(op.And(op.Equal(x, zero), op.Not(op.IsNaN(y))), zero, product)


TRANSLATIONS: dict[Any, Any] = {
    torch.ops.isthmus.dropout.default: dropout,
    aten.fmax.default: fmax,
    aten.fmin.default: fmin,
    aten.hypot.default: hypot,
    aten.copysign.Tensor: copysign,
    aten.copysign.Scalar: copysign,
    aten.signbit.default: signbit,
    aten.__lshift__.Tensor: left_shift,
    aten.__lshift__.Scalar: left_shift,
    aten.__rshift__.Tensor: right_shift,
    aten.__rshift__.Scalar: right_shift,
    aten.bitwise_left_shift.Tensor: left_shift,
    aten.bitwise_left_shift.Tensor_Scalar: left_shift,
    aten.bitwise_right_shift.Tensor: right_shift,
    aten.bitwise_right_shift.Tensor_Scalar: right_shift,
    aten.gcd.default: gcd,
    aten.lgamma.default: lgamma,
    aten.digamma.default: digamma,
    aten.erfinv.default: erfinv,
    aten.rrelu.default: rrelu,
    aten.rrelu_with_noise.default: rrelu_with_noise,
    aten.rrelu_with_noise_functional.default: rrelu_with_noise_functional,
    aten.cdist.default: cdist,
    aten._cdist_forward.default: cdist,
    aten.pdist.default: pdist,
    aten._pdist_forward.default: pdist,
    aten.special_xlogy.default: xlogy_scalar,
    aten.xlogy.Tensor: xlogy_scalar,
}
