"""Modified Bessel functions of the first kind, of order 0 and 1, in float64 whatever the operand.

Their power series near zero, all of whose terms have one sign, and Hankel's expansion away from it (DLMF 10.25.2 and
10.40.1): either is exact to the last digits where it is used.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from isthmus.readers.tensorflow.contract import Reads

table = Reads()
read = table.read

_DOUBLE = ir.DataType.DOUBLE
_FAR = 30.0
_TERMS_NEAR, _TERMS_FAR = 64, 22


@read("BesselI0")
def i0(op, x):
    return _bessel(op, x, 0, scaled=False)


@read("BesselI0e")
def i0e(op, x):
    """I0 times exp(-abs(x))."""
    return _bessel(op, x, 0, scaled=True)


@read("BesselI1")
def i1(op, x):
    return _bessel(op, x, 1, scaled=False)


@read("BesselI1e")
def i1e(op, x):
    """I1 times exp(-abs(x))."""
    return _bessel(op, x, 1, scaled=True)


def _bessel(op, x, order, *, scaled):
    wide = op.Cast(x, to=_DOUBLE)
    size = op.Abs(wide)
    near = op.Less(size, _FAR)
    small, large = op.Where(near, size, _FAR), op.Where(near, _FAR, size)
    half = op.Mul(small, 0.5)
    found_near = _sum(op, op.Mul(half, half), _near(order))
    found_near = op.Mul(found_near, half) if order else found_near
    found_far = op.Div(_sum(op, op.Reciprocal(large), _far(order)), op.Sqrt(op.Mul(large, 2 * math.pi)))
    if scaled:
        found_near = op.Mul(found_near, op.Exp(op.Neg(small)))
    else:
        root = op.Exp(op.Mul(large, 0.5))  # twice, for the whole overflows before the function does
        found_far = op.Mul(op.Mul(found_far, root), root)
        found_far = op.Where(op.IsInf(large), math.nan, found_far)  # as TensorFlow has it
    found = op.Where(near, found_near, found_far)
    return op.Cast(op.Mul(found, op.Sign(wide)) if order else found, to=x.dtype)


def _sum(op, x, factors):
    """The polynomial of the given factors, the constant first."""
    powers = op.Pow(op.Unsqueeze(x, [-1]), np.arange(len(factors), dtype=np.float64))
    return op.ReduceSum(op.Mul(powers, np.asarray(factors)), [-1], keepdims=0)


def _near(order):
    return [1 / (math.factorial(k) * math.factorial(k + order)) for k in range(_TERMS_NEAR)]


def _far(order):
    factors = [1.0]
    for k in range(1, _TERMS_FAR):
        factors.append(-factors[-1] * (4 * order**2 - (2 * k - 1) ** 2) / (8 * k))
    return factors
