"""Interpolation along one axis: which elements each output element is made of, and with what weights.

Everything is computed in float32, as ONNX Runtime does it: with other roundings a tie falls on another pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from isthmus.lower.interpolation import Filter
from isthmus.writers.tensorflow.ops._common import dims
from isthmus.writers.tensorflow.ops._windows import product, shaped


@dataclass(frozen=True)
class Axis:
    """One axis to be resized. Sizes are ints or int32 tensors, ``scale`` and ``roi`` floats or float32 tensors.

    ``by_size``: the scale is the ratio of the sizes, and not the other way round.
    """

    axis: int
    length: Any
    resized: Any
    scale: Any
    roi: tuple[Any, Any] = (0.0, 1.0)
    by_size: bool = False

    @property
    def known(self) -> bool:
        return not any(tf.is_tensor(v) for v in (self.length, self.resized, self.scale, *self.roi))

    @property
    def unchanged(self) -> bool:
        """Whether every output element is the input element of its index."""
        whole = not tf.is_tensor(self.roi[0]) and self.roi == (0.0, 1.0)
        return whole and not tf.is_tensor(self.scale) and self.scale == 1.0


def positions(axis: Axis, coordinates: str) -> tf.Tensor:
    """Where each output element lies on the input's axis: float32 of shape (resized,)."""
    at = tf.cast(tf.range(axis.resized), tf.float32)
    length, resized = _float(axis.length), _float(axis.resized)
    scale, (start, end) = _float(axis.scale), map(_float, axis.roi)
    half_pixel = (at + 0.5) / scale - 0.5
    if coordinates == "align_corners":
        return at * (length - 1) / tf.maximum(resized - 1, 1.0)
    if coordinates == "asymmetric":
        return at / scale
    if coordinates == "tf_crop_and_resize":
        apart = (end - start) * (length - 1)
        spread = tf.where(resized > 1, at * apart / tf.maximum(resized - 1, 1.0), 0.5 * apart)
        return start * (length - 1) + spread
    if coordinates == "pytorch_half_pixel":
        return tf.where(resized > 1, half_pixel, 0.0)
    if coordinates == "half_pixel_symmetric":
        return length / 2 * (1 - resized / (scale * length)) + half_pixel
    return half_pixel


def _float(value: Any) -> tf.Tensor:
    return tf.cast(value, tf.float32)


def nearest_index(at: tf.Tensor, length: Any, rounding: str) -> tf.Tensor:
    """The nearest element's index: int32, of the shape of ``at``."""
    rounded = {
        "round_prefer_floor": lambda: tf.math.ceil(at - 0.5),
        "round_prefer_ceil": lambda: tf.floor(at + 0.5),
        "floor": lambda: tf.floor(at),
        "ceil": lambda: tf.math.ceil(at),
    }[rounding]()
    return tf.clip_by_value(tf.cast(rounded, tf.int32), 0, length - 1)


def taps(at: tf.Tensor, length: Any, how: Filter) -> tuple[tf.Tensor, tf.Tensor]:
    """The elements that make each output element, and their weights: both of shape (resized, 2 or 4)."""
    floor = tf.floor(at)
    offsets = np.arange(2) if how.mode == "linear" else np.arange(-1, 3)
    index = tf.cast(floor, tf.int32)[:, None] + offsets[None, :].astype(np.int32)
    weights = _kernel(tf.cast(index, tf.float32) - at[:, None], how)
    if how.exclude_outside:
        weights = _normalized(tf.where((index >= 0) & (index < length), weights, 0.0))
    return tf.clip_by_value(index, 0, length - 1), weights


def matrix(at: tf.Tensor, axis: Axis, how: Filter) -> tf.Tensor:
    """The antialiased interpolation as a matrix of shape (resized, length): the kernel is widened when shrinking."""
    scale = tf.minimum(_float(axis.scale), 1.0)
    reach = tf.cast(tf.math.ceil((1.0 if how.mode == "linear" else 2.0) / scale), tf.int32)
    # elements beyond the ends count with the weight of their place, and with the value of the end
    index = tf.range(-reach - 1, axis.length + reach + 1)
    weights = _kernel((tf.cast(index, tf.float32)[None, :] - at[:, None]) * scale, how)
    inside = (index >= 0) & (index < axis.length)
    if how.exclude_outside:
        weights = tf.where(inside[None, :], weights, 0.0)
    weights = _normalized(weights)
    return tf.transpose(
        tf.math.unsorted_segment_sum(tf.transpose(weights), tf.clip_by_value(index, 0, axis.length - 1), axis.length)
    )


def _kernel(x: tf.Tensor, how: Filter) -> tf.Tensor:
    x = tf.abs(x)
    if how.mode == "linear":
        return tf.maximum(1 - x, 0.0)
    a = how.cubic_coeff_a
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return tf.where(x <= 1, near, tf.where(x < 2, far, 0.0))


def _normalized(weights: tf.Tensor) -> tf.Tensor:
    return weights / tf.reduce_sum(weights, axis=-1, keepdims=True)


def picked(x: tf.Tensor, axis: Axis, how: Filter) -> tf.Tensor:
    """``x`` resized along ``axis`` by its nearest elements; any type."""

    def index() -> tf.Tensor:
        return nearest_index(positions(axis, how.coordinates), axis.length, how.nearest)

    return tf.gather(x, _settled(index, axis), axis=axis.axis)


def mixed(x: tf.Tensor, axis: Axis, how: Filter) -> tf.Tensor:
    """A floating ``x`` resized along ``axis`` by weighted sums."""
    if how.antialias:
        weights = _settled(lambda: matrix(positions(axis, how.coordinates), axis, how), axis)
        return _multiplied(tf.cast(weights, x.dtype), x, axis.axis)
    index, weights = _settled(lambda: taps(positions(axis, how.coordinates), axis.length, how), axis)
    along = [-1 if i == axis.axis else 1 for i in range(x.shape.rank)]
    return tf.add_n(
        [
            tf.gather(x, index[:, tap], axis=axis.axis) * tf.reshape(tf.cast(weights[:, tap], x.dtype), along)
            for tap in range(index.shape[1])
        ]
    )


def _settled(compute, axis: Axis) -> Any:
    """What ``compute`` gives, as constants where the axis is known at conversion."""
    if not axis.known:
        return compute()
    with tf.init_scope():
        return tf.nest.map_structure(lambda t: t.numpy(), compute())


def _multiplied(weights: tf.Tensor, x: tf.Tensor, axis: int) -> tf.Tensor:
    sizes = dims(x)
    y = tf.linalg.matmul(weights, shaped(x, [product(sizes[:axis]), sizes[axis], product(sizes[axis + 1 :])]))
    return shaped(y, [*sizes[:axis], dims(y)[1], *sizes[axis + 1 :]])


def outside(axes: list[Axis], rank: int) -> tf.Tensor:
    """Which elements of a cropped and resized tensor come from beyond the input: bool, broadcasting to it."""
    beyond = tf.zeros([1] * rank, tf.bool)
    for axis in axes:
        at = positions(axis, "tf_crop_and_resize")
        one = (at < 0) | (at > _float(axis.length) - 1)
        beyond |= tf.reshape(one, [-1 if i == axis.axis else 1 for i in range(rank)])
    return beyond
