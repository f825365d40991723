"""How often numbers occur."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import tensorflow as tf

from isthmus.readers.tensorflow.contract import Reads
from isthmus.readers.tensorflow.dtypes import data_type
from isthmus.readers.tensorflow.ops._sizes import filled, int64, size

table = Reads()
read = table.read

_INT64 = ir.DataType.INT64


@read("Bincount")
def bincount(op, c, x, length, weights):
    """Without weights each counts once; what lies behind the last place is not counted."""
    return _counts(op, c, x, length, weights, c.output_dtype(0), rank=None)


@read("DenseBincount")
def dense_bincount(op, c, x, length, weights, *, binary_output):
    dtype = c.output_dtype(0)
    if binary_output:
        found = _counts(op, c, x, length, None, ir.DataType.INT64, c.rank(0))
        return op.Cast(op.Greater(found, 0), to=dtype)
    return _counts(op, c, x, length, weights, dtype, c.rank(0))


def _counts(op, c, x, length, weights, dtype, rank):
    """One place more than is wanted takes what lies behind the last one."""
    x, length = op.Cast(x, to=_INT64), op.Reshape(int64(op, length), [-1])
    if rank != 2:
        x = op.Reshape(x, [-1])
    x = op.Min(x, length)
    ones = _weights(op, c, x, weights, dtype)
    places = op.Add(length, 1)
    shape = op.Concat(size(op, x, 0), places, axis=0) if rank == 2 else places
    last = 1 if rank == 2 else 0
    counted = op.ScatterElements(filled(op, 0, dtype, shape), x, ones, axis=last, reduction="add")
    return op.Slice(counted, [0], length, [last])


def _weights(op, c, x, weights, dtype):
    """What each number counts: one, where there are no weights at all."""
    shape, one = op.Shape(x), op.constant(1, dtype)
    count = 0 if weights is None else _count(c.shape_or_none(2))
    if count == 0:
        return op.Expand(one, shape)
    if count is not None:
        return op.Reshape(weights, shape)
    given = op.Reshape(weights, [-1])
    absent = op.Where(op.Equal(op.Size(given), 0), op.Size(x), 0)
    return op.Reshape(op.Concat(given, op.Expand(one, op.Reshape(absent, [1])), axis=0), shape)


def _count(shape):
    return None if shape is None or not all(isinstance(n, int) for n in shape) else int(np.prod(shape))


@read("HistogramFixedWidth")
def histogram(op, c, values, value_range, nbins, *, dtype: tf.DType):
    return _histogram(op, values, value_range, nbins, data_type(dtype))


def _histogram(op, values, value_range, nbins, to):
    bins = op.Reshape(int64(op, nbins), [-1])
    values = op.Cast(op.Reshape(values, [-1]), to=ir.DataType.DOUBLE)
    low, high = op.Split(op.Cast(value_range, to=ir.DataType.DOUBLE), axis=0, num_outputs=2, outputs=2)
    scaled = op.Div(op.Sub(values, low), op.Div(op.Sub(high, low), op.Cast(bins, to=ir.DataType.DOUBLE)))
    place = op.Max(op.Min(op.Cast(op.Floor(scaled), to=_INT64), op.Sub(bins, 1)), 0)
    ones = op.Expand(op.constant(1, _INT64), op.Shape(place))
    counted = op.ScatterElements(filled(op, 0, _INT64, bins), place, ones, axis=0, reduction="add")
    return counted if to == _INT64 else op.Cast(counted, to=to)
