"""Ragged tensors, as the values of all rows end to end and where each row begins."""

from __future__ import annotations

import functools

import numpy as np
import onnx_ir as ir

from isthmus.readers.tensorflow.contract import Host, Reads
from isthmus.readers.tensorflow.ops._sizes import INT64, counted, int64, size, vector

table = Reads()
read = table.read


@read("RaggedTensorToTensor", ignore=("num_row_partition_tensors",))
def to_tensor(op, c, shape: Host, values, default, partitions, *, row_partition_types):
    """A dense tensor: what is missing is the default, what reaches beyond a shape that is asked for is cut off."""
    kinds = list(row_partition_types)
    partitions = [int64(op, partition) for partition in partitions]
    if kinds[0] == "ROW_SPLITS" and set(kinds) == {"ROW_SPLITS"}:
        rows, counts = partitions, size(op, partitions[0], 0)
        levels = [_of_splits(op, splits) for splits in rows]
        count = op.Sub(counts, 1)
    elif kinds[0] == "FIRST_DIM_SIZE" and set(kinds[1:]) == {"VALUE_ROWIDS"}:
        levels = [_of_numbers(op, numbers) for numbers in partitions[1:]]
        count = vector(op, partitions[0])
    else:
        c.refuse(f"its rows are parted by {', '.join(kinds)}")
    places, sizes = _places(op, levels, count)
    inner = c.rank(1) - 1
    wanted = _wanted(op, c, shape, sizes, inner)
    held = op.Max(sizes, wanted)
    whole = op.Concat(held, op.Shape(values, start=1), axis=0) if inner else held
    filled = op.ScatterND(op.Expand(default, whole), places, values)
    axes = list(range(len(levels) + 1))
    return op.Slice(filled, [0] * len(axes), wanted, axes)


def _wanted(op, c, shape, sizes, inner):
    """The sizes of the ragged axes: those that are asked for, where they are, or those of the longest rows."""
    known = c.shape_or_none(0)
    if known == () or (isinstance(shape, np.ndarray) and (shape.size == 0 or (shape < 0).all())):
        return sizes
    asked = int64(op, shape)
    asked = op.constant(asked) if isinstance(asked, np.ndarray) else asked
    asked = op.Slice(asked, [0], [-inner], [0]) if inner else asked
    return op.Where(op.Less(asked, 0), sizes, asked)


def _of_splits(op, splits):
    """For each value: the number of its row, and its place in it."""
    count = op.Gather(splits, np.asarray([-1]), axis=0)
    starts = op.Expand(np.int64(0), op.Add(count, np.asarray([1])))
    ends = op.Slice(splits, [1], [np.iinfo(np.int64).max], [0])
    ones = op.Expand(np.int64(1), op.Shape(ends))
    passed = op.CumSum(op.ScatterElements(starts, ends, ones, axis=0, reduction="add"), np.int64(0))
    rows = op.Slice(passed, [0], count, [0])
    return rows, op.Sub(counted(op, count), op.Gather(splits, rows, axis=0))


def _of_numbers(op, rows):
    """The same of the numbers of the rows, which ascend."""
    numbers = counted(op, size(op, rows, 0))
    earlier = op.Less(op.Unsqueeze(rows, [0]), op.Unsqueeze(rows, [1]))
    starts = op.ReduceSum(op.Cast(earlier, to=INT64), [1], keepdims=0)
    return rows, op.Sub(numbers, starts)


def _places(op, levels, count):
    """The index of each value in a dense tensor, and the sizes of that."""
    rows, column = levels[0]
    places, sizes = [rows, column], [count, _longest(op, column)]
    for rows, column in levels[1:]:
        places = [op.Gather(place, rows, axis=0) for place in places] + [column]
        sizes.append(_longest(op, column))
    return op.Concat(*(op.Unsqueeze(place, [1]) for place in places), axis=1), op.Concat(*sizes, axis=0)


def _longest(op, column):
    return op.Add(op.ReduceMax(op.Concat([-1], column, axis=0), [0], keepdims=1), 1)


@read("RaggedTensorToSparse", ignore=("RAGGED_RANK",))
def to_sparse(op, c, splits, values):
    if c.rank(len(splits)) != 1:
        c.refuse("its values have more than one axis")
    splits = [int64(op, split) for split in splits]
    places, sizes = _places(op, [_of_splits(op, split) for split in splits], op.Sub(size(op, splits[0], 0), 1))
    return places, op.Identity(values), sizes


@read("RaggedRange")
def ragged_range(op, c, starts, limits, deltas):
    """Counts from each start to each limit, end to end."""
    dtype = starts.dtype
    if dtype in (ir.DataType.FLOAT, ir.DataType.DOUBLE):
        lengths = op.Cast(op.Ceil(op.Div(op.Sub(limits, starts), deltas)), to=INT64)
    else:
        wide = [int64(op, value) for value in (starts, limits, deltas)]
        span, step = op.Sub(wide[1], wide[0]), wide[2]
        lengths = op.Div(op.Add(span, op.Sub(step, op.Sign(step))), step)
    lengths = op.Reshape(op.Max(lengths, 0), [-1])
    splits = _joined_lengths(op, lengths)
    rows, column = _of_splits(op, splits)
    first, step = (op.Gather(op.Expand(v, op.Shape(lengths)), rows, axis=0) for v in (starts, deltas))
    return op.Cast(splits, to=c.output_dtype(0)), op.Add(first, op.Mul(op.Cast(column, to=dtype), step))


def _joined_lengths(op, lengths):
    """Where rows of these lengths begin, end to end."""
    return op.Concat([0], op.CumSum(lengths, np.int64(0)), axis=0)


@read("RaggedGather", ignore=("PARAMS_RAGGED_RANK", "OUTPUT_RAGGED_RANK"))
def ragged_gather(op, c, splits, values, indices):
    if c.rank(len(splits) + 1) != 1:
        c.refuse("its indices have more than one axis")
    picked = int64(op, indices)
    made = []
    for split in (int64(op, split) for split in splits):
        starts = op.Slice(split, [0], [-1], [0])
        ends = op.Slice(split, [1], [np.iinfo(np.int64).max], [0])
        begin = op.Gather(starts, picked, axis=0)
        splits_made = _joined_lengths(op, op.Sub(op.Gather(ends, picked, axis=0), begin))
        made.append(op.Cast(splits_made, to=c.output_dtype(0)))
        rows, column = _of_splits(op, splits_made)
        picked = op.Add(op.Gather(begin, rows, axis=0), column)
    return *made, op.Gather(values, picked, axis=0)


@read("SparseFillEmptyRows")
def fill_empty_rows(op, c, indices, values, shape, default):
    """Rows without a value get the default at their beginning; rows in order, values of a row as they were."""
    axes = c.shape(2)[0]
    if not isinstance(axes, int):
        c.refuse("the number of its axes is not known")
    count, given = op.Slice(shape, [0], [1]), size(op, indices, 0)
    rows = op.Squeeze(op.Slice(indices, [0], [1], [1]), [1])
    ones = op.Expand(np.int64(1), op.Shape(rows))
    held = op.ScatterElements(op.Expand(np.int64(0), count), rows, ones, axis=0, reduction="add")
    empty = op.Equal(held, 0)
    missing = op.Reshape(op.NonZero(empty), [-1, 1])
    added = missing if axes == 1 else op.Pad(missing, np.asarray([0, 0, 0, axes - 1]))
    everything = op.Concat(indices, added, axis=0)
    texts = op.Concat(values, op.Expand(default, size(op, missing, 0)), axis=0)
    numbers = counted(op, size(op, everything, 0))
    key = op.Add(op.Mul(op.Squeeze(op.Slice(everything, [0], [1], [1]), [1]), size(op, everything, 0)), numbers)
    _, order = op.TopK(key, size(op, everything, 0), axis=0, largest=False, sorted=True, outputs=2)
    back = op.ScatterElements(op.Expand(np.int64(0), op.Shape(numbers)), order, numbers, axis=0)
    moved = functools.partial(op.Gather, axis=0)
    return moved(everything, order), moved(texts, order), empty, op.Slice(back, [0], given, [0])
