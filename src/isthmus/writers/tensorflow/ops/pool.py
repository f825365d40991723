"""Pooling, channels last; MaxUnpool as ONNX has it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from isthmus.hub.model import CHANNELS_LAST
from isthmus.lower.contract import Host, Lowerings
from isthmus.lower.windows import Padding, Window, known, outputs_of
from isthmus.writers.tensorflow.ops._common import HALVES, dim, dims
from isthmus.writers.tensorflow.ops._windows import (
    along_each_axis,
    ceiled,
    counts,
    is_tensorflow_same,
    padded,
    paddings_of,
    product,
    reduced,
    spatial_of,
    taken,
)

table = Lowerings()
lower, alias = table.lower, table.alias


def _paddings(
    x: tf.Tensor, window: Window, auto_pad: str, pads: Sequence[int] | None, ceil_mode: int
) -> list[Padding]:
    sizes = spatial_of(x)
    paddings = paddings_of(auto_pad, pads, window, sizes)
    return ceiled(paddings, window, sizes) if ceil_mode and not auto_pad.startswith("SAME") else paddings


def _in_float32(x: tf.Tensor, compute) -> tf.Tensor:
    """float16 and bfloat16 are summed in float32 and rounded once."""
    return tf.cast(compute(tf.cast(x, tf.float32)), x.dtype) if x.dtype in HALVES else compute(x)


# ---------------------------------------------------------------------------------------------- maximum


@lower("MaxPool", domain=CHANNELS_LAST)
def max_pool(c, x, *, auto_pad, ceil_mode, dilations, kernel_shape, pads, storage_order, strides):
    window = Window.of(kernel_shape, strides, dilations)
    paddings = _paddings(x, window, auto_pad, pads, ceil_mode)
    if c.wants(1):
        return _max_with_indices(x, window, paddings, column_major=bool(storage_order))
    return _maximum(x, window, paddings)


def _maximum(x: tf.Tensor, window: Window, paddings: Sequence[Padding]) -> tf.Tensor:
    if window.rank == 2 and not window.dilated:
        if is_tensorflow_same(paddings, window, spatial_of(x)):
            return tf.nn.max_pool2d(x, window.kernel, window.strides, "SAME")
        if _taken_by_kernel(paddings, window):
            return tf.nn.max_pool2d(x, window.kernel, window.strides, [(0, 0), *paddings, (0, 0)])
    x = padded(x, paddings, _lowest(x.dtype))
    if window.dilated:
        return reduced(x, window, tf.maximum)
    if window.rank == 2:
        return tf.nn.max_pool2d(x, window.kernel, window.strides, "VALID")
    if window.rank == 3 and x.dtype == tf.float32:
        return tf.nn.max_pool3d(x, window.kernel, window.strides, "VALID")
    return along_each_axis(x, window, lambda image, k, s: tf.nn.max_pool2d(image, (k, 1), (s, 1), "VALID"))


def _taken_by_kernel(paddings: Sequence[Padding], window: Window) -> bool:
    """Whether TensorFlow's kernel pads so by itself: known, not negative, and less than a window."""
    return all(known(pair) and all(0 <= p < k for p in pair) for pair, k in zip(paddings, window.kernel, strict=True))


def _lowest(dtype: tf.DType) -> Any:
    return -np.inf if dtype.is_floating else dtype.min


def _max_with_indices(
    x: tf.Tensor, window: Window, paddings: Sequence[Padding], *, column_major: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """The maxima, and where in the flat N, C, spatial… tensor the first of each stands."""
    sizes = dims(x)
    spatial, channels = sizes[1:-1], sizes[-1]
    order = range(window.rank) if column_major else reversed(range(window.rank))
    step: Any = 1
    place: Any = tf.zeros([1] * x.shape.rank, tf.int64)
    for axis in order:
        at = tf.range(tf.cast(spatial[axis], tf.int64)) * tf.cast(step, tf.int64)
        place = place + tf.reshape(at, [1, *(-1 if i == axis else 1 for i in range(window.rank)), 1])
        step = step * spatial[axis]
    best = padded(x, paddings, _lowest(x.dtype))
    index = padded(place, paddings, -1)
    # one axis after the other, the last first: among equals the first in row-major order remains
    for axis in reversed(range(window.rank)):
        count = outputs_of(dim(best, axis + 1), window.extents[axis], window.strides[axis])
        taps = [
            tuple(taken(t, axis + 1, k * window.dilations[axis], window.strides[axis], count) for t in (best, index))
            for k in range(window.kernel[axis])
        ]
        best, index = functools.reduce(_better, taps)
    plane = tf.cast(product(spatial), tf.int64)
    rows = tf.range(tf.cast(sizes[0], tf.int64))[:, None] * tf.cast(channels, tf.int64)
    base = (rows + tf.range(tf.cast(channels, tf.int64))[None, :]) * plane
    return best, index + tf.reshape(base, [sizes[0], *[1] * window.rank, channels])


def _better(first: tuple[tf.Tensor, tf.Tensor], second: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    later = (second[0] > first[0]) | ((first[1] < 0) & (second[1] >= 0))
    return tf.where(later, second[0], first[0]), tf.where(later, second[1], first[1])


@lower("MaxUnpool")
def max_unpool(c, x, indices, output_shape: Host = None, *, kernel_shape, pads, strides):
    window = Window.of(kernel_shape, strides, None)
    sizes = dims(x)
    paddings = paddings_of("NOTSET", pads, window, sizes[2:])
    inferred = [
        (size - 1) * s + k - begin - end
        for size, s, k, (begin, end) in zip(sizes[2:], window.strides, window.kernel, paddings, strict=True)
    ]
    whole = [*sizes[:2], *inferred]
    total = tf.cast(product(whole), tf.int64)
    flat = tf.scatter_nd(tf.reshape(indices, [-1, 1]), tf.reshape(x, [-1]), tf.reshape(total, [1]))
    y = tf.reshape(flat, whole)
    if output_shape is None:
        return y
    # the indices count in the inferred shape; what output_shape has beyond it is 0
    missing = tf.cast(output_shape, tf.int32) - tf.stack(whole)
    return tf.pad(y, tf.stack([tf.zeros_like(missing), tf.maximum(missing, 0)], axis=1))


# ---------------------------------------------------------------------------------------------- averages, norms


@lower("AveragePool", domain=CHANNELS_LAST)
def average_pool(c, x, *, auto_pad, ceil_mode, count_include_pad, dilations, kernel_shape, pads, strides):
    window = Window.of(kernel_shape, strides, dilations)
    paddings = _paddings(x, window, auto_pad, pads, ceil_mode)
    counted = paddings_of(auto_pad, pads, window, spatial_of(x)) if count_include_pad else [(0, 0)] * window.rank
    return _in_float32(x, lambda x: _average(x, window, paddings, counted))


def _average(x: tf.Tensor, window: Window, paddings: Sequence[Padding], counted: Sequence[Padding]) -> tf.Tensor:
    """The sums of the windows over as many elements as fall on the input widened by ``counted``."""
    sizes, widened = spatial_of(x), any(not known(pair) or any(pair) for pair in counted)
    if window.rank == 2 and not window.dilated and not widened and is_tensorflow_same(paddings, window, sizes):
        return tf.nn.avg_pool2d(x, window.kernel, window.strides, "SAME")
    mean = _mean(padded(x, paddings), window)
    count = counts(window, paddings, sizes, counted)
    taps = window.taps
    if isinstance(count, np.ndarray):
        return mean if (count == taps).all() else mean * tf.constant(taps / count, x.dtype)
    return mean * tf.cast(taps / count, x.dtype)


def _mean(x: tf.Tensor, window: Window) -> tf.Tensor:
    """The mean of every whole window."""
    if window.dilated:
        return reduced(x, window, tf.add) / window.taps
    if window.rank == 2:
        return tf.nn.avg_pool2d(x, window.kernel, window.strides, "VALID")
    if window.rank == 3 and x.dtype == tf.float32:
        return tf.nn.avg_pool3d(x, window.kernel, window.strides, "VALID")
    return along_each_axis(x, window, lambda image, k, s: tf.nn.avg_pool2d(image, (k, 1), (s, 1), "VALID"))


@lower("LpPool", domain=CHANNELS_LAST)
def lp_pool(c, x, *, auto_pad, ceil_mode, dilations, kernel_shape, p, pads, strides):
    window = Window.of(kernel_shape, strides, dilations)
    paddings = _paddings(x, window, auto_pad, pads, ceil_mode)

    def norm(x: tf.Tensor) -> tf.Tensor:
        return _root(_mean(padded(_power(x, p), paddings), window) * window.taps, p)

    return _in_float32(x, norm)


def _power(x: tf.Tensor, p: int) -> tf.Tensor:
    """|x|ᵖ"""
    return {1: tf.abs, 2: tf.square}.get(p, lambda x: tf.abs(x) ** p)(x)


def _root(x: tf.Tensor, p: int) -> tf.Tensor:
    return {1: tf.identity, 2: tf.sqrt}.get(p, lambda x: x ** (1 / p))(x)


@lower("GlobalAveragePool", domain=CHANNELS_LAST)
def global_average_pool(x):
    return _in_float32(x, lambda x: tf.reduce_mean(x, _spatial(x), keepdims=True))


@lower("GlobalMaxPool", domain=CHANNELS_LAST)
def global_max_pool(x):
    return tf.reduce_max(x, _spatial(x), keepdims=True)


@lower("GlobalLpPool", domain=CHANNELS_LAST)
def global_lp_pool(x, *, p):
    return _in_float32(x, lambda x: _root(tf.reduce_sum(_power(x, p), _spatial(x), keepdims=True), p))


def _spatial(x: tf.Tensor) -> list[int]:
    return list(range(1, x.shape.rank - 1))
