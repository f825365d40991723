"""Convolutions of any rank, grouping, dilation and padding, out of TensorFlow's 2-D and 3-D kernels.

Images are N, spatial…, C; filters spatial…, in/group, out (transposed: spatial…, out/group, in). Floating types.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from isthmus.lower.windows import Padding, Size, Window, known, outputs_of
from isthmus.writers.tensorflow.ops._common import dim, dims
from isthmus.writers.tensorflow.ops._windows import is_tensorflow_same, padded, product, shaped, spatial_of, taken


def convolved(x: tf.Tensor, w: tf.Tensor, window: Window, paddings: Sequence[Padding], group: int) -> tf.Tensor:
    """The convolution of ``x`` with ``w``."""
    if window.rank == 1:
        y = _planar(tf.expand_dims(x, 1), tf.expand_dims(w, 0), _with_unit_axis(window), [(0, 0), *paddings], group)
        return tf.squeeze(y, 1)
    if window.rank == 2:
        return _planar(x, w, window, paddings, group)
    x = padded(x, paddings)
    if window.rank == 3:
        parts = [
            tf.nn.convolution(part, kernel, window.strides, "VALID", dilations=window.dilations)
            if not _strided_and_dilated(window)
            else tf.nn.conv3d(part, _holed(kernel, window), [1, *window.strides, 1], "VALID")
            for part, kernel in zip(_split(x, group), _split(w, group), strict=True)
        ]
        return tf.concat(parts, -1) if group > 1 else parts[0]
    return _outermost_summed(x, w, window, group)


def _with_unit_axis(window: Window) -> Window:
    return Window((1, *window.kernel), (1, *window.strides), (1, *window.dilations))


def _strided_and_dilated(window: Window) -> bool:
    return window.dilated and any(s > 1 for s in window.strides)


def _planar(x: tf.Tensor, w: tf.Tensor, window: Window, paddings: Sequence[Padding], group: int) -> tf.Tensor:
    """A 2-D convolution by one fused kernel."""
    if is_tensorflow_same(paddings, window, spatial_of(x)) and not _picks_pixels(window):
        pads: str | list[Padding] = "SAME"
    elif known([p for pair in paddings for p in pair]) and all(p >= 0 for pair in paddings for p in pair):
        pads = [(0, 0), *paddings, (0, 0)]
    else:
        x, pads = padded(x, paddings), "VALID"
    depthwise = group > 1 and x.shape[-1] == group and w.shape[-1] is not None
    # the depthwise kernel takes one stride for both axes; along an axis of size 1 any stride is the same
    strides = {s for s, size in zip(window.strides, x.shape[1:3], strict=True) if size != 1}
    if depthwise and len(strides) <= 1 and not window.dilated and _known_plane(w):
        # With explicit paddings, TensorFlow's remapper fuses the bias into a oneDNN kernel that aborts the process.
        if not isinstance(pads, str):
            x, pads = padded(x, paddings), "VALID"
        return _depthwise(x, w, strides.pop() if strides else 1, pads, group)
    if group == 1 or tf.get_static_value(w) is not None:
        return tf.nn.conv2d(x, w, window.strides, pads, dilations=window.dilations)
    return _grouped(x, w, window, pads, group)


def _picks_pixels(window: Window) -> bool:
    """Whether each output is made of one pixel, and others are skipped.

    TensorFlow 2.21's oneDNN kernels write past their memory in the gradients of such a convolution with SAME or VALID
    padding, when a batch is larger than the one before; with explicit paddings, even of nothing, they do not.
    """
    return (
        known(window.kernel)
        and all(size == 1 for size in window.kernel)
        and any(stride > 1 for stride in window.strides)
    )


def _known_plane(w: tf.Tensor) -> bool:
    return w.shape[0] is not None and w.shape[1] is not None


def _depthwise(x: tf.Tensor, w: tf.Tensor, stride: int, pads: str, group: int) -> tf.Tensor:
    return tf.raw_ops.DepthwiseConv2dNative(
        input=x,
        filter=tf.reshape(w, [w.shape[0], w.shape[1], group, w.shape[3] // group]),
        strides=[1, stride, stride, 1],
        padding=pads,
    )


def _grouped(x: tf.Tensor, w: tf.Tensor, window: Window, pads: str | list[Padding], group: int) -> tf.Tensor:
    """A grouped convolution that can be trained: TensorFlow's CPU kernels have no gradient for grouped filters."""

    def plain(part: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return tf.nn.conv2d(part, kernel, window.strides, pads, dilations=window.dilations)

    @tf.custom_gradient
    def grouped(x: tf.Tensor, w: tf.Tensor):
        def gradient(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            with tf.GradientTape() as tape:
                tape.watch([x, w])
                parts = zip(_split(x, group), _split(w, group), strict=True)
                y = tf.concat([plain(part, kernel) for part, kernel in parts], -1)
            dx, dw = tape.gradient(y, [x, w], output_gradients=dy)
            return dx, dw

        return plain(x, w), gradient

    return grouped(x, w)


def _split(x: tf.Tensor, group: int) -> list[tf.Tensor]:
    """The groups of the last axis."""
    if group == 1:
        return [x]
    if x.shape[-1] is not None:
        return tf.split(x, group, axis=-1)
    size = tf.shape(x)[-1] // group
    return [x[..., i * size : (i + 1) * size] for i in range(group)]


def _outermost_summed(x: tf.Tensor, w: tf.Tensor, window: Window, group: int) -> tf.Tensor:
    """A padded convolution over four axes and more: a sum over the first axis' taps, the rest one rank lower."""
    inner = Window(window.kernel[1:], window.strides[1:], window.dilations[1:])
    sizes = dims(x)
    count = outputs_of(sizes[1], window.extents[0], window.strides[0])
    total = None
    for tap in range(window.kernel[0]):
        seen = taken(x, 1, tap * window.dilations[0], window.strides[0], count)
        y = convolved(
            shaped(seen, [product([sizes[0], count]), *sizes[2:]]), w[tap], inner, [(0, 0)] * inner.rank, group
        )
        total = y if total is None else total + y
    return shaped(total, [sizes[0], count, *dims(total)[1:]])


def _holed(w: tf.Tensor, window: Window) -> tf.Tensor:
    """The filter with its dilation written out as zeros between the taps."""
    for axis, (kernel, dilation) in enumerate(zip(window.kernel, window.dilations, strict=True)):
        if dilation == 1 or (known([kernel]) and kernel == 1):
            continue
        sizes = dims(w)
        w = tf.expand_dims(w, axis + 1)
        w = tf.pad(w, [(0, dilation - 1) if i == axis + 1 else (0, 0) for i in range(len(sizes) + 1)])
        sizes[axis] = kernel * dilation
        w = shaped(w, sizes)[(slice(None),) * axis + (slice(0, (kernel - 1) * dilation + 1),)]
    return w


def transposed(x: tf.Tensor, w: tf.Tensor, window: Window, paddings: Sequence[Padding], group: int) -> tf.Tensor:
    """The transposed convolution, cut by ``paddings``; a negative one adds zeros."""
    w = _holed(w, window)
    window = Window(window.extents, window.strides, (1,) * window.rank)
    if window.rank == 1:
        planar = Window((1, *window.kernel), (1, *window.strides), (1, 1))
        y = transposed(tf.expand_dims(x, 1), tf.expand_dims(w, 0), planar, [(0, 0), *paddings], group)
        return tf.squeeze(y, 1)
    full = [s * (size - 1) + k for s, size, k in zip(window.strides, spatial_of(x), window.kernel, strict=True)]
    if window.rank == 2 and _taken_by_kernel(paddings, window):
        return _transposed_plane(x, w, window, paddings, full, group)
    if window.rank == 2:
        y = _transposed_plane(x, w, window, [(0, 0)] * 2, full, group)
    elif window.rank == 3:
        y = _joined(x, w, group, lambda part, kernel: _transposed_volume(part, kernel, window, full))
    else:
        y = _outermost_spread(x, w, window, group)
    return padded(y, [(-begin, -end) for begin, end in paddings])


def _taken_by_kernel(paddings: Sequence[Padding], window: Window) -> bool:
    """Whether TensorFlow's kernel cuts so by itself: less than a stride may be added, and only at the end."""
    return all(
        known(pair) and pair[0] >= 0 and -pair[1] < stride
        for pair, stride in zip(paddings, window.strides, strict=True)
    )


def _transposed_plane(
    x: tf.Tensor, w: tf.Tensor, window: Window, paddings: Sequence[Padding], full: Sequence[Size], group: int
) -> tf.Tensor:
    shape = [size - begin - end for size, (begin, end) in zip(full, paddings, strict=True)]
    paddings = [(begin, max(end, 0)) for begin, end in paddings]
    pads: str | list[Padding] = [(0, 0), *paddings, (0, 0)] if any(map(any, paddings)) else "VALID"
    channels = w.shape[-1]
    if group > 1 and w.shape[2] == 1 and channels is not None and len(set(window.strides)) == 1:
        explicit = [] if isinstance(pads, str) else [p for pair in pads for p in pair]
        return tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
            input_sizes=tf.stack([dim(x, 0), *shape, group]),
            filter=tf.reshape(w, [*w.shape[:2], group, channels // group]),
            out_backprop=x,
            strides=[1, *window.strides, 1],
            padding="EXPLICIT" if explicit else pads,
            explicit_paddings=explicit,
        )

    def plain(part: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        target = tf.stack([dim(part, 0), *shape, dim(kernel, 2)])
        return tf.nn.conv2d_transpose(part, kernel, target, window.strides, pads)

    return _joined(x, w, group, plain)


def _transposed_volume(x: tf.Tensor, w: tf.Tensor, window: Window, shape: Sequence[Size]) -> tf.Tensor:
    target = tf.stack([dim(x, 0), *shape, dim(w, 3)])
    return tf.nn.conv3d_transpose(x, w, target, list(window.strides), "VALID")


def _joined(x: tf.Tensor, w: tf.Tensor, group: int, each) -> tf.Tensor:
    """The groups one by one: TensorFlow's CPU kernels take no grouped filter here."""
    parts = [each(part, kernel) for part, kernel in zip(_split(x, group), _split(w, group), strict=True)]
    return tf.concat(parts, -1) if group > 1 else parts[0]


def _outermost_spread(x: tf.Tensor, w: tf.Tensor, window: Window, group: int) -> tf.Tensor:
    """The whole transposed convolution over four axes and more: every tap of the first axis spread by its stride."""
    inner = Window(window.kernel[1:], window.strides[1:], window.dilations[1:])
    sizes, stride = dims(x), window.strides[0]
    merged = shaped(x, [product(sizes[:2]), *sizes[2:]])
    total = None
    for tap in range(window.kernel[0]):
        y = transposed(merged, w[tap], inner, [(0, 0)] * inner.rank, group)
        y = shaped(y, [sizes[0], sizes[1], 1, *dims(y)[1:]])
        y = tf.pad(y, [(0, 0), (0, 0), (0, stride - 1), *[(0, 0)] * (y.shape.rank - 3)])
        after = dims(y)
        y = shaped(y, [after[0], after[1] * stride, *after[3:]])[:, : (sizes[1] - 1) * stride + 1]
        y = tf.pad(y, [(0, 0), (tap, window.kernel[0] - 1 - tap), *[(0, 0)] * (y.shape.rank - 2)])
        total = y if total is None else total + y
    return total
