"""Pooling over regions of interest: RoiAlign, MaxRoiPool, and DeformConv, which reads between pixels as they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from isthmus.lower.contract import Lowerings, Weight
from isthmus.lower.windows import Window
from isthmus.writers.tensorflow.ops._common import dim, dims
from isthmus.writers.tensorflow.ops._sample import blended, linear_weights, taps_at
from isthmus.writers.tensorflow.ops._windows import paddings_of, product, shaped

table = Lowerings()
lower, alias = table.lower, table.alias


def _wide(x: tf.Tensor) -> tf.Tensor:
    return x if x.dtype == tf.float64 else tf.cast(x, tf.float32)


@lower("RoiAlign")
def roi_align(
    x,
    rois,
    batch_indices,
    *,
    coordinate_transformation_mode,
    mode,
    output_height,
    output_width,
    sampling_ratio,
    spatial_scale,
):
    image, boxes = _wide(x), _wide(rois)
    sizes = dims(image)
    half_pixel = coordinate_transformation_mode == "half_pixel"
    boxes = boxes * spatial_scale - (0.5 if half_pixel else 0.0)
    rows = (boxes[:, 1], boxes[:, 3] - boxes[:, 1], sizes[2], output_height)
    columns = (boxes[:, 0], boxes[:, 2] - boxes[:, 0], sizes[3], output_width)
    if mode == "avg":
        heights, widths = (_averaging(*axis, sampling_ratio, half_pixel) for axis in (rows, columns))

        def average(one: tuple[tf.Tensor, ...]) -> tf.Tensor:
            plane, by_row, by_column = image[one[0]], one[1], one[2]
            return tf.matmul(tf.matmul(by_row, plane), by_column, transpose_b=True)

        pooled, operands = average, (batch_indices, heights, widths)
    else:
        taps = [_corners(*axis, sampling_ratio, half_pixel) for axis in (rows, columns)]

        def largest(one: tuple[tf.Tensor, ...]) -> tf.Tensor:
            plane = tf.gather(tf.gather(image[one[0]], one[1], axis=1), one[3], axis=3)
            weights = one[2][:, :, None, None] * one[4]
            # what lies beyond an adaptive grid does not count; a grid without points gives 0
            values = tf.where(tf.math.is_nan(weights), image.dtype.min, plane * weights)
            most = tf.reduce_max(values, axis=[2, 4])
            return tf.where(most == image.dtype.min, tf.zeros_like(most), most)

        pooled, operands = largest, (batch_indices, *taps[0], *taps[1])
    return tf.cast(_one_by_one(pooled, operands, [x.shape[1], output_height, output_width], image.dtype), x.dtype)


def _one_by_one(
    pooled: Callable[[tuple[tf.Tensor, ...]], tf.Tensor],
    operands: tuple[tf.Tensor, ...],
    shape: list[int | None],
    dtype: tf.DType,
) -> tf.Tensor:
    """``pooled`` of each region. TensorFlow cannot stack no regions of unknown shape: one more is then put behind."""
    if shape[0] is not None:
        return tf.map_fn(pooled, operands, fn_output_signature=tf.TensorSpec(shape, dtype))
    more = tuple(tf.pad(t, [(0, 1), *[(0, 0)] * (t.shape.rank - 1)]) for t in operands)
    return tf.map_fn(pooled, more, fn_output_signature=tf.TensorSpec(shape, dtype))[:-1]


def _points(
    start: tf.Tensor, extent: tf.Tensor, bins: int, sampling_ratio: int, half_pixel: bool
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Along one axis: the sampling points (rois, bins, points), which of them count, and how many (rois,)."""
    extent = extent if half_pixel else tf.maximum(extent, 1.0)
    size = extent / bins
    count = tf.fill(tf.shape(extent), sampling_ratio) if sampling_ratio > 0 else tf.cast(tf.math.ceil(size), tf.int32)
    most = sampling_ratio if sampling_ratio > 0 else tf.maximum(tf.reduce_max(tf.concat([count, [1]], 0)), 1)
    step = size / tf.cast(tf.maximum(count, 1), size.dtype)
    at = (
        start[:, None, None]
        + tf.range(bins, dtype=size.dtype)[None, :, None] * size[:, None, None]
        + (tf.cast(tf.range(most), size.dtype) + 0.5)[None, None, :] * step[:, None, None]
    )
    used = tf.broadcast_to(tf.range(most)[None, None, :] < count[:, None, None], tf.shape(at))
    return at, used, count


def _neighbours(at: tf.Tensor, length: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """The pixels below and above each point, the weight of the upper one, and whether the point is on the image."""
    last = tf.cast(length, at.dtype) - 1
    on_image = (at >= -1) & (at <= last + 1)
    at = tf.clip_by_value(at, 0.0, last)
    low = tf.floor(at)
    high = tf.minimum(low + 1, last)
    return tf.cast(low, tf.int32), tf.cast(high, tf.int32), at - low, on_image


def _averaging(
    start: tf.Tensor, extent: tf.Tensor, length: Any, bins: int, sampling_ratio: int, half_pixel: bool
) -> tf.Tensor:
    """The mean over each bin's points as a matrix over the pixels: (rois, bins, length)."""
    at, used, count = _points(start, extent, bins, sampling_ratio, half_pixel)
    low, high, upper, on_image = _neighbours(at, length)
    share = tf.cast(used & on_image, at.dtype) / tf.cast(tf.maximum(count, 1), at.dtype)[:, None, None]
    pixels = tf.one_hot(low, length, dtype=at.dtype) * ((1 - upper) * share)[..., None]
    pixels += tf.one_hot(high, length, dtype=at.dtype) * (upper * share)[..., None]
    return tf.reduce_sum(pixels, axis=2)


def _corners(
    start: tf.Tensor, extent: tf.Tensor, length: Any, bins: int, sampling_ratio: int, half_pixel: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """Pixels and weights of each bin's points, two a point: (rois, bins, 2·points); NaN is the weight of no point."""
    at, used, _ = _points(start, extent, bins, sampling_ratio, half_pixel)
    low, high, upper, on_image = _neighbours(at, length)
    weights = tf.concat([1 - upper, upper], axis=2) * tf.cast(tf.tile(on_image, [1, 1, 2]), at.dtype)
    return tf.concat([low, high], axis=2), tf.where(tf.tile(used, [1, 1, 2]), weights, np.nan)


@lower("MaxRoiPool")
def max_roi_pool(x, rois, *, pooled_shape, spatial_scale):
    image, boxes = _wide(x), _wide(rois)
    sizes = dims(image)
    corners = boxes[:, 1:] * spatial_scale
    corners = tf.cast(tf.sign(corners) * tf.floor(tf.abs(corners) + 0.5), tf.int32)
    rows = _bins(corners[:, 1], corners[:, 3], sizes[2], pooled_shape[0])
    columns = _bins(corners[:, 0], corners[:, 2], sizes[3], pooled_shape[1])
    lowest = tf.constant(image.dtype.min, image.dtype)

    def largest(one: tuple[tf.Tensor, ...]) -> tf.Tensor:
        index, by_row, by_column = one
        plane = image[index]
        bands = [tf.reduce_max(tf.where(by_column[i], plane, lowest), axis=2) for i in range(pooled_shape[1])]
        plane = tf.stack(bands, axis=1)
        cells = [tf.reduce_max(tf.where(by_row[i], plane, lowest), axis=2) for i in range(pooled_shape[0])]
        empty = ~(tf.reduce_any(by_row, axis=1)[:, None] & tf.reduce_any(by_column, axis=1)[None, :])
        return tf.where(empty, tf.zeros_like(lowest), tf.stack(cells, axis=1))

    operands = (tf.cast(boxes[:, 0], tf.int32), rows, columns)
    return tf.cast(_one_by_one(largest, operands, [x.shape[1], *pooled_shape], image.dtype), x.dtype)


def _bins(start: tf.Tensor, end: tf.Tensor, length: Any, bins: int) -> tf.Tensor:
    """Which pixels of an axis belong to which bin: bool (rois, bins, length)."""
    size = tf.cast(tf.maximum(end - start + 1, 1), tf.float32) / bins
    number = tf.range(bins, dtype=tf.float32)
    first = tf.cast(tf.floor(number * size[:, None]), tf.int32) + start[:, None]
    last = tf.cast(tf.math.ceil((number + 1) * size[:, None]), tf.int32) + start[:, None]
    at = tf.range(length)
    return (at >= first[..., None]) & (at < last[..., None])


@lower("DeformConv")
def deform_conv(
    c,
    x,
    w: Weight,
    offset,
    b: Weight = None,
    mask=None,
    *,
    dilations,
    group,
    kernel_shape,
    offset_group,
    pads,
    strides,
):
    """Every tap is read at its own displaced place (bilinear, 0 outside), then one matrix product a group."""
    window = Window.of(kernel_shape or w.shape[2:], strides, dilations)
    wide = tf.float64 if x.dtype == tf.float64 else tf.float32
    sizes, outputs = dims(x), dims(offset)[2:]
    batch, channels, spatial = sizes[0], sizes[1], sizes[2:]
    taps, rank = product(window.kernel), window.rank
    places = product(outputs)
    moved = shaped(tf.cast(offset, wide), [batch, offset_group, taps, rank, places])
    begins = [begin for begin, _ in paddings_of("NOTSET", pads, window, spatial)]
    tap_grid = np.stack(np.meshgrid(*map(np.arange, window.kernel), indexing="ij"), -1).reshape(taps, rank)
    out_grid = tf.stack([tf.reshape(g, [-1]) for g in tf.meshgrid(*map(tf.range, outputs), indexing="ij")])
    neighbours = []
    for axis in range(rank):
        fixed = (
            tf.constant(tap_grid[:, axis] * window.dilations[axis] - begins[axis], wide)[:, None]
            + tf.cast(out_grid[axis] * window.strides[axis], wide)[None, :]
        )
        at = shaped(moved[:, :, :, axis] + fixed, [batch, offset_group, taps * places])
        last = tf.cast(spatial[axis], wide) - 1
        inside = lambda at, _, last=last: (at, (at >= 0) & (at <= last))  # noqa: E731
        neighbours.append(taps_at(at, axis, spatial[axis], [0, 1], linear_weights, inside))
    flat = shaped(tf.cast(x, wide), [batch, offset_group, channels // offset_group, product(spatial)])
    read = blended(flat, spatial, neighbours)
    if mask is not None:
        read *= shaped(tf.cast(mask, wide), [batch, offset_group, 1, taps * places])
    made = dim(w, 0)
    columns = shaped(read, [batch, group, channels // group * taps, places])
    kernel = shaped(tf.cast(w, wide), [group, made // group, channels // group * taps])
    y = shaped(tf.matmul(kernel, columns), [batch, made, *outputs])
    if b is not None:
        y += tf.reshape(tf.cast(b, wide), [-1, *[1] * rank])
    return tf.cast(y, x.dtype)
