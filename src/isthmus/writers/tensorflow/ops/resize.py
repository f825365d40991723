"""Resize in all of its modes: TensorFlow's image kernels where they compute the same, else axis by axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from isthmus.hub.model import CHANNELS_LAST
from isthmus.lower.contract import Host, Lowerings
from isthmus.lower.interpolation import Filter
from isthmus.lower.walk import Context
from isthmus.writers.tensorflow.ops._common import HALVES, dims, positive
from isthmus.writers.tensorflow.ops._dims import partial
from isthmus.writers.tensorflow.ops._interpolate import Axis, mixed, outside, picked

table = Lowerings()
lower, alias = table.lower, table.alias

PICKED = frozenset(
    (
        tf.int8,
        tf.uint8,
        tf.int16,
        tf.uint16,
        tf.int32,
        tf.int64,
        tf.float16,
        tf.bfloat16,
        tf.float32,
        tf.float64,
    )
)
"""What TensorFlow's nearest-neighbour kernel takes."""


@lower("Resize")
@lower("Resize", domain=CHANNELS_LAST)
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
    rank = x.shape.rank
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
    cropped = how.coordinates == "tf_crop_and_resize" and _given(roi)
    asked = _asked(dims(x), numbers, scales, sizes, keep_aspect_ratio_policy, roi if cropped else None)
    changed = [
        axis for axis in asked if not (axis.unchanged or (axis.by_size and not cropped and _kept(c, axis.axis)))
    ]
    if not changed:
        return tf.identity(x)
    if how.coordinates == "align_corners" and not all(map(_aligned_alike, changed)):
        c.refuse(
            "scale times length is not known to be a whole number, and there ONNX's own cases and its runtimes"
            " align corners differently: TensorFlow has one way only",
            hint="give the new sizes instead of scales",
        )
    if (y := _by_kernel(x, changed, how)) is not None:
        return y
    if mode == "nearest":
        y = x
        for axis in changed:
            y = picked(y, axis, how)
    else:
        y = _blended(x, changed, how)
    return tf.where(outside(changed, rank), tf.cast(extrapolation_value, y.dtype), y) if cropped else y


def _kept(c: Context, axis: int) -> bool:
    """Whether the hub knows that an axis keeps its size, whatever that is."""
    before, after = c.shape()[axis], c.output_shape()
    return before is not None and after is not None and before == after[axis]


def _given(operand: Any) -> bool:
    """An operand that is not used may be absent or empty."""
    return operand is not None and operand.shape != (0,)


def _asked(
    lengths: Sequence[Any], numbers: Sequence[int], scales: Any, sizes: Any, policy: str, roi: Any
) -> list[Axis]:
    """The axes with their scales and new sizes, in the order of the operands."""
    count = len(numbers)
    starts_ends = [(0.0, 1.0)] * count if roi is None else list(zip(*_halves(_entries(roi, 2 * count)), strict=True))
    lengths = [lengths[a] for a in numbers]
    if _given(scales):
        factors = _entries(scales, count)
        resized = [_scaled(length, factor) for length, factor in zip(lengths, factors, strict=True)]
    else:
        wanted = _entries(sizes, count)
        factors = [_ratio(new, old) for new, old in zip(wanted, lengths, strict=True)]
        resized = wanted
        if policy != "stretch":
            factors = [_extreme(factors, smallest=policy == "not_larger")] * count
            resized = [_scaled(length, factors[0], half_up=True) for length in lengths]
    by_size = not _given(scales) and policy == "stretch"
    return [Axis(*entry, by_size) for entry in zip(numbers, lengths, resized, factors, starts_ends, strict=True)]


def _entries(operand: Any, count: int) -> list[Any]:
    """The elements of a one-dimensional operand: Python numbers, or 0-d tensors of int32 or float32."""
    if isinstance(operand, np.ndarray):
        return [int(v) if operand.dtype.kind == "i" else float(np.float32(v)) for v in operand]
    if operand.dtype.is_floating:
        return list(tf.unstack(tf.cast(operand, tf.float32), count))
    values = partial(operand) or [None] * count
    operand = tf.cast(operand, tf.int32)
    return [operand[i] if value is None else value for i, value in enumerate(values)]


def _halves(entries: list[Any]) -> tuple[list[Any], list[Any]]:
    return entries[: len(entries) // 2], entries[len(entries) // 2 :]


def _scaled(length: Any, factor: Any, *, half_up: bool = False) -> Any:
    more = 0.5 if half_up else 0.0
    if isinstance(length, int) and isinstance(factor, float):
        return math.floor(float(np.float32(length) * np.float32(factor)) + more)
    if isinstance(factor, float) and factor.is_integer():
        return length * int(factor)
    return tf.cast(tf.floor(tf.cast(length, tf.float32) * factor + more), tf.int32)


def _ratio(new: Any, old: Any) -> Any:
    if isinstance(new, int) and isinstance(old, int):
        return float(np.float32(new) / np.float32(old)) if old else 1.0
    return tf.cast(new, tf.float32) / tf.cast(old, tf.float32)


def _extreme(factors: list[Any], *, smallest: bool) -> Any:
    if all(isinstance(f, float) for f in factors):
        return min(factors) if smallest else max(factors)
    stacked = tf.stack([tf.cast(f, tf.float32) for f in factors])
    return tf.reduce_min(stacked) if smallest else tf.reduce_max(stacked)


def _by_kernel(x: tf.Tensor, changed: list[Axis], how: Filter) -> tf.Tensor | None:
    """The resize by TensorFlow's image kernels, where they compute exactly the same, else None."""
    if x.shape.rank != 4 or not {axis.axis for axis in changed} <= {1, 2}:
        return None
    size: list[Any] = dims(x)[1:3]
    for axis in changed:
        size[axis.axis - 1] = axis.resized
    half_pixel = how.coordinates in ("half_pixel", "pytorch_half_pixel")
    if how.coordinates == "pytorch_half_pixel" and not all(map(_of_several, changed)):
        return None
    if how.mode == "linear" and not how.antialias and not how.exclude_outside and x.dtype in (tf.float32, *HALVES):
        if how.coordinates not in ("align_corners", "asymmetric") and not half_pixel:
            return None
        if not all(map(_exact, changed)):
            return None
        y = tf.raw_ops.ResizeBilinear(
            images=tf.cast(x, tf.float32),
            size=tf.stack(size),
            half_pixel_centers=half_pixel,
            align_corners=how.coordinates == "align_corners",
        )
        return tf.cast(y, x.dtype)
    if how.mode == "nearest" and x.dtype in PICKED and all(map(_doubling, changed)):
        floor = how.coordinates == "asymmetric" and how.nearest == "floor"
        if floor or (half_pixel and how.nearest.startswith("round")):
            return tf.raw_ops.ResizeNearestNeighbor(images=x, size=tf.stack(size), half_pixel_centers=half_pixel)
    return None


def _exact(axis: Axis) -> bool:
    """Whether the scale is the ratio of the sizes, which is what TensorFlow computes with."""
    if axis.by_size:
        return True
    if axis.known:
        return bool(np.isclose(axis.scale * axis.length, axis.resized, rtol=1e-6, atol=0))
    return isinstance(axis.scale, float) and axis.scale.is_integer()


def _aligned_alike(axis: Axis) -> bool:
    """Whether corners can be aligned in one way only.

    By ONNX's text, ONNX Runtime and PyTorch the last element lies at the last index; in ONNX's cases at scale times
    length, less one, which need not be whole. A free length is taken as the runtimes take it.
    """
    if axis.by_size or (tf.is_tensor(axis.length) and not tf.is_tensor(axis.scale)):
        return True
    return axis.known and bool(np.isclose(axis.scale * axis.length, axis.resized, rtol=1e-6, atol=0))


def _of_several(axis: Axis) -> bool:
    """Whether the resized axis has more than one element: a single one has a place of its own."""
    if isinstance(axis.resized, int):
        return axis.resized > 1
    return isinstance(axis.scale, float) and axis.scale >= 2


def _doubling(axis: Axis) -> bool:
    """Whether the scale is 2, 4, 8…: its inverse is exact, and no pixel centre falls between two."""
    return isinstance(axis.scale, float) and axis.scale >= 1 and math.frexp(axis.scale)[0] == 0.5


def _blended(x: tf.Tensor, changed: list[Axis], how: Filter) -> tf.Tensor:
    """Weighted sums along each axis; integers are cut back to integers, and rounded if antialiased."""
    wide = tf.float32 if x.dtype == tf.float32 or x.dtype.size <= 2 else tf.float64
    y = x if x.dtype.is_complex else tf.cast(x, wide)
    for axis in changed:
        y = mixed(y, axis, how)
    if x.dtype.is_integer:
        y = tf.clip_by_value(
            tf.floor(y + 0.5) if how.antialias else tf.math.sign(y) * tf.floor(tf.abs(y)), x.dtype.min, x.dtype.max
        )
    return tf.cast(y, x.dtype)
