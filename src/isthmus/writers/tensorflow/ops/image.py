"""Geometry of images: sampling by a grid, rearranging blocks, cropping, decoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from isthmus.hub.model import CHANNELS_LAST
from isthmus.lower.contract import Host, Lowerings
from isthmus.writers.tensorflow.ops._common import dim, dims, positive
from isthmus.writers.tensorflow.ops._sample import Tap, blended, cubic_weights, linear_weights, taps_at
from isthmus.writers.tensorflow.ops._windows import product, shaped

table = Lowerings()
lower, alias = table.lower, table.alias


@lower("GridSample")
def grid_sample(x, grid, *, align_corners, mode, padding_mode):
    sizes, points = dims(x), dims(grid)
    batch, channels, spatial = sizes[0], sizes[1], sizes[2:]
    wide = tf.float64 if tf.float64 in (x.dtype, grid.dtype) else tf.float32
    # what is only picked, or complex, is read in its own type
    read = x.dtype if x.dtype.is_complex or (mode == "nearest" and x.dtype.is_integer) else wide
    flat = shaped(tf.cast(x, read), [batch, channels, product(spatial)])
    flat_grid = shaped(tf.cast(grid, wide), [batch, product(points[1:-1]), len(spatial)])
    edges = [_edges(tf.cast(size, wide), bool(align_corners)) for size in spatial]

    def place(at: tf.Tensor, axis: int) -> tuple[tf.Tensor, tf.Tensor | None]:
        if padding_mode == "zeros":
            return at, (at >= 0) & (at <= tf.cast(spatial[axis], wide) - 1)
        return (_reflected(at, *edges[axis]) if padding_mode == "reflection" else at), None

    taps = []
    for axis, size in enumerate(spatial):
        at = flat_grid[..., len(spatial) - 1 - axis]  # the grid counts its axes from the last one
        span = tf.cast(size, wide)
        at = (at + 1) / 2 * (span - 1) if align_corners else ((at + 1) * span - 1) / 2
        at = tf.math.rint(at) if mode == "nearest" else at
        # cubic taps beyond the border are each clamped by themselves, as ONNX Runtime and PyTorch do it
        if padding_mode == "reflection" or (padding_mode == "border" and mode != "cubic"):
            low, high = edges[axis]
            inner = _reflected(at, low, high) if padding_mode == "reflection" else tf.clip_by_value(at, 0, span - 1)
            at = tf.where((at < low) | (at > high), inner, at)
        taps.append(_grid_taps(at, axis, size, mode, place))
    y = blended(flat, spatial, taps)
    if x.dtype.is_integer and read.is_floating:
        y = tf.math.rint(y)
    return shaped(tf.cast(y, x.dtype), [batch, channels, *points[1:-1]])


def _grid_taps(at: tf.Tensor, axis: int, size: Any, mode: str, place) -> list[Tap]:
    if mode == "nearest":
        return taps_at(at, axis, size, [0], lambda t: [tf.ones_like(t)], place)
    if mode == "cubic":
        return taps_at(at, axis, size, [-1, 0, 1, 2], cubic_weights, place)
    return taps_at(at, axis, size, [0, 1], linear_weights, place)


def _edges(span: tf.Tensor, align_corners: bool) -> tuple[tf.Tensor, tf.Tensor]:
    """Where an axis ends for reflection: at the centres of the outer pixels, or at their borders."""
    return (tf.zeros_like(span), span - 1) if align_corners else (tf.zeros_like(span) - 0.5, span - 0.5)


def _reflected(at: tf.Tensor, low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    """Mirrored at both ends until it is inside; an axis without extent has one place only."""
    span = high - low
    beyond = tf.where(at < low, low - at, at - high)
    times = tf.floor(tf.math.divide_no_nan(beyond, span))
    rest = beyond - times * span
    even = tf.equal(tf.math.floormod(times, 2.0), 0)
    mirrored = tf.where((at < low) == even, low + rest, high - rest)
    return tf.where((at < low) | (at > high), tf.where(span > 0, mirrored, low), at)


@lower("AffineGrid")
def affine_grid(c, theta, size: Host, *, align_corners):
    if size.shape[0] is None and theta.shape[1] is None:
        c.refuse("TensorFlow must know the number of spatial axes, and neither operand's shape tells it")
    rank = theta.shape[1] if size.shape[0] is None else size.shape[0] - 2
    spatial = [int(s) for s in size[2:]] if isinstance(size, np.ndarray) else [size[2 + i] for i in range(rank)]
    wide = tf.float64 if theta.dtype == tf.float64 else tf.float32
    axes = [_centres(n, wide, bool(align_corners)) for n in spatial]
    base = [tf.reshape(part, [-1]) for part in tf.meshgrid(*axes, indexing="ij")][::-1]
    points = tf.stack([*base, tf.ones_like(base[0])], axis=1)
    grid = tf.matmul(points, tf.cast(theta, wide), transpose_b=True)
    return tf.cast(
        tf.reshape(grid, tf.stack([dim(theta, 0), *(tf.cast(s, tf.int32) for s in spatial), rank])), theta.dtype
    )


def _centres(n: Any, dtype: tf.DType, align_corners: bool) -> tf.Tensor:
    """The normalized coordinates of ``n`` pixels: their centres, or from -1 to 1 where corners are aligned."""
    count = tf.cast(n, dtype)
    numerators = 2 * tf.range(count, dtype=dtype) + 1 - count
    return tf.math.divide_no_nan(numerators, count - 1 if align_corners else count)


@lower("Col2Im")
def col2im(c, x, image_shape: Host, block_shape: Host, *, dilations, pads, strides):
    lengths = (image_shape.shape[0], block_shape.shape[0], len(strides or ()) or None, len(dilations or ()) or None)
    rank: int = next((n for n in lengths if n is not None), 0)
    if rank == 0:
        c.refuse("TensorFlow must know the number of spatial axes, and no operand's shape tells it")
    ones, zeros = (1,) * rank, (0,) * (2 * rank)
    strides, dilations, pads = strides or ones, dilations or ones, pads or zeros
    image, block = _numbers(image_shape, rank), _numbers(block_shape, rank)
    flat: Any = tf.zeros([1, 1], tf.int32)
    counts = tf.ones([1, 1], tf.bool)
    for axis in range(rank):
        extent = (block[axis] - 1) * dilations[axis] + 1
        columns = (image[axis] + pads[axis] + pads[rank + axis] - extent) // strides[axis] + 1
        at = (
            tf.range(block[axis])[:, None] * dilations[axis] + tf.range(columns)[None, :] * strides[axis] - pads[axis]
        )
        inside = (at >= 0) & (at < image[axis])
        flat = _outer(flat * image[axis], at, tf.add)
        counts = _outer(counts, inside, tf.logical_and)
    target = tf.where(counts, flat, -1)  # a negative segment is dropped
    sizes = dims(x)
    wide = tf.float32 if x.dtype in (tf.float16, tf.bfloat16) else x.dtype
    taps, places = tf.shape(target)[0], tf.shape(target)[1]
    channels = sizes[1] // taps
    columns = tf.reshape(tf.cast(x, wide), tf.stack([sizes[0] * channels, taps * places]))
    sums = tf.math.unsorted_segment_sum(tf.transpose(columns), tf.reshape(target, [-1]), product(image))
    return tf.cast(tf.reshape(tf.transpose(sums), tf.stack([sizes[0], channels, *image])), x.dtype)


def _numbers(operand: Any, count: int) -> list[Any]:
    """The elements of a one-dimensional Host input: ints, or scalar int32 tensors."""
    if isinstance(operand, np.ndarray):
        return [int(v) for v in operand]
    return list(tf.unstack(tf.cast(operand, tf.int32), count))


def _outer(a: tf.Tensor, b: tf.Tensor, combine) -> tf.Tensor:
    """(k, l) and (m, n) to (k·m, l·n), every pair combined."""
    both = combine(a[:, None, :, None], b[None, :, None, :])
    shape = tf.shape(both)
    return tf.reshape(both, [shape[0] * shape[1], shape[2] * shape[3]])


@lower("DepthToSpace", domain=CHANNELS_LAST)
def depth_to_space(x, *, blocksize, mode):
    if mode == "CRD":  # channels outermost in the depth: brought to TensorFlow's order, in which they are innermost
        depth = dim(x, 3)
        order = tf.reshape(tf.transpose(tf.reshape(tf.range(depth), [-1, blocksize**2])), [-1])
        x = tf.gather(x, order, axis=3)
    return x if blocksize == 1 else tf.nn.depth_to_space(x, blocksize)


@lower("SpaceToDepth", domain=CHANNELS_LAST)
def space_to_depth(x, *, blocksize):
    return x if blocksize == 1 else tf.nn.space_to_depth(x, blocksize)


@lower("CenterCropPad")
def center_crop_pad(c, x, shape: Host, *, axes):
    sizes = dims(x)
    numbers = [positive(a, len(sizes)) for a in (range(len(sizes)) if axes is None else axes)]
    begins, kept, pads = [0] * len(sizes), list(sizes), [(0, 0)] * len(sizes)
    for axis, wanted in zip(numbers, _numbers(shape, len(numbers)), strict=True):
        size = sizes[axis]
        more, less = _positive_part(wanted - size), _positive_part(size - wanted)
        begins[axis], kept[axis] = less // 2, size - less
        pads[axis] = (more // 2, more - more // 2)
    return tf.pad(tf.slice(x, tf.stack(begins), tf.stack(kept)), _stacked(pads))


def _positive_part(value: Any) -> Any:
    return max(value, 0) if isinstance(value, int) else tf.maximum(value, 0)


def _stacked(pairs: Sequence[tuple[Any, Any]]) -> tf.Tensor:
    return tf.stack([tf.stack(pair) for pair in pairs])


@lower("ImageDecoder", ignore=("pixel_format",))
def image_decoder(c, encoded):
    c.refuse(
        "TensorFlow decodes JPEG, PNG, GIF, BMP and WebP only, and the stream's format is not known at conversion",
        hint="decode the image before the model",
    )
