"""Segments: sums, means, products and extremes of the rows that carry one number, sorted or not, gathered or not."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx_ir as ir

from isthmus.readers.tensorflow.contract import Host, Reads
from isthmus.readers.tensorflow.ops._scattering import scattered
from isthmus.readers.tensorflow.ops._sizes import LAST, filled, int64, rows, vector

table = Reads()
read = table.read


@read("SegmentSum")
def segment_sum(op, c, data, ids):
    return _reduced(op, data, ids, _last(op, ids), "add", 0)


@read("SegmentProd")
def segment_prod(op, c, data, ids):
    return _reduced(op, data, ids, _last(op, ids), "mul", 1)


@read("SegmentMax")
def segment_max(op, c, data, ids):
    return _extreme_or_zero(op, c, data, ids, "max")


@read("SegmentMin")
def segment_min(op, c, data, ids):
    return _extreme_or_zero(op, c, data, ids, "min")


@read("SegmentMean")
def segment_mean(op, c, data, ids):
    return _mean(op, c, data, ids, _last(op, ids))


@read("UnsortedSegmentSum")
def unsorted_segment_sum(op, c, data, ids, count: Host):
    return _unsorted(op, c, data, ids, count, "add", 0)


@read("UnsortedSegmentProd")
def unsorted_segment_prod(op, c, data, ids, count: Host):
    return _unsorted(op, c, data, ids, count, "mul", 1)


@read("UnsortedSegmentMax")
def unsorted_segment_max(op, c, data, ids, count: Host):
    return _unsorted(op, c, data, ids, count, "max", _limits(data.dtype).min)


@read("UnsortedSegmentMin")
def unsorted_segment_min(op, c, data, ids, count: Host):
    return _unsorted(op, c, data, ids, count, "min", _limits(data.dtype).max)


@read("SparseSegmentSum", ignore=("sparse_gradient",))
def sparse_segment_sum(op, c, data, indices, ids):
    return _reduced(op, _picked(op, data, indices), ids, _last(op, ids), "add", 0)


@read("SparseSegmentMean", ignore=("sparse_gradient",))
def sparse_segment_mean(op, c, data, indices, ids):
    return _mean(op, c, _picked(op, data, indices), ids, _last(op, ids))


@read("SparseSegmentSqrtN", ignore=("sparse_gradient",))
def sparse_segment_sqrt_n(op, c, data, indices, ids):
    return _over_root(op, c, _picked(op, data, indices), ids, _last(op, ids))


@read("SparseSegmentSumWithNumSegments", ignore=("sparse_gradient",))
def sparse_segment_sum_of(op, c, data, indices, ids, count: Host):
    return _reduced(op, _picked(op, data, indices), ids, vector(op, count), "add", 0)


@read("SparseSegmentMeanWithNumSegments", ignore=("sparse_gradient",))
def sparse_segment_mean_of(op, c, data, indices, ids, count: Host):
    return _mean(op, c, _picked(op, data, indices), ids, vector(op, count))


@read("SparseSegmentSqrtNWithNumSegments", ignore=("sparse_gradient",))
def sparse_segment_sqrt_n_of(op, c, data, indices, ids, count: Host):
    return _over_root(op, c, _picked(op, data, indices), ids, vector(op, count))


def _reduced(op, data, ids, count, reduction, start):
    """One row a segment, which begins as ``start``; ``count`` is a vector of one element."""
    shape = op.Concat(count, op.Shape(data, start=1), axis=0)
    begun = filled(op, start, data.dtype, shape)
    return scattered(op, begun, op.Unsqueeze(int64(op, ids), [1]), data, reduction)


def _last(op, ids):
    """The number of segments where the ids are sorted: the last id, and one; none where there are no ids."""
    closing = op.Gather(op.Concat([-1], int64(op, ids), axis=0), np.asarray([-1]), axis=0)
    return op.Add(closing, np.asarray([1]))


def _extreme_or_zero(op, c, data, ids, which):
    """The extreme of each segment; 0 where it has no rows."""
    count = _last(op, ids)
    limits = _limits(data.dtype)
    furthest = limits.min if which == "max" else limits.max
    if data.dtype.is_floating_point():
        furthest = -np.inf if which == "max" else np.inf
    extreme = _reduced(op, data, ids, count, which, furthest)
    return op.Where(_taken(op, c, ids, count), extreme, op.constant(0, data.dtype))


def _mean(op, c, data, ids, count):
    """Sums over the number of rows; of integers without the remainder, towards zero."""
    total = _reduced(op, data, ids, count, "add", 0)
    sizes = op.Cast(op.Max(_sizes(op, c, ids, count), np.int64(1)), to=data.dtype)
    return op.Div(total, sizes)


def _over_root(op, c, data, ids, count):
    total = _reduced(op, data, ids, count, "add", 0)
    sizes = op.Cast(op.Max(_sizes(op, c, ids, count), np.int64(1)), to=data.dtype)
    return op.Div(total, op.Sqrt(sizes))


def _sizes(op, c, ids, count):
    """How many rows each segment has, aligned with the rows of the result."""
    ones = op.Expand(np.int64(1), op.Shape(ids))
    counts = op.ScatterElements(op.Expand(np.int64(0), count), int64(op, ids), ones, axis=0, reduction="add")
    rank = c.rank(0)
    return op.Unsqueeze(counts, list(range(1, rank))) if rank > 1 else counts


def _taken(op, c, ids, count):
    return op.Greater(_sizes(op, c, ids, count), np.int64(0))


def _picked(op, data, indices):
    return op.Gather(data, int64(op, indices), axis=0)


def _unsorted(op, c, data, ids, count, reduction, start):
    """Ids of any shape; rows with a negative one are dropped: they are gathered in a row too many."""
    known = c.known(1)
    total = vector(op, count)
    labels = op.Reshape(int64(op, ids), [-1])
    values = rows(op, c, data, 0, c.rank(1))
    if known is not None and (known >= 0).all():
        return _reduced(op, values, labels, total, reduction, start)
    # what is dropped goes to a row before all others, so that an id too large fails here as it does in TensorFlow
    places = op.Add(op.Max(labels, np.int64(-1)), np.int64(1))
    larger = op.Add(op.constant(total) if isinstance(total, np.ndarray) else total, np.asarray([1]))
    return op.Slice(_reduced(op, values, places, larger, reduction, start), [1], [LAST], [0])


def _limits(dtype: ir.DataType):
    """The least and the largest finite number of a type."""
    numpy = dtype.numpy()
    return ml_dtypes.iinfo(numpy) if dtype.is_integer() else ml_dtypes.finfo(numpy)
