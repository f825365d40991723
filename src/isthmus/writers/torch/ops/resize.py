"""Resize in all of its modes: ``F.interpolate`` where it computes the same, else axis by axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
import torch.nn.functional as F

from isthmus.lower.contract import Host, Lowerings
from isthmus.lower.interpolation import Filter
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import FLOATS, HALVES, dims, dtype_of, host_list, positive
from isthmus.writers.torch.ops._dims import moved
from isthmus.writers.torch.ops._interpolate import Axis, Size, mixed, outside, picked, single
from isthmus.writers.torch.ops._numeric import in_float32
from isthmus.writers.torch.ops._windows import short

table = Lowerings()
lower, alias = table.lower, table.alias

LINEAR = {3: "linear", 4: "bilinear", 5: "trilinear"}
"""What F.interpolate calls linear, by the tensor's rank."""

PICKED = FLOATS | HALVES | {ir.DataType.UINT8}
"""What F.interpolate picks nearest elements of."""


@lower("Resize")
def resize(
    c,
    x,
    roi: Host = None,
    scales: Host = None,
    sizes: Host = None,
    *,
    antialias,
    axes,
    coordinate_transformation_mode,
    cubic_coeff_a,
    exclude_outside,
    extrapolation_value,
    keep_aspect_ratio_policy,
    mode,
    nearest_mode,
):
    rank = c.rank()
    numbers = [positive(a, rank) for a in (range(rank) if axes is None else axes)]
    how = Filter(
        mode=mode,
        coordinates=coordinate_transformation_mode,
        nearest=nearest_mode,
        cubic_coeff_a=cubic_coeff_a,
        antialias=bool(antialias),
        exclude_outside=bool(exclude_outside),
        extrapolation_value=extrapolation_value,
    )
    cropped = how.coordinates == "tf_crop_and_resize" and _given(c, 1, roi)
    scales = scales if _given(c, 2, scales) else None
    asked = _asked(c, x, numbers, scales, sizes, keep_aspect_ratio_policy, roi if cropped else None)
    changed = [
        axis for axis in asked if not (axis.unchanged or (axis.by_size and not cropped and _kept(c, axis.axis)))
    ]
    if not changed:
        return x
    if how.coordinates == "align_corners" and not all(_aligned_alike(c, axis) for axis in changed):
        c.refuse(
            "scale times length is not known to be a whole number, and there ONNX's own cases and its runtimes"
            " align corners differently: PyTorch has one way only",
            hint="give the new sizes instead of scales",
        )
    if (y := _by_kernel(c, x, changed, how)) is not None:
        return y
    if mode == "nearest":

        def pick(x: Any) -> Any:
            for axis in changed:
                x = picked(x, axis, how)
            return x

        y = moved(c, pick, x)
    else:
        y = _blended(c, x, changed, how)
    if not cropped:
        return y
    fill = extrapolation_value if c.dtype().is_floating_point() else int(extrapolation_value)
    return y.masked_fill(outside(changed, rank, x), fill)


def _kept(c: Context, axis: int) -> bool:
    """Whether the hub knows that an axis keeps its size, whatever that is."""
    before, after = c.shape()[axis], c.output_shape()
    return before is not None and after is not None and before == after[axis]


def _given(c: Context, index: int, operand: Any) -> bool:
    """An operand that is not used may be absent or empty."""
    if isinstance(operand, np.ndarray):
        return operand.size > 0
    return operand is not None and c.shape(index) != (0,)


def _asked(c: Context, x: Any, numbers: Sequence[int], scales: Any, sizes: Any, policy: str, roi: Any) -> list[Axis]:
    """The axes with their scales and new sizes, in the order of the operands."""
    count = len(numbers)
    starts_ends: list[Any] = [(0.0, 1.0)] * count
    if roi is not None:
        bounds = _factors(roi, 2 * count)
        starts_ends = list(zip(bounds[:count], bounds[count:], strict=True))
    lengths = dims(c, x)
    lengths = [lengths[a] for a in numbers]
    if scales is not None:
        factors = _factors(scales, count)
        resized = [_scaled(length, factor, x) for length, factor in zip(lengths, factors, strict=True)]
    else:
        wanted = host_list(c, sizes, count)
        factors = [_ratio(new, old, x) for new, old in zip(wanted, lengths, strict=True)]
        resized = wanted
        if policy != "stretch":
            factors = [_extreme(factors, smallest=policy == "not_larger")] * count
            resized = [_scaled(length, factors[0], x, half_up=True) for length in lengths]
    by_size = scales is None and policy == "stretch"
    return [Axis(*entry, by_size) for entry in zip(numbers, lengths, resized, factors, starts_ends, strict=True)]


def _factors(operand: Any, count: int) -> list[Any]:
    """The elements of a one-dimensional operand of floats: Python's, or 0-d tensors of float32."""
    if isinstance(operand, np.ndarray):
        return [float(np.float32(v)) for v in operand.tolist()]
    operand = operand.to(torch.float32)
    return [operand[i] for i in range(count)]


def _scaled(length: Size, factor: Any, like: Any, *, half_up: bool = False) -> Size:
    """``length`` times ``factor`` in float32, rounded down."""
    more = 0.5 if half_up else 0.0
    if not isinstance(factor, float):
        return torch.floor(factor * length + more).long().item()
    if isinstance(length, int):
        return math.floor(float(np.float32(length) * np.float32(factor)) + more)
    if factor.is_integer():
        return length * int(factor)
    ratio = Fraction(factor).limit_denominator(256)
    if not half_up and _is_ratio(factor, ratio):
        return length * ratio.numerator // ratio.denominator
    return torch.floor(single(length, like) * factor + more).long().item()


def _is_ratio(factor: float, ratio: Fraction) -> bool:
    """Whether a scale gives the same sizes as a fraction does, for images as large as there are."""
    lengths = np.arange(1, 1 << 14)
    scaled = np.floor(lengths.astype(np.float32) * np.float32(factor)).astype(np.int64)
    return bool((scaled == lengths * ratio.numerator // ratio.denominator).all())


def _ratio(new: Size, old: Size, like: Any) -> Any:
    if isinstance(new, int) and isinstance(old, int):
        return float(np.float32(new) / np.float32(old)) if old else 1.0
    return single(new, like) / single(old, like)


def _extreme(factors: list[Any], *, smallest: bool) -> Any:
    if all(isinstance(f, float) for f in factors):
        return min(factors) if smallest else max(factors)
    stacked = torch.stack([torch.tensor(f) if isinstance(f, float) else f for f in factors])
    return stacked.amin() if smallest else stacked.amax()


def _by_kernel(c: Context, x: Any, changed: list[Axis], how: Filter) -> Any:
    """The resize by F.interpolate, where it computes exactly the same, else None."""
    rank = c.rank()
    mode = _kernel_mode(c, changed, how)
    if mode is None or min(axis.axis for axis in changed) < 2:
        return None
    options: dict[str, Any] = {"mode": mode}
    if not mode.startswith("nearest"):
        options["align_corners"] = how.coordinates == "align_corners"
    by_axis = {axis.axis: axis for axis in changed}
    scales = [by_axis[i].scale if i in by_axis else 1.0 for i in range(2, rank)]
    if not any(axis.by_size for axis in changed) and all(isinstance(s, float) and s.is_integer() for s in scales):
        options["scale_factor"] = short(scales)
    else:
        sizes = dims(c, x)
        options["size"] = [by_axis[i].resized if i in by_axis else sizes[i] for i in range(2, rank)]
    if how.mode == "nearest":
        return F.interpolate(x, **options)
    return in_float32(lambda x: F.interpolate(x, **options), x, dtype=c.dtype())


def _kernel_mode(c: Context, changed: list[Axis], how: Filter) -> str | None:
    """What F.interpolate calls this resize, or None where it has none that is the same."""
    half_pixel = how.coordinates in ("half_pixel", "pytorch_half_pixel")
    if how.coordinates == "pytorch_half_pixel" and not all(map(_of_several, changed)):
        return None
    if how.mode == "nearest":
        if c.rank() not in LINEAR or c.dtype() not in PICKED or not all(map(_repeating, changed)):
            return None
        if how.coordinates == "asymmetric" and how.nearest == "floor":
            return "nearest"
        return "nearest-exact" if half_pixel and how.nearest.startswith("round") else None
    if how.antialias or how.exclude_outside or c.dtype() not in FLOATS | HALVES or not all(map(_exact, changed)):
        return None
    if not half_pixel and how.coordinates != "align_corners":
        return None
    if how.mode == "linear":
        return LINEAR.get(c.rank())
    return "bicubic" if c.rank() == 4 and how.cubic_coeff_a == -0.75 else None


def _exact(axis: Axis) -> bool:
    """Whether the scale is the ratio of the sizes, which is what F.interpolate computes with."""
    if axis.by_size:
        return True
    if axis.known:
        return bool(np.isclose(axis.scale * axis.length, axis.resized, rtol=1e-6, atol=0))
    return isinstance(axis.scale, float) and axis.scale.is_integer()


def _aligned_alike(c: Context, axis: Axis) -> bool:
    """Whether corners can be aligned in one way only.

    By ONNX's text, ONNX Runtime and PyTorch the last element lies at the last index; in ONNX's cases at scale times
    length, less one, which need not be whole. A free length is taken as the runtimes take it.
    """
    if axis.by_size or (not isinstance(c.shape()[axis.axis], int) and isinstance(axis.scale, float)):
        return True
    return axis.known and bool(np.isclose(axis.scale * axis.length, axis.resized, rtol=1e-6, atol=0))


def _of_several(axis: Axis) -> bool:
    """Whether the resized axis has more than one element: a single one has a place of its own."""
    if isinstance(axis.resized, int):
        return axis.resized > 1
    return isinstance(axis.scale, float) and axis.scale >= 2


def _repeating(axis: Axis) -> bool:
    """Whether the scale is a whole number: then every element is repeated, and no pixel centre falls between two.

    F.interpolate multiplies by the rounded inverse; up to 32 that was seen to give the same at every place.
    """
    return isinstance(axis.scale, float) and axis.scale.is_integer() and 1 <= axis.scale <= 32


def _blended(c: Context, x: Any, changed: list[Axis], how: Filter) -> Any:
    """Weighted sums along each axis; integers are cut back to integers, and rounded if antialiased."""
    dtype = c.dtype()
    if dtype.is_floating_point() or dtype in (ir.DataType.COMPLEX64, ir.DataType.COMPLEX128):
        return in_float32(lambda x: _mixed(x, changed, how, c.rank()), x, dtype=dtype)
    y = _mixed(x.float() if dtype.bitwidth <= 16 else x.double(), changed, how, c.rank())
    limits = torch.iinfo(dtype_of(dtype))
    return (
        (torch.floor(y + 0.5) if how.antialias else torch.trunc(y)).clamp(limits.min, limits.max).to(dtype_of(dtype))
    )


def _mixed(x: Any, changed: list[Axis], how: Filter, rank: int) -> Any:
    for axis in changed:
        x = mixed(x, axis, how, rank)
    return x
