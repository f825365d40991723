"""Computing in element types that PyTorch has few kernels for: wide unsigned integers, halves, 8-bit floats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from isthmus.writers.torch.numerals import shortest
from isthmus.writers.torch.ops._common import HALVES, NARROW_FLOATS, WIDE_UNSIGNED, dtype_of

_SIGN = -(1 << 63)
"""The bit by which the order of int64 differs from that of uint64."""


def in_int64(compute: Callable[..., Any], *tensors: Any, dtype: ir.DataType) -> Any:
    """``compute(*tensors)`` of any numbers; the wide unsigned ones by way of int64 and back.

    Exact modulo 2ⁿ: for sums, products and bits, not for the order or the quotient of uint64.
    """
    if dtype not in WIDE_UNSIGNED:
        return compute(*tensors)
    return compute(*(t.long() for t in tensors)).to(dtype_of(dtype))


def in_order(compute: Callable[..., Any], *tensors: Any, dtype: ir.DataType) -> Any:
    """``compute(*tensors)``, a choice among elements by their order; the wide unsigned ones by way of int64."""
    if dtype not in WIDE_UNSIGNED:
        return compute(*tensors)
    y = compute(*(ordered(t, dtype) for t in tensors))
    return (y ^ _SIGN if dtype == ir.DataType.UINT64 else y).to(dtype_of(dtype))


def ordered(x: Any, dtype: ir.DataType) -> Any:
    """``x`` in a type that has comparisons, its elements in the same order."""
    if dtype not in WIDE_UNSIGNED:
        return x
    return x.long() ^ _SIGN if dtype == ir.DataType.UINT64 else x.long()


def in_float32(compute: Callable[..., Any], *tensors: Any, dtype: ir.DataType) -> Any:
    """``compute(*tensors)`` of floats; halves and 8-bit floats by way of float32 and back."""
    if dtype not in HALVES and dtype not in NARROW_FLOATS:
        return compute(*tensors)
    return compute(*(t.float() for t in tensors)).to(dtype_of(dtype))


def in_double(compute: Callable[..., Any], *tensors: Any, dtype: ir.DataType) -> Any:
    """``compute(*tensors)``; integers by way of float64, and truncated."""
    if not dtype.is_integer():
        return compute(*tensors)
    return compute(*(t.double() for t in tensors)).to(dtype_of(dtype))


def readable(x: Any, dtype: ir.DataType) -> Any:
    """``x`` in a type that has arithmetic: float32 where PyTorch only casts its own."""
    return x.float() if dtype in NARROW_FLOATS else x


def quotient(a: Any, b: Any, dtype: ir.DataType) -> Any:
    """Integers divided, towards zero."""
    if dtype == ir.DataType.UINT64:
        return _quotient_of_bits(a.long(), b.long()).to(torch.uint64)
    return in_int64(lambda n, d: torch.div(n, d, rounding_mode="trunc"), a, b, dtype=dtype)


def _quotient_of_bits(a: Any, b: Any) -> Any:
    """The quotient of two uint64, each held as the bits of an int64, as the bits of an int64."""
    # Half of a is no negative number, so its quotient is right; the last bit comes from what remains.
    half = torch.div((a >> 1) & ~_SIGN, b, rounding_mode="trunc") << 1
    last = ((a - half * b) ^ _SIGN) >= (b ^ _SIGN)
    # A divisor of 2⁶³ or more goes in once or not at all.
    once = (a ^ _SIGN) >= (b ^ _SIGN)
    return torch.where(b < 0, once.long(), half + last.long())


def written(value: float) -> float:
    """The number that a float32 attribute was written as: the shortest that is the same float32."""
    return shortest(float(np.float32(value)))
