"""Sliding windows over channels-last tensors: sizes, paddings, and reductions that any rank can take."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from isthmus.lower import windows
from isthmus.lower.windows import Padding, Size, Window, known, outputs_of
from isthmus.writers.tensorflow.ops._common import dim, dims


def spatial_of(x: tf.Tensor) -> list[Size]:
    """The sizes of the axes between the batch and the channels."""
    return dims(x)[1:-1]


def larger(a: Size, b: Size) -> Size:
    return max(a, b) if known([a, b]) else tf.maximum(a, b)


def smaller(a: Size, b: Size) -> Size:
    return min(a, b) if known([a, b]) else tf.minimum(a, b)


def shaped(x: tf.Tensor, sizes: Sequence[Size]) -> tf.Tensor:
    """``x`` in another shape; the sizes that are known stay known."""
    unknown = [i for i, size in enumerate(sizes) if not isinstance(size, int)]
    empty = any(isinstance(size, int) and size == 0 for size in sizes)
    if len(unknown) == 1 and not empty:
        return tf.reshape(x, [-1 if i in unknown else size for i, size in enumerate(sizes)])
    return tf.ensure_shape(tf.reshape(x, sizes), [s if isinstance(s, int) else None for s in sizes])


def product(sizes: Sequence[Size]) -> Size:
    return functools.reduce(lambda a, b: a * b, sizes, 1)


def paddings_of(auto_pad: str, pads: Sequence[int] | None, window: Window, sizes: Sequence[Size]) -> list[Padding]:
    """What is added around the spatial axes (attributes ``auto_pad`` and ``pads`` of convolutions and pools)."""
    return windows.paddings_of(auto_pad, pads, window, sizes, larger=larger)


def is_tensorflow_same(paddings: Sequence[Padding], window: Window, sizes: Sequence[Size]) -> bool:
    """Whether TensorFlow's own ``SAME`` pads exactly so."""

    def matches(padding: Padding, size: Size, extent: int, stride: int) -> bool:
        if not known([*padding, extent]):
            return False
        if stride == 1:
            return padding == ((extent - 1) // 2, extent - 1 - (extent - 1) // 2)
        return known([size]) and padding == windows.same_padding(size, extent, stride, upper=True, larger=larger)

    return all(map(matches, paddings, sizes, window.extents, window.strides))


def ceiled(paddings: Sequence[Padding], window: Window, sizes: Sequence[Size]) -> list[Padding]:
    """Paddings under ``ceil_mode``: the end is widened so that a last, partial window fits."""
    return windows.ceiled(paddings, window, sizes, smaller=smaller)


def padded(x: tf.Tensor, paddings: Sequence[Padding], value: Any = 0) -> tf.Tensor:
    """``x`` with its spatial axes padded by ``value``, or cut where a padding is negative."""
    if known([p for pair in paddings for p in pair]):
        if any(begin < 0 or end < 0 for begin, end in paddings):
            cut = [slice(max(-b, 0), -max(-e, 0) or None) for b, e in paddings]
            x = x[(slice(None), *cut, slice(None))]
            paddings = [(max(b, 0), max(e, 0)) for b, e in paddings]
        if not any(p for pair in paddings for p in pair):
            return x
    else:
        kept = [
            slice(larger(-b, 0), size - larger(-e, 0)) for size, (b, e) in zip(spatial_of(x), paddings, strict=True)
        ]
        x = x[(slice(None), *kept, slice(None))]
        paddings = [(larger(b, 0), larger(e, 0)) for b, e in paddings]
    return tf.pad(x, [(0, 0), *paddings, (0, 0)], constant_values=tf.cast(value, x.dtype))


def taken(x: tf.Tensor, axis: int, start: int, stride: int, count: Size) -> tf.Tensor:
    """``count`` elements along ``axis``: the ones that one tap of the windows sees."""
    stop = start + (count - 1) * stride + 1
    return x[(slice(None),) * axis + (slice(start, stop, stride),)]


Combine = Callable[[Any, Any], Any]


def reduced(x: tf.Tensor, window: Window, combine: Combine) -> tf.Tensor:
    """Windows over a padded ``x``, reduced by an associative ``combine``, one axis after the other."""
    for axis, (kernel, stride, dilation, extent) in enumerate(
        zip(window.kernel, window.strides, window.dilations, window.extents, strict=True), start=1
    ):
        count = outputs_of(dim(x, axis), extent, stride)
        x = functools.reduce(combine, (taken(x, axis, k * dilation, stride, count) for k in range(kernel)))
    return x


def along_each_axis(x: tf.Tensor, window: Window, pool: Callable[[tf.Tensor, int, int], tf.Tensor]) -> tf.Tensor:
    """An undilated separable pooling of any rank by ``pool(image, kernel, stride)`` on N, L, 1, C images."""
    for axis, (kernel, stride) in enumerate(zip(window.kernel, window.strides, strict=True), start=1):
        if kernel == stride == 1:
            continue
        sizes = dims(x)
        image = shaped(x, [product(sizes[:axis]), sizes[axis], 1, product(sizes[axis + 1 :])])
        image = pool(image, kernel, stride)
        sizes[axis] = outputs_of(sizes[axis], kernel, stride)
        x = shaped(image, sizes)
    return x


def counts(window: Window, paddings: Sequence[Padding], sizes: Sequence[Size], within: Sequence[Padding]) -> Any:
    """How many taps of each window fall on the input widened by ``within``: float32, of shape 1, spatial…, 1.

    An ndarray where all sizes are known.
    """
    xp: Any = np if known([*sizes, *(p for pair in [*paddings, *within] for p in pair)]) else tf.experimental.numpy
    total: Any = 1
    for axis, (size, (begin, end), (more, most)) in enumerate(zip(sizes, paddings, within, strict=True)):
        fitting = outputs_of(size + begin + end, window.extents[axis], window.strides[axis])
        starts = tf.range(fitting) if xp is not np else np.arange(fitting)
        taps = np.arange(window.kernel[axis], dtype=np.int32) * window.dilations[axis]
        at = starts[:, None] * window.strides[axis] + taps[None, :] - begin
        inside = (at >= -more) & (at < size + most)
        if xp is np:
            count = inside.sum(axis=1).astype(np.float32)
            total = total * count.reshape([1, *(-1 if i == axis else 1 for i in range(window.rank)), 1])
        else:
            count = tf.reduce_sum(tf.cast(inside, tf.float32), axis=1)
            total = total * tf.reshape(count, [1, *(-1 if i == axis else 1 for i in range(window.rank)), 1])
    return total
