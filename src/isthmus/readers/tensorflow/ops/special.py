"""Special functions that ONNX has not: by rational approximations, in float64 whatever the operand.

Ndtri is that of Cephes (Moshier), which Eigen and so TensorFlow has; the logarithm of the gamma function and its
derivative are by Lanczos' series (g = 7, of 9 terms).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from isthmus.readers.tensorflow.contract import Reads

table = Reads()
read = table.read

DOUBLE = ir.DataType.DOUBLE

_MIDDLE = (
    (
        *(-59.96335010141079, 98.00107541859997, -56.67628574690703, 13.931260938727968),
        *(-1.2391658386738125,),
    ),
    (
        *(1.0, 1.9544885833814176, 4.676279128988815, 86.36024213908905, -225.46268785411937),
        *(200.26021238006066, -82.03722561683334, 15.90562251262117, -1.1833162112133),
    ),
)
_NEAR = (
    (
        *(4.0554489230596245, 31.525109459989388, 57.16281922464213, 44.08050738932008),
        *(14.684956192885803, 2.1866330685079025, -0.1402560791713545, -0.03504246268278482),
        *(-0.0008574567851546854,),
    ),
    (
        *(1.0, 15.779988325646675, 45.39076351288792, 41.3172038254672, 15.04253856929075),
        *(2.504649462083094, -0.14218292285478779, -0.03808064076915783, -0.0009332594808954574),
    ),
)
_FAR = (
    (
        *(3.2377489177694603, 6.915228890689842, 3.9388102529247444, 1.3330346081580755),
        *(0.20148538954917908, 0.012371663481782003, 0.00030158155350823543, 2.6580697468673755e-06),
        *(6.239745391849833e-09,),
    ),
    (
        *(1.0, 6.02427039364742, 3.6798356385616087, 1.3770209948908132, 0.21623699359449663),
        *(0.013420400608854318, 0.00032801446468212774, 2.8924786474538068e-06, 6.790194080099813e-09),
    ),
)
"""Numerators and denominators, highest power first: between exp(-2) and 1 - exp(-2), and in the tails."""

_LANCZOS = 7.0
_BASE = 0.99999999999980993227684700473478
_SERIES = (
    *(676.520368121885098567009190444019, -1259.13921672240287047156078755283, 771.3234287776530788486528258894),
    *(-176.61502916214059906584551354, 12.507343278686904814458936853, -0.13857109526572011689554707),
    *(9.984369578019570859563e-6, 1.50563273514931155834e-7),
)


@read("Ndtri")
def quantile(op, x):
    """Where the distribution function of the normal distribution is ``x``."""
    return op.Cast(_quantile(op, op.Cast(x, to=DOUBLE)), to=x.dtype)


@read("Erfinv")
def erfinv(op, x):
    half = op.Add(op.Mul(x, 0.5), 0.5)  # rounded as TensorFlow rounds it
    return op.Cast(op.Mul(_quantile(op, op.Cast(half, to=DOUBLE)), math.sqrt(0.5)), to=x.dtype)


def _quantile(op, p):
    tail = math.exp(-2)
    upper = op.Greater(p, 1 - tail)
    low = op.Where(upper, op.Sub(1.0, p), p)
    centered = op.Sub(low, 0.5)
    square = op.Mul(centered, centered)
    middle = op.Add(centered, op.Mul(op.Mul(centered, square), _ratio(op, square, _MIDDLE)))
    middle = op.Mul(middle, math.sqrt(2 * math.pi))
    x = op.Sqrt(op.Mul(op.Log(low), -2.0))
    inverse = op.Reciprocal(x)
    ratio = op.Where(op.Less(x, 8.0), _ratio(op, inverse, _NEAR), _ratio(op, inverse, _FAR))
    outer = op.Sub(op.Sub(x, op.Mul(op.Log(x), inverse)), op.Mul(inverse, ratio))
    found = op.Where(op.Greater(low, tail), middle, op.Where(upper, outer, op.Neg(outer)))
    found = op.Where(op.Equal(p, 0.0), -math.inf, op.Where(op.Equal(p, 1.0), math.inf, found))
    return op.Where(op.Or(op.Less(p, 0.0), op.Greater(p, 1.0)), math.nan, found)


@read("Lgamma")
def lgamma(op, x):
    wide, mirrored, z = _reflected(op, x)
    total, _ = _series(op, z)
    moved = op.Add(z, _LANCZOS + 0.5)
    found = op.Add(op.Mul(op.Sub(op.Log(moved), 1.0), op.Add(z, 0.5)), op.Log(total))
    found = op.Add(found, 0.5 * math.log(2 * math.pi) - _LANCZOS)
    size = op.Abs(wide)
    share = op.Sub(size, op.Floor(size))
    sine = op.Sin(op.Mul(op.Where(op.Greater(share, 0.5), op.Sub(1.0, share), share), math.pi))
    found = op.Where(mirrored, op.Sub(op.Sub(math.log(math.pi), op.Log(sine)), found), found)
    found = op.Where(op.IsInf(wide), math.inf, found)
    return op.Cast(found, to=x.dtype)


@read("Digamma")
def digamma(op, x):
    wide, mirrored, z = _reflected(op, x)
    total, slope = _series(op, z)
    moved = op.Add(z, _LANCZOS + 0.5)
    found = op.Sub(op.Add(op.Log(moved), op.Div(slope, total)), op.Div(_LANCZOS, moved))
    share = op.Mul(op.Sub(wide, op.Floor(op.Add(wide, 0.5))), math.pi)
    found = op.Where(mirrored, op.Sub(found, op.Div(op.Mul(op.Cos(share), math.pi), op.Sin(share))), found)
    pole = op.And(op.LessOrEqual(wide, 0.0), op.Equal(wide, op.Floor(wide)))
    return op.Cast(op.Where(pole, math.nan, found), to=x.dtype)


def _reflected(op, x):
    """x in float64, whether it lies below 1/2, and the z at least -1/2 for which gamma(z + 1) tells gamma(x)."""
    wide = op.Cast(x, to=DOUBLE)
    mirrored = op.Less(wide, 0.5)
    return wide, mirrored, op.Where(mirrored, op.Neg(wide), op.Sub(wide, 1.0))


def _series(op, z):
    """Lanczos' series, and its derivative."""
    total, slope = op.constant(np.float64(_BASE)), None
    for index, factor in enumerate(_SERIES, 1):
        part = op.Add(z, float(index))
        share = op.Div(factor, part)
        total = op.Add(total, share)
        lower = op.Neg(op.Div(share, part))
        slope = lower if slope is None else op.Add(slope, lower)
    return total, slope


def _ratio(op, x, parts: tuple[Sequence[float], Sequence[float]]):
    return op.Div(*(_polynomial(op, x, part) for part in parts))


def _polynomial(op, x, factors: Sequence[float]):
    found = op.Add(op.Mul(x, factors[0]), factors[1])
    for factor in factors[2:]:
        found = op.Add(op.Mul(found, x), factor)
    return found
