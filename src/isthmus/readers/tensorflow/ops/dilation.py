"""Morphology, and patches of images."""

from __future__ import annotations

import onnx_ir as ir
import tensorflow as tf

from isthmus.lower.windows import Window
from isthmus.readers.tensorflow.contract import Reads
from isthmus.readers.tensorflow.ops._images import Format, flat, padding_of, same_at_run_time, taps

table = Reads()
read = table.read


@read("Dilation2D")
def dilation_2d(op, c, image, filters, *, strides, rates, padding):
    """The largest of image and filter together, over each window; what is outside of the image counts as nothing."""
    form = Format(4, last=True)
    shape = c.shape(1)
    if not all(isinstance(size, int) for size in shape[:2]):
        c.refuse("the size of its filter is not known")
    window = Window.of(shape[:2], form.picked(strides), form.picked(rates))
    dtype = c.dtype()
    least = op.constant(-float("inf") if dtype.is_floating else dtype.min, image.dtype)
    if dtype.is_integer and padding == "SAME" and window.taps > 1:
        c.refuse("it is padded, and integers have no number below all sums")
    parts = taps(op, _padded(op, c, image, form, window, padding, least), window, 1)
    rows = [
        op.Gather(op.Reshape(filters, [window.taps, -1]), i, axis=0) for i in map(op.constant, range(window.taps))
    ]
    sums = [op.Add(part, row) for part, row in zip(parts, rows, strict=True)]
    return op.Max(*sums) if len(sums) > 1 else sums[0]


@read("ExtractImagePatches")
def extract_patches(op, c, image, *, ksizes, strides, rates, padding):
    form = Format(4, last=True)
    window = Window.of(form.picked(ksizes), form.picked(strides), form.picked(rates))
    return _patches(op, c, image, form, window, padding)


@read("ExtractVolumePatches")
def extract_volumes(op, c, image, *, ksizes, strides, padding):
    form = Format(5, last=True)
    told = c.output_shape()  # where sizes are free TensorFlow tells a rank of 4, and whoever takes it believes that
    users = {user.type for user in c.node.outputs[0].consumers()}
    if told is not None and len(told) != form.rank and users - {"Identity"}:
        c.refuse("a graph of TensorFlow gives it four axes where sizes are free", hint="fix the sizes of its input")
    made = _patches(op, c, image, form, Window.of(form.picked(ksizes), form.picked(strides), None), padding)
    made.shape = ir.Shape([None] * form.rank)
    return made


def _patches(op, c, image, form, window, padding):
    zero = op.constant(False if c.dtype() == tf.bool else 0, image.dtype)
    parts = taps(op, _padded(op, c, image, form, window, padding, zero), window, 1)
    return op.Concat(*parts, axis=-1) if len(parts) > 1 else parts[0]


def _padded(op, c, image, form, window, padding, value) -> ir.Value:
    known = padding_of(padding, (), form, window, form.sizes(c))
    if known is None:
        return form.from_first(op, same_at_run_time(op, form.to_first(op, image), window, value))
    return op.Pad(image, flat(known), value, list(form.spatial)) if any(flat(known)) else image
