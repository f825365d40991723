"""Convolutions: plain, grouped, depthwise, fused with what follows them."""

from __future__ import annotations

import onnx_ir as ir

from isthmus.lower.windows import Window
from isthmus.readers.tensorflow.contract import Reads, Static
from isthmus.readers.tensorflow.ops._fused import finished
from isthmus.readers.tensorflow.ops._images import Format, flat, padding_of, same_at_run_time, taps
from isthmus.readers.tensorflow.ops._mirror import mirrored

table = Reads()
read = table.read


@read("Conv2D", ignore=("use_cudnn_on_gpu",))
def conv_2d(op, c, image, filters, *, strides, padding, explicit_paddings, data_format, dilations):
    form = Format.of(c, data_format, 4)
    window = _window(c, form, strides, dilations)
    return _convolved(op, c, image, filters, form, window, padding, explicit_paddings)


@read("Conv3D")
def conv_3d(op, c, image, filters, *, strides, padding, data_format, dilations):
    form = Format.of(c, data_format, 5)
    return _convolved(op, c, image, filters, form, _window(c, form, strides, dilations), padding, ())


@read("Conv")
def conv(op, c, image, filters, *, strides, padding, explicit_paddings, data_format, dilations, batch_dims, groups):
    if batch_dims != 1:
        c.refuse(f"its images have {batch_dims} batch axes")
    form = Format.of(c, data_format, c.rank(1))
    ones = (1,) * form.rank
    return _convolved(
        op,
        c,
        image,
        filters,
        form,
        _window(c, form, strides or ones, dilations or ones),
        padding,
        explicit_paddings,
        groups=groups if groups > 1 else None,
    )


@read("DepthwiseConv2dNative")
def depthwise(op, c, image, filters, *, strides, padding, explicit_paddings, data_format, dilations):
    form = Format.of(c, data_format, 4)
    window = _window(c, form, strides, dilations)
    return _depthwise(op, c, image, filters, form, window, padding, explicit_paddings)


@read("_FusedConv2D", ignore=("num_args", "use_cudnn_on_gpu"))
def fused_conv_2d(
    op,
    c,
    image,
    filters,
    args,
    host_args,
    *,
    strides,
    padding,
    explicit_paddings,
    data_format,
    filter_format,
    dilations,
    fused_ops,
    epsilon,
    leakyrelu_alpha,
):
    if filter_format != "HWIO" or host_args:
        c.refuse(f"its filters are {filter_format}, quantized or packed for one device")
    form = Format.of(c, data_format, 4)
    window = _window(c, form, strides, dilations)
    made = _convolved(op, c, image, filters, form, window, padding, explicit_paddings)
    return finished(op, c, made, args, fused_ops, form, epsilon=epsilon, alpha=leakyrelu_alpha)


@read("_FusedConv3D", ignore=("num_args", "padding_list"))
def fused_conv_3d(
    op, c, image, filters, args, *, strides, padding, data_format, dilations, fused_ops, epsilon, leakyrelu_alpha
):
    form = Format.of(c, data_format, 5)
    made = _convolved(op, c, image, filters, form, _window(c, form, strides, dilations), padding, ())
    return finished(op, c, made, args, fused_ops, form, epsilon=epsilon, alpha=leakyrelu_alpha)


@read("_FusedDepthwiseConv2dNative", ignore=("num_args",))
def fused_depthwise(
    op, c, image, filters, args, *, strides, padding, data_format, dilations, fused_ops, epsilon, leakyrelu_alpha
):
    form = Format.of(c, data_format, 4)
    made = _depthwise(op, c, image, filters, form, _window(c, form, strides, dilations), padding, ())
    return finished(op, c, made, args, fused_ops, form, epsilon=epsilon, alpha=leakyrelu_alpha)


@read("FusedPadConv2D")
def fused_pad(op, c, image, paddings: Static, filters, *, mode, strides, padding):
    form = Format(4, last=True)
    window = Window.of(_kernel(c, 4, 2), form.picked(strides), None)
    padded = mirrored(op, image, paddings, 4, mode)
    sizes = [
        None if not isinstance(size, int) else size + int(before) + int(after)
        for size, (before, after) in zip(form.sizes(c), paddings[1:3], strict=True)
    ]
    return _convolved(op, c, padded, filters, form, window, padding, (), sizes=sizes, filter_index=2)


def _kernel(c, rank, index=1):
    shape = c.shape_or_none(index)
    sizes = (None,) if shape is None else shape[: rank - 2]
    if not all(isinstance(size, int) for size in sizes):
        c.refuse("the size of its filters is not known")
    return sizes


def _window(c, form, strides, dilations):
    listed = {axis: strides[axis] for axis in (0, form.channels) if strides[axis] != 1}
    if listed:
        c.refuse("it strides over the batch or the channels")
    return Window.of(_kernel(c, form.rank), form.picked(strides), form.picked(dilations))


def _convolved(
    op, c, image, filters, form, window, padding, explicit, *, groups=None, sizes=None, filter_index=1
) -> ir.Value:
    """Filters (spatial…, channels of a group, filters) become (filters, channels of a group, spatial…)."""
    rank = form.rank
    if groups is None:
        depth = c.shape(filter_index)[rank - 2]
        groups = _groups(c, form, depth) if isinstance(depth, int) and depth else c.refuse("it has no channels")
    known = padding_of(padding, explicit, form, window, form.sizes(c) if sizes is None else sizes)
    image = form.to_first(op, image)
    if image.dtype is not None and image.dtype.is_integer():
        return form.from_first(op, _of_integers(op, c, image, filters, window, known, groups))
    weight = op.Transpose(filters, perm=[rank - 1, rank - 2, *range(rank - 2)])
    return form.from_first(op, _conv(op, image, weight, window, known, groups))


def _groups(c, form, depth):
    """How many groups the channels of the image make; one where they are free: of more, ONNX's Conv does not run."""
    shape = c.shape_or_none(0)
    channels = None if shape is None else shape[form.channels]
    return channels // depth if isinstance(channels, int) else 1


def _conv(op, image, weight, window, known, groups):
    """One Conv. Where SAME is left to the runtime it must not be dilated: ONNX Runtime would not know."""
    settings = {"pads": flat(known)} if known is not None else {"auto_pad": "SAME_UPPER"}
    if known is None and window.dilated:
        image, settings = same_at_run_time(op, image, window), {}
    return op.Conv(
        image,
        weight,
        kernel_shape=window.kernel,
        strides=window.strides,
        dilations=window.dilations,
        group=groups,
        **settings,
    )


def _depthwise(op, c, image, filters, form, window, padding, explicit) -> ir.Value:
    """Filters (height, width, channels, multiplier) become (channels · multiplier, 1, height, width)."""
    depth, multiplier = c.shape(1)[2:]
    if not isinstance(depth, int) or not isinstance(multiplier, int):
        c.refuse("the size of its filters is not known")
    weight = op.Transpose(filters, perm=[2, 3, 0, 1])
    if multiplier != 1:
        weight = op.Reshape(weight, [depth * multiplier, 1, *window.kernel])
    known = padding_of(padding, explicit, form, window, form.sizes(c))
    return form.from_first(op, _conv(op, form.to_first(op, image), weight, window, known, depth))


def _of_integers(op, c, image, filters, window, known, groups):
    """A convolution as products of matrices, which wrap around as TensorFlow's do. ONNX's is of floats."""
    if groups != 1:
        c.refuse("it is a grouped convolution of integers")
    rank = window.rank + 2
    if known is None:
        image = same_at_run_time(op, image, window)
    elif any(flat(known)):
        image = op.Pad(image, flat(known), None, list(range(2, rank)))
    image = op.Transpose(image, perm=[0, *range(2, rank), 1])
    patches = op.Concat(*taps(op, image, window, 1), axis=-1)
    filter_count = c.shape(1)[-1]
    made = op.MatMul(patches, op.Reshape(filters, [-1, filter_count]))
    return op.Transpose(made, perm=[0, rank - 1, *range(1, rank - 1)])
