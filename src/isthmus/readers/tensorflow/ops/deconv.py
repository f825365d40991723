"""Transposed convolutions, which TensorFlow calls the gradients of convolutions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from isthmus.lower.windows import Window, same_padding
from isthmus.readers.tensorflow.contract import Host, Reads
from isthmus.readers.tensorflow.ops._extents import Entry, entries, extent_of, over
from isthmus.readers.tensorflow.ops._images import Format
from isthmus.readers.tensorflow.ops._sizes import int64

table = Reads()
read = table.read


@read("Conv2DBackpropInput", ignore=("use_cudnn_on_gpu",))
def conv_2d_transposed(
    op, c, sizes: Host, filters, image, *, strides, padding, explicit_paddings, data_format, dilations
):
    form = Format.of(c, data_format, 4)
    return _transposed(op, c, _asked(c, sizes), filters, image, form, strides, dilations, padding, explicit_paddings)


@read("Conv2DBackpropInputV2", ignore=("use_cudnn_on_gpu",))
def conv_2d_transposed_like(
    op, c, like, filters, image, *, strides, padding, explicit_paddings, data_format, dilations
):
    form = Format.of(c, data_format, 4)
    asked = _as(op, c, like, form)
    return _transposed(op, c, asked, filters, image, form, strides, dilations, padding, explicit_paddings)


@read("Conv3DBackpropInputV2")
def conv_3d_transposed(op, c, sizes: Host, filters, image, *, strides, padding, data_format, dilations):
    form = Format.of(c, data_format, 5)
    return _transposed(op, c, _asked(c, sizes), filters, image, form, strides, dilations, padding, ())


@dataclass(frozen=True)
class _Asked:
    """The shape that the result must have: as an operand, and what is known of each entry."""

    value: Any
    entries: list[Entry]


def _asked(c, sizes):
    if isinstance(sizes, ir.Value):
        return _Asked(sizes, entries(c.node.inputs[0]) or [None] * (c.node.outputs[0].shape.rank or 5))
    return _Asked(np.asarray(sizes, np.int64), [int(size) for size in sizes])


def _as(op, c, like, form):
    shape = c.shape_or_none(0) or (None,) * form.rank
    tensor = c.node.inputs[0]
    return _Asked(
        op.Shape(like), [d if isinstance(d, int) else extent_of(tensor, axis) for axis, d in enumerate(shape)]
    )


def _transposed(op, c, asked, filters, image, form, strides, dilations, padding, explicit):
    """Filters (spatial…, channels made of a group, channels taken) become (taken, made of a group, spatial…)."""
    rank, shape = form.rank, _shape(c)
    groups = _groups(c, asked, form, shape[rank - 2])
    weight = op.Transpose(filters, perm=[rank - 1, rank - 2, *range(rank - 2)])
    window = Window.of(shape[: rank - 2], form.picked(strides), form.picked(dilations))
    made = _spread(op, c, asked, weight, groups or 1, image, form, window, padding, explicit)
    # Were there more groups than one, there would be more channels, and this would not run.
    return made if groups is not None else op.Reshape(made, int64(op, asked.value), allowzero=1)


@read("DepthwiseConv2dNativeBackpropInput")
def depthwise_transposed(
    op, c, sizes: Host, filters, image, *, strides, padding, explicit_paddings, data_format, dilations
):
    """Filters (height, width, channels, multiplier) become (channels · multiplier, 1, height, width)."""
    form, (*kernel, depth, multiplier) = Format.of(c, data_format, 4), _shape(c)
    weight = op.Reshape(op.Transpose(filters, perm=[2, 3, 0, 1]), [depth * multiplier, 1, *kernel])
    window = Window.of(kernel, form.picked(strides), form.picked(dilations))
    return _spread(op, c, _asked(c, sizes), weight, depth, image, form, window, padding, explicit_paddings)


def _shape(c):
    shape = c.shape_or_none(1)
    if shape is None or not all(isinstance(size, int) for size in shape):
        c.refuse("the size of its filters is not known")
    return shape


def _spread(op, c, asked, weight, groups, image, form, window, padding, explicit):
    """Every element of the image, times the filters, added up where their windows overlap."""
    if image.dtype.is_integer():
        c.refuse("ONNX has no transposed convolution of integers")
    settings = {
        "kernel_shape": window.kernel,
        "strides": window.strides,
        "dilations": window.dilations,
        "group": groups,
    }
    cuts = [
        _cut(c, asked.entries[axis], axis, extent, stride, padding, explicit)
        for axis, extent, stride in zip(form.spatial, window.extents, window.strides, strict=True)
    ]
    image = form.to_first(op, image)
    if None in cuts:
        full = op.ConvTranspose(image, weight, **settings)
        return form.from_first(op, _fitted(op, full, asked.value, form, window, padding, explicit))
    pads = [before for before, _ in cuts] + [max(after, 0) for _, after in cuts]
    more = [max(-after, 0) for _, after in cuts]
    limits = (max(pair) for pair in zip(window.strides, window.dilations, strict=True))
    if all(size < limit for size, limit in zip(more, limits, strict=True)):
        return form.from_first(op, op.ConvTranspose(image, weight, pads=pads, output_padding=more, **settings))
    made = op.ConvTranspose(image, weight, pads=pads, **settings)  # ONNX allows no more output_padding than that
    return form.from_first(op, op.Pad(made, [0] * len(more) + more, None, list(range(2, form.rank))))


def _groups(c, asked, form, depth):
    """How many groups there are, by the channels of the result; None where a run tells them."""
    shape = c.output_shape()
    channels = asked.entries[form.channels] if shape is None else shape[form.channels]
    channels = asked.entries[form.channels] if channels is None else channels
    return channels // depth if isinstance(channels, int) else None


def _cut(c, wanted, axis, extent, stride, padding, explicit):
    """What is cut off the whole result, before and after; a negative number is added. None where sizes are free.

    Of n windows the whole is (n - 1) · stride + extent long.
    """
    shape = c.shape_or_none(2)
    count = None if shape is None else shape[axis]
    if isinstance(count, int) and isinstance(wanted, int):
        size = wanted
    elif (found := over(wanted, c.node.inputs[2], axis)) is not None and found[0] == stride:
        # n cancels: any that is large enough tells what all have
        count = extent + abs(found[1]) + 1
        size = count * stride + found[1]
    else:
        return None
    before = _before(size, extent, stride, padding, explicit, axis)
    return before, (count - 1) * stride + extent - before - size


def _before(size, extent, stride, padding, explicit, axis):
    match padding:
        case "VALID":
            return 0
        case "EXPLICIT":
            return explicit[2 * axis]
    return same_padding(size, extent, stride, upper=True, larger=max)[0]


def _fitted(op, full, sizes, form, window, padding, explicit):
    """The part of the whole result that has the sizes asked for, filled up with zeros where it is too short."""
    if isinstance(sizes, ir.Value):
        first = form.spatial[0]
        wanted = op.Slice(op.Cast(sizes, to=ir.DataType.INT64), [first], [first + window.rank])
    else:
        wanted = op.constant(np.asarray(form.picked(sizes)))
    axes = list(range(2, form.rank))
    zero = op.constant([0] * window.rank)
    begin = zero
    if padding == "EXPLICIT":
        begin = op.constant([explicit[2 * axis] for axis in form.spatial])
    elif padding == "SAME":
        strides = op.constant(list(window.strides))
        windows = op.Div(op.Add(wanted, op.constant([s - 1 for s in window.strides])), strides)
        spanned = op.Add(op.Mul(op.Sub(windows, 1), strides), op.constant(list(window.extents)))
        begin = op.Div(op.Max(op.Sub(spanned, wanted), zero), 2)
    end = op.Add(begin, wanted)
    missing = op.Max(op.Sub(end, op.Shape(full, start=2)), zero)
    return op.Slice(op.Pad(full, op.Concat(zero, missing, axis=0), None, axes), begin, end, axes)
