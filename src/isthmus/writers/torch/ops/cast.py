"""Casts between element types: saturation of the narrow floats, wrap-around of integers."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
import torch

from isthmus.lower.contract import Host, Lowerings
from isthmus.writers.torch.ops._common import NARROW_FLOATS, dtype_of, held_dtype
from isthmus.writers.torch.weights import HELD

table = Lowerings()
lower, alias = table.lower, table.alias

D = ir.DataType

WIDTHS = {D.INT4: 4, D.UINT4: 4, D.INT2: 2, D.UINT2: 2}
"""Bits of the integers that int8 and uint8 stand in for."""

_FOUR_BITS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""The sizes that float4e2m1 has, in the order of their bits; above them stands the sign."""


@lower("Cast")
def cast(c, x, *, to, saturate, round_mode):
    return convert(x, c.dtype(), D(to), saturate=saturate, round_mode=round_mode)


@lower("CastLike")
def cast_like(c, x, like: Host, *, saturate, round_mode):
    return convert(x, c.dtype(), c.dtype(1), saturate=saturate, round_mode=round_mode)


@lower("BitCast")
def bit_cast(c, x, *, to):
    source, target = c.dtype(), D(to)
    if source == target:
        return x
    if HELD.keys() & {source, target}:
        return _of_bits(_bits(x, source), target)
    return x.view(dtype_of(target))


def convert(x: Any, source: ir.DataType, target: ir.DataType, *, saturate: int = 1, round_mode: str = "up") -> Any:
    """``x`` of one numeric type as another. ``saturate`` and ``round_mode`` count for narrow floats only."""
    if source == target:
        return x
    if target in WIDTHS:
        return wrapped(x if source.is_integer() else x.to(torch.int32), target)
    if target == D.FLOAT4E2M1:
        return _in_four_bits(x.float()).to(held_dtype(target))
    if target not in NARROW_FLOATS:
        return x.to(held_dtype(target))
    wide = x if source in (D.FLOAT, D.DOUBLE) else x.float()
    if target == D.FLOAT8E8M0:
        return _power_of_two(wide.float(), round_mode)
    if saturate:
        top = torch.finfo(dtype_of(target)).max
        wide = torch.clamp(wide, -top, top)  # of infinity as well; NaN goes through
    elif target == D.FLOAT8E4M3FN:
        # PyTorch's cast saturates here, the one type of these. Halfway to where the next number would be is even.
        wide = torch.where(torch.abs(wide) > 464.0, float("nan"), wide)
    return wide.to(dtype_of(target))


def wrapped(x: Any, dtype: ir.DataType) -> Any:
    """The low bits of integers, as values of a sub-byte type."""
    bits = WIDTHS[dtype]
    low = x & ((1 << bits) - 1)
    if dtype.is_signed():
        half = 1 << bits - 1
        low = (low ^ half) - half
    return low.to(held_dtype(dtype))


def _bits(x: Any, source: ir.DataType) -> Any:
    """The bits of a type below a byte, as integers."""
    if source in WIDTHS:
        return x.to(torch.int32) & ((1 << WIDTHS[source]) - 1)
    wide = x.float()
    code = torch.bucketize(torch.abs(wide), torch.tensor(_FOUR_BITS), out_int32=True)
    return torch.where(torch.signbit(wide), code + 8, code)


def _of_bits(bits: Any, target: ir.DataType) -> Any:
    if target in WIDTHS:
        return wrapped(bits, target)
    signed = torch.tensor([*_FOUR_BITS, *(-size for size in _FOUR_BITS)])
    return signed[bits].to(held_dtype(target))


def _in_four_bits(x: Any) -> Any:
    """Values of float4e2m1 (0, ½, 1, 1½, 2, 3, 4, 6), the nearest, to even; infinity is 6, NaN 0: it has neither."""
    size = torch.clamp(torch.nan_to_num(torch.abs(x), nan=0.0), max=6.0)
    step = torch.where(size < 2, 0.5, torch.where(size < 4, 1.0, 2.0))
    return torch.copysign(torch.round(size / step) * step, x)


def _power_of_two(x: Any, round_mode: str) -> Any:
    """float8e8m0: the exponent of float32, rounded by what its fraction says."""
    bits = x.view(torch.int32)
    exponent, fraction = (bits >> 23) & 255, bits & 0x7FFFFF
    if round_mode == "up":
        exponent = exponent + (fraction > 0)
    elif round_mode == "nearest":
        exponent = exponent + (fraction >= 0x400000)
    return exponent.to(torch.uint8).view(torch.float8_e8m0fnu)
