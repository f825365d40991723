"""Order and occurrence: the largest, where things are, what is unique, one-hot codes."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from isthmus.readers.tensorflow.contract import Host, Reads, Static
from isthmus.readers.tensorflow.ops._sizes import INT64, counted, int64, positive, size, through_float, vector

table = Reads()
read = table.read


@read("TopKV2", ignore=("sorted",))
def top_k_v2(op, c, x, k: Host):
    return _top(op, c, x, vector(op, k))


@read("NthElement")
def nth_element(op, x, n: Host, *, reverse: bool):
    count = vector(op, n)
    up_to = count + 1 if isinstance(count, np.ndarray) else op.Add(count, np.asarray([1]))
    best, _ = op.TopK(x, up_to, axis=-1, largest=reverse, sorted=True, outputs=2)
    return op.Squeeze(op.Gather(best, count, axis=-1), [-1])


@read("InTopK")
def in_top_k(op, c, predictions, targets, *, k: int):
    return _in_top(op, c, predictions, targets, np.int64(k))


@read("InTopKV2")
def in_top_k_v2(op, c, predictions, targets, k):
    return _in_top(op, c, predictions, targets, int64(op, k))


@read("Where")
def where(op, x):
    there = x if x.dtype == ir.DataType.BOOL else op.Cast(x, to=ir.DataType.BOOL)
    return op.Transpose(op.NonZero(there), perm=[1, 0])


@read("OneHot")
def one_hot(op, c, indices, depth: Host, on, off, *, axis: int):
    # ONNX's OneHot counts negative indices from the end, TensorFlow gives them no place.
    rank = c.rank(0) + 1
    at = positive(axis, rank)
    numbers = counted(op, vector(op, depth))
    along = op.Unsqueeze(numbers, list(range(1, rank - at))) if at < rank - 1 else numbers
    hot = op.Equal(op.Unsqueeze(int64(op, indices), [at]), along)
    values = c.known(2), c.known(3)
    if all(v is not None and v.dtype.kind in "biuf" for v in values) and (values[0], values[1]) == (1, 0):
        return op.Cast(hot, to=c.output_dtype())
    return op.Where(hot, on, off)


@read("Unique", "UniqueWithCounts")
def unique(op, c, x):
    return _unique(op, c, x, None)


@read("UniqueV2", "UniqueWithCountsV2")
def unique_v2(op, c, x, axis: Static):
    if axis.size == 0 and c.rank() != 1:
        c.refuse("without an axis it takes vectors only")
    return _unique(op, c, x, positive(axis, c.rank()) if axis.size and c.rank() > 1 else None)


@read("ListDiff")
def list_diff(op, c, x, y):
    same = op.Equal(op.Unsqueeze(x, [1]), op.Unsqueeze(y, [0]))
    found = op.ReduceSum(op.Cast(same, to=INT64), [1], keepdims=False)
    missing = op.Equal(found, np.int64(0))
    places = op.Compress(counted(op, size(op, x, 0)), missing, axis=0)
    kept = through_float(op, x, lambda y: op.Compress(y, missing, axis=0))
    return kept, op.Cast(places, to=c.output_dtype(1))


@read("LowerBound")
def lower_bound(op, c, ordered, values):
    return _bound(op, c, ordered, values, op.Less)


@read("UpperBound")
def upper_bound(op, c, ordered, values):
    return _bound(op, c, ordered, values, op.LessOrEqual)


def _top(op, c, x, k):
    """Of equal numbers the one that comes first, in both."""
    values, places = op.TopK(x, k, axis=-1, largest=True, sorted=True, outputs=2)
    return values, op.Cast(places, to=c.output_dtype(1))


def _in_top(op, c, predictions, targets, k):
    """Fewer than k classes are better than the target; no answer for numbers that are not finite, or no class."""
    classes = op.Squeeze(size(op, predictions, 1), [0])
    wanted = int64(op, targets)
    inside = op.And(op.GreaterOrEqual(wanted, np.int64(0)), op.Less(wanted, classes))
    column = op.Unsqueeze(op.Where(inside, wanted, np.int64(0)), [1])
    better = op.Greater(predictions, op.GatherElements(predictions, column, axis=1))
    ahead = op.ReduceSum(op.Cast(better, to=INT64), [1], keepdims=False)
    odd = op.Or(op.IsNaN(predictions), op.IsInf(predictions))
    odds = op.ReduceSum(op.Cast(odd, to=INT64), [1], keepdims=False)
    return op.And(op.And(inside, op.Equal(odds, np.int64(0))), op.Less(ahead, k))


def _unique(op, c, x, axis):
    """In the order of first occurrence: what there is, which of it each is, and how many of each there are."""
    values, _, places, counts = op.Unique(x, axis=axis, sorted=False, outputs=4)
    numbers = zip((places, counts), range(1, c.outputs), strict=False)
    return values, *(op.Cast(value, to=c.output_dtype(i)) for value, i in numbers)


def _bound(op, c, ordered, values, before):
    """How many of the sorted numbers of a row stand before each value."""
    standing = before(op.Unsqueeze(ordered, [1]), op.Unsqueeze(values, [2]))
    return op.Cast(op.ReduceSum(op.Cast(standing, to=INT64), [2], keepdims=False), to=c.output_dtype())
