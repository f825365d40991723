"""Convolutions, channels last: Conv, ConvTranspose and their integer forms."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from isthmus.hub.model import CHANNELS_LAST
from isthmus.lower.contract import Lowerings, Weight
from isthmus.lower.windows import Padding, Size, Window, known
from isthmus.writers.tensorflow.ops._common import dims
from isthmus.writers.tensorflow.ops._convolve import convolved, transposed
from isthmus.writers.tensorflow.ops._windows import larger, paddings_of, spatial_of

table = Lowerings()
lower, alias = table.lower, table.alias

NARROW = (tf.float16, tf.bfloat16)
"""Types whose convolutions are accumulated in float32 and rounded once."""


def _window(c, kernel_shape, w, strides, dilations) -> Window:
    """The filter's own sizes where no attribute tells them, even those that it has at run time only."""
    kernel = kernel_shape or dims(w)[:-2]
    if len(kernel) > 3 and not known(kernel):
        c.refuse("TensorFlow convolves over four axes and more with a filter of known sizes only; give kernel_shape")
    return Window.of(kernel, strides, dilations)


@lower("Conv", domain=CHANNELS_LAST)
def conv(c, x, w: Weight, b: Weight = None, *, auto_pad, dilations, group, kernel_shape, pads, strides):
    window = _window(c, kernel_shape, w, strides, dilations)
    paddings = paddings_of(auto_pad, pads, window, spatial_of(x))
    if x.dtype in NARROW:
        y = convolved(tf.cast(x, tf.float32), tf.cast(w, tf.float32), window, paddings, group)
        return tf.cast(y if b is None else y + tf.cast(b, tf.float32), x.dtype)
    y = convolved(x, w, window, paddings, group)
    return y if b is None else tf.nn.bias_add(y, b)


@lower("ConvTranspose", domain=CHANNELS_LAST)
def conv_transpose(
    c,
    x,
    w: Weight,
    b: Weight = None,
    *,
    auto_pad,
    dilations,
    group,
    kernel_shape,
    output_padding,
    output_shape,
    pads,
    strides,
):
    window = _window(c, kernel_shape, w, strides, dilations)
    sizes = spatial_of(x)
    extra = tuple(output_padding or (0,) * window.rank)
    free = [
        s * (size - 1) + more + extent
        for size, s, more, extent in zip(sizes, window.strides, extra, window.extents, strict=True)
    ]
    if output_shape is not None:  # some exporters put batch and channels in front
        wanted = tuple(output_shape)[-window.rank :]
        totals = [size - out for size, out in zip(free, wanted, strict=True)]
    elif auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        # a kernel shorter than its stride leaves the end without what would make it stride times length
        totals = [larger(more + e - s, 0) for s, more, e in zip(window.strides, extra, window.extents, strict=True)]
    if output_shape is not None or auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        paddings = [_shared_out(total, upper=auto_pad == "SAME_UPPER") for total in totals]
    else:
        paddings = paddings_of("VALID" if auto_pad == "VALID" else "NOTSET", pads, window, sizes)
    paddings = [(begin, end - more) for (begin, end), more in zip(paddings, extra, strict=True)]
    wide = tf.float32 if x.dtype in NARROW else x.dtype
    y = transposed(tf.cast(x, wide), tf.cast(w, wide), window, paddings, group)
    return tf.cast(y if b is None else y + tf.cast(b, wide), x.dtype)


def _shared_out(total: Size, *, upper: bool) -> Padding:
    """A total padding split in two, the greater half first unless ``upper``; a lack is at the end."""
    some = larger(total, 0)
    begin = some // 2 if upper else some - some // 2
    return begin, total - begin


@lower("ConvInteger", domain=CHANNELS_LAST)
def conv_integer(
    c,
    x,
    w: Weight,
    x_zero_point=None,
    w_zero_point=None,
    *,
    auto_pad,
    dilations,
    group,
    kernel_shape,
    pads,
    strides,
):
    window = _window(c, kernel_shape, w, strides, dilations)
    return _accumulated(x, x_zero_point, w, w_zero_point, window, auto_pad, pads, group)


@lower("QLinearConv", domain=CHANNELS_LAST)
def qlinear_conv(
    c,
    x,
    x_scale,
    x_zero_point,
    w: Weight,
    w_scale,
    w_zero_point,
    y_scale,
    y_zero_point,
    b: Weight = None,
    *,
    auto_pad,
    dilations,
    group,
    kernel_shape,
    pads,
    strides,
):
    window = _window(c, kernel_shape, w, strides, dilations)
    sums = _accumulated(x, x_zero_point, w, w_zero_point, window, auto_pad, pads, group)
    sums = sums if b is None else sums + b
    zero = tf.cast(_scalar(y_zero_point), tf.float32)
    scaled = tf.cast(sums, tf.float32) * (_scalar(x_scale) * _channels(w_scale) / _scalar(y_scale))
    limits = y_zero_point.dtype
    return tf.cast(tf.clip_by_value(tf.round(scaled) + zero, limits.min, limits.max), limits)


def _accumulated(x, x_zero, w, w_zero, window: Window, auto_pad: str, pads: Sequence[int] | None, group: int):
    """The int32 sums of a quantized convolution, computed in floats that hold every partial sum exactly."""
    terms = 1
    for size in w.shape[:-1]:
        terms *= size or 1 << 30
    # a product is at most 255 · 255 in absolute value; float32 counts up to 2^24, float64 up to 2^53
    exact = tf.float32 if terms * 255 * 255 <= 1 << 24 else tf.float64
    x, w = tf.cast(x, exact), tf.cast(w, exact)
    x = x if x_zero is None else x - tf.cast(_scalar(x_zero), exact)
    w = w if w_zero is None else w - tf.cast(_channels(w_zero), exact)
    paddings = paddings_of(auto_pad, pads, window, spatial_of(x))
    return tf.cast(tf.round(convolved(x, w, window, paddings, group)), tf.int32)


def _scalar(x: tf.Tensor) -> tf.Tensor:
    """A scalar that some exporters write as one element of rank 1."""
    return tf.reshape(x, [])


def _channels(x: tf.Tensor) -> tf.Tensor:
    """One value an output channel, or one for all."""
    return tf.reshape(x, [-1])
