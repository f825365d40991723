"""Sets of numbers, one a row: what two of them have in common, and what they have not."""

from __future__ import annotations

import numpy as np

from isthmus.readers.tensorflow.contract import Reads
from isthmus.readers.tensorflow.ops._sizes import INT64, LAST, size

table = Reads()
read = table.read


@read("DenseToDenseSetOperation", ignore=("validate_indices",))
def combined(op, c, set1, set2, *, set_operation):
    """A sparse tensor of the sets' members, each once, in ascending order."""
    if not c.dtype().is_integer:
        c.refuse(f"ONNX does not order what is {c.dtype().name}")
    kind, rank = set_operation.lower(), c.rank()
    first, second = (op.Cast(each, to=INT64) for each in (set1, set2))
    if kind == "b-a":
        first, second = second, first
    rows = op.Shape(first, end=rank - 1)
    first, second = (op.Reshape(each, op.Concat([-1], size(op, each, rank - 1), axis=0)) for each in (first, second))
    if kind == "union":
        first = op.Concat(first, second, axis=1)
    members = op.TopK(first, size(op, first, 1), axis=1, largest=0, outputs=2)[0]
    kept = _first_of_equals(op, members)
    if kind != "union":
        equal = op.Cast(op.Equal(op.Unsqueeze(members, [2]), op.Unsqueeze(second, [1])), to=INT64)
        shared = op.Greater(op.ReduceSum(equal, [2], keepdims=0), 0)
        kept = op.And(kept, shared if kind == "intersection" else op.Not(shared))
    places = op.Transpose(op.NonZero(kept), perm=[1, 0])
    order = op.CumSum(op.Cast(kept, to=INT64), np.int64(1))
    column = op.Unsqueeze(op.Sub(op.GatherND(order, places), 1), [1])
    row = op.Gather(places, np.asarray([0]), axis=1)
    indices = op.Concat(*_unraveled(op, row, rows, rank - 1), column, axis=1)
    longest = op.ReduceMax(op.Concat([0], op.Reshape(order, [-1]), axis=0), keepdims=1)
    found = op.Cast(op.GatherND(members, places), to=c.output_dtype(1))
    return indices, found, op.Concat(rows, op.Reshape(longest, [1]), axis=0)


def _first_of_equals(op, members):
    """Whether an entry of an ascending row is another one than that before it."""
    other = op.Not(op.Equal(op.Slice(members, [1], [LAST], [1]), op.Slice(members, [0], [-1], [1])))
    begin = op.Equal(op.Slice(members, [0], [1], [1]), op.Slice(members, [0], [1], [1]))
    return op.Concat(begin, other, axis=1)


def _unraveled(op, row, rows, count):
    """The index on each of the leading axes, of the number of a row."""
    found = []
    for axis in range(count - 1, 0, -1):
        length = op.Slice(rows, [axis], [axis + 1])
        found.insert(0, op.Mod(row, length))
        row = op.Div(row, length)
    return [row, *found]
