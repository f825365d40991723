"""Pooling."""

from __future__ import annotations

import onnx_ir as ir
import tensorflow as tf

from isthmus.lower.windows import Window
from isthmus.readers.tensorflow.contract import Reads, Static
from isthmus.readers.tensorflow.dtypes import data_type
from isthmus.readers.tensorflow.ops._images import Format, flat, padding_of, same_at_run_time, taps

table = Reads()
read = table.read

_POOLED = frozenset(
    {
        *(ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16),
        *(ir.DataType.INT8, ir.DataType.UINT8),
    }
)
"""What ONNX's MaxPool takes."""

_NARROWER = frozenset({ir.DataType.INT16, ir.DataType.UINT16, ir.DataType.INT32, ir.DataType.UINT32})
"""What double holds exactly, besides."""


@read("MaxPool")
def max_pool(op, c, x, *, ksize, strides, padding, explicit_paddings, data_format):
    return _max_pool(op, c, x, Format.of(c, data_format, 4), ksize, strides, padding, explicit_paddings)


@read("MaxPoolV2")
def max_pool_v2(op, c, x, ksize: Static, strides: Static, *, padding, data_format):
    form = Format.of(c, data_format, 4)
    return _max_pool(op, c, x, form, ksize.tolist(), strides.tolist(), padding, ())


@read("MaxPool3D")
def max_pool_3d(op, c, x, *, ksize, strides, padding, data_format):
    return _max_pool(op, c, x, Format.of(c, data_format, 5), ksize, strides, padding, ())


@read("AvgPool")
def avg_pool(op, c, x, *, ksize, strides, padding, data_format):
    return _average(op, c, x, Format.of(c, data_format, 4), ksize, strides, padding)


@read("AvgPool3D")
def avg_pool_3d(op, c, x, *, ksize, strides, padding, data_format):
    return _average(op, c, x, Format.of(c, data_format, 5), ksize, strides, padding)


@read("MaxPoolWithArgmax")
def max_pool_with_argmax(op, c, x, *, ksize, strides, padding, include_batch_in_index, Targmax: tf.DType):
    """ONNX counts the places in the order of channels first, over the whole batch."""
    form = Format(4, last=True)
    dtype = x.dtype
    if dtype not in _POOLED | _NARROWER:
        c.refuse(f"ONNX has no MaxPool of {dtype.name}, and no type that is wider")
    image = form.to_first(op, x if dtype in _POOLED else op.Cast(x, to=ir.DataType.DOUBLE))
    values, places = indexed_max_pool(op, c, image, form, ksize, strides, padding, ())
    spatial = op.ReduceProd(op.Shape(image, start=2), keepdims=1)
    depth = op.Shape(image, start=1, end=2)
    channel = op.Unsqueeze(op.Range(0, op.Squeeze(depth, [0]), 1), [1, 2])
    found = op.Add(op.Mul(op.Mod(places, spatial), depth), channel)
    if include_batch_in_index:
        batch = op.Squeeze(op.Shape(image, start=0, end=1), [0])
        steps = op.Mul(op.Range(0, batch, 1), op.Mul(spatial, depth))
        found = op.Add(found, op.Unsqueeze(steps, [1, 2, 3]))
    values = values if dtype in _POOLED else op.Cast(values, to=dtype)
    return form.from_first(op, values), op.Cast(form.from_first(op, found), to=data_type(Targmax))


def indexed_max_pool(op, c, image, form, ksize, strides, padding, explicit):
    """The largest of each window of an image with its channels first, and their places in the flat image."""
    window = _window(c, form, ksize, strides)
    settings = _settings(c, form, window, padding, explicit)
    if _leaves_gaps(settings, window):
        c.refuse("its windows skip elements, and where they are padded depends on sizes that are free")
    return op.MaxPool(image, outputs=2, **settings)


@read(
    "FractionalMaxPool",
    "FractionalAvgPool",
    ignore=("pooling_ratio", "pseudo_random", "overlapping", "deterministic", "seed", "seed2"),
)
def fractional(op, c, x):
    c.refuse("its windows are drawn at random by a generator that ONNX has not")


def _window(c, form, ksize, strides):
    outside = (0, form.channels)
    if any(ksize[axis] != 1 or strides[axis] != 1 for axis in outside):
        c.refuse("it pools over the batch or the channels")
    return Window.of(form.picked(ksize), form.picked(strides), None)


def _settings(c, form, window, padding, explicit):
    known = padding_of(padding, explicit, form, window, form.sizes(c))
    pads = {"auto_pad": "SAME_UPPER"} if known is None else {"pads": flat(known)}
    return {"kernel_shape": window.kernel, "strides": window.strides, **pads}


def _max_pool(op, c, x, form, ksize, strides, padding, explicit):
    depth = ksize[form.channels]
    if depth != 1 and depth == strides[form.channels] and not any(size != 1 for size in form.picked(ksize)):
        return _over_channels(op, x, form, depth)
    window = _window(c, form, ksize, strides)
    image = form.to_first(op, x)
    if x.dtype in _POOLED:
        settings = _settings(c, form, window, padding, explicit)
        if _leaves_gaps(settings, window):
            image, settings = same_at_run_time(op, image, window, _least(op, c, image)), _alone(settings)
        return form.from_first(op, op.MaxPool(image, **settings))
    return form.from_first(op, _largest(op, c, image, form, window, padding, explicit))


def _least(op, c, image):
    return op.constant(-float("inf") if c.dtype().is_floating else c.dtype().min, image.dtype)


def _largest(op, c, image, form, window, padding, explicit):
    """The largest of each window, of integers that ONNX's MaxPool does not take."""
    known = padding_of(padding, explicit, form, window, form.sizes(c))
    least = _least(op, c, image)
    if known is None:
        image = same_at_run_time(op, image, window, least)
    elif any(flat(known)):
        image = op.Pad(image, flat(known), least, list(range(2, form.rank)))
    parts = taps(op, image, window, 2)
    return op.Max(*parts) if len(parts) > 1 else parts[0]


def _over_channels(op, x, form, depth):
    """Windows of channels that follow one another without a gap."""
    image = op.Transpose(x, perm=[0, *range(2, form.rank), 1]) if not form.last else x
    shape = op.Concat(op.Shape(image, end=-1), op.constant([-1, depth]), axis=0)
    found = op.ReduceMax(op.Reshape(image, shape), [-1], keepdims=0)
    return found if form.last else op.Transpose(found, perm=[0, form.rank - 1, *range(1, form.rank - 1)])


def _average(op, c, x, form, ksize, strides, padding):
    window = _window(c, form, ksize, strides)
    settings = _settings(c, form, window, padding, ())
    image = form.to_first(op, x)
    if not _leaves_gaps(settings, window):
        return form.from_first(op, op.AveragePool(image, count_include_pad=0, **settings))
    shape = op.Concat(op.constant([1, 1]), op.Shape(image, start=2), axis=0)
    ones = op.Expand(op.constant(1, image.dtype), shape)
    sums, counts = (op.AveragePool(same_at_run_time(op, v, window), **_alone(settings)) for v in (image, ones))
    return form.from_first(op, op.Div(sums, counts))


def _leaves_gaps(settings, window):
    """Whether SAME is left to the runtime with windows that skip elements: of those ONNX Runtime's pools miscount."""
    return "auto_pad" in settings and any(e < s for e, s in zip(window.extents, window.strides, strict=True))


def _alone(settings):
    return {name: value for name, value in settings.items() if name != "auto_pad"}
