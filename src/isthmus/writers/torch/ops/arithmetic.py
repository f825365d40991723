"""Arithmetic of two or more broadcast tensors, of every numeric type; integers wrap around."""

from __future__ import annotations

import functools
import operator
from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from isthmus.lower.contract import Host, Lowerings
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import FLOATS, HALVES, as_tensor, dtype_of
from isthmus.writers.torch.ops._numeric import in_float32, in_int64, in_order, quotient

table = Lowerings()
lower, alias = table.lower, table.alias

_EXACT_IN_FLOAT32 = 1 << 24
_SMALL_INTS = frozenset((ir.DataType.INT8, ir.DataType.UINT8, ir.DataType.INT16, ir.DataType.UINT16))
"""Integers that float32 holds exactly."""


@lower("Add")
def add(c, a, b):
    return in_int64(operator.add, a, b, dtype=c.dtype())


@lower("Sub")
def sub(c, a, b):
    return in_int64(operator.sub, a, b, dtype=c.dtype())


@lower("Mul")
def mul(c, a, b):
    return in_int64(operator.mul, a, b, dtype=c.dtype())


@lower("Div")
def div(c, a, b):
    return quotient(a, b, c.dtype()) if c.dtype().is_integer() else a / b


@lower("Sum")
def sum_of(*xs):
    return functools.reduce(operator.add, xs)


@lower("Mean")
def mean_of(c, *xs):
    def mean(*wide):
        return functools.reduce(operator.add, wide) / len(wide)

    return in_float32(mean, *xs, dtype=c.dtype())


@lower("Max")
def max_of(c, *xs):
    return in_order(lambda *ordered: functools.reduce(torch.maximum, ordered), *xs, dtype=c.dtype())


@lower("Min")
def min_of(c, *xs):
    return in_order(lambda *ordered: functools.reduce(torch.minimum, ordered), *xs, dtype=c.dtype())


@lower("Mod")
def mod(c, a, b, *, fmod):
    """With the sign of the dividend where ``fmod``, else with that of the divisor."""
    dtype = c.dtype()
    if dtype == ir.DataType.UINT64:
        return (a.long() - quotient(a, b, dtype).long() * b.long()).to(torch.uint64)
    return in_int64(torch.fmod if fmod else torch.remainder, a, b, dtype=dtype)


@lower("Pow")
def power(c, x, y: Host):
    dtype = c.dtype()
    if (number := _number(c, y)) is not None:
        if number == 1:
            return x
        if dtype in FLOATS | HALVES:
            return x**number
        if isinstance(number, int) and number >= 0:
            return in_int64(lambda v: v**number, x, dtype=dtype)
    exponent = as_tensor(c, y, 1)
    if dtype in FLOATS | HALVES:
        return _float_power(c, x, exponent)
    if c.dtype(1).is_integer():
        return torch.pow(x.long(), exponent.long()).to(dtype_of(dtype))
    return torch.pow(x.double(), exponent.double()).to(dtype_of(dtype))


@lower("BitShift")
def bit_shift(c, x, y, *, direction):
    """By more than the width: nothing is left."""
    if direction == "LEFT":
        return in_int64(operator.lshift, x, y, dtype=c.dtype())
    if c.dtype() != ir.DataType.UINT64:
        return in_int64(operator.rshift, x, y, dtype=c.dtype())
    # int64 shifts copies of its sign in: so the first step is done by hand, and there is no sign then
    bits, distance = x.long(), y.long()
    halved = (bits >> 1) & torch.iinfo(torch.int64).max
    return torch.where(distance == 0, bits, halved >> (distance - 1)).to(torch.uint64)


def _number(c: Context, y: Any) -> int | float | None:
    """The exponent where it is one number for all elements, without a fraction if it has none."""
    if not isinstance(y, np.ndarray) or y.dtype == object or y.size != 1 or y.ndim > c.rank(0):
        return None
    number = float(y.reshape(-1)[0])
    return int(number) if number.is_integer() and abs(number) < _EXACT_IN_FLOAT32 else number


def _float_power(c: Context, x: Any, y: Any) -> Any:
    dtype, exponent = c.dtype(0), c.dtype(1)
    if dtype == exponent:
        return torch.pow(x, y)
    if (
        dtype == ir.DataType.FLOAT
        and (exponent == ir.DataType.DOUBLE or exponent.is_integer())
        and exponent not in _SMALL_INTS
    ):
        # such an exponent has more digits than float32: its parity would be lost
        return torch.pow(x.double(), y.double()).float()
    wide = torch.float64 if dtype == ir.DataType.DOUBLE else torch.float32
    return torch.pow(x.to(wide), y.to(wide)).to(dtype_of(dtype))
