"""Scattering, where indices that repeat add up or are put in order; stitching and partitioning."""

from __future__ import annotations

import functools

import numpy as np

from isthmus.readers.tensorflow.contract import Host, Reads
from isthmus.readers.tensorflow.ops._scattering import scattered
from isthmus.readers.tensorflow.ops._sizes import counted, filled, int64, rows, size, through_float

table = Reads()
read = table.read


@read("ScatterNd")
def scatter_nd(op, c, indices, updates, shape: Host, *, bad_indices_policy: str):
    _check(c, bad_indices_policy)
    return _scattered(op, c, filled(op, 0, updates.dtype, int64(op, shape)), indices, updates, "add", 0)


@read("TensorScatterUpdate")
def tensor_scatter_update(op, c, x, indices, updates, *, bad_indices_policy: str):
    _check(c, bad_indices_policy)
    return _scattered(op, c, x, indices, updates, "none", 1)


@read("TensorScatterAdd", "ScatterNdNonAliasingAdd")
def tensor_scatter_add(op, c, x, indices, updates, *, bad_indices_policy: str):
    _check(c, bad_indices_policy)
    return _scattered(op, c, x, indices, updates, "add", 1)


@read("TensorScatterSub")
def tensor_scatter_sub(op, c, x, indices, updates, *, bad_indices_policy: str):
    _check(c, bad_indices_policy)
    negative = op.Sub(op.constant(0, updates.dtype), updates)
    return _scattered(op, c, x, indices, negative, "add", 1)


@read("TensorScatterMin")
def tensor_scatter_min(op, c, x, indices, updates, *, bad_indices_policy: str):
    _check(c, bad_indices_policy)
    return _scattered(op, c, x, indices, updates, "min", 1)


@read("TensorScatterMax")
def tensor_scatter_max(op, c, x, indices, updates, *, bad_indices_policy: str):
    _check(c, bad_indices_policy)
    return _scattered(op, c, x, indices, updates, "max", 1)


@read("DynamicStitch", "ParallelDynamicStitch")
def dynamic_stitch(op, c, indices, data):
    places = _joined(op, [op.Reshape(int64(op, index), [-1]) for index in indices])
    values = _joined(op, [rows(op, c, value, len(data) + i, c.rank(i)) for i, value in enumerate(data)])
    last = op.ReduceMax(op.Concat([-1], places, axis=0), keepdims=True)
    # Of rows for one place the last one counts: each place learns the number of its row.
    numbers = counted(op, size(op, places, 0))
    nowhere = op.Expand(np.asarray([0]), op.Add(last, np.asarray([1])))
    owners = op.ScatterElements(nowhere, places, numbers, axis=0, reduction="max")
    return op.Gather(values, owners, axis=0)


@read("DynamicPartition")
def dynamic_partition(op, c, data, partitions, *, num_partitions: int):
    parts = rows(op, c, data, 0, c.rank(1))
    labels = op.Reshape(partitions, [-1])
    chosen = [op.Equal(labels, np.int32(i)) for i in range(num_partitions)]
    return tuple(through_float(op, parts, functools.partial(_rows_where, op, own)) for own in chosen)


def _rows_where(op, chosen, x):
    return op.Compress(x, chosen, axis=0)


def _check(c, policy):
    if policy not in ("", "DEFAULT", "ERROR"):
        c.refuse(f"bad_indices_policy={policy}: indices out of range are an error in ONNX")


def _scattered(op, c, x, indices, updates, reduction, which):
    shape = c.shape_or_none(which)
    if shape is not None and shape[-1] == 0:
        c.refuse("its index vectors have no entries, so that each means the whole tensor")
    return scattered(op, x, int64(op, indices), updates, reduction)


def _joined(op, parts):
    return parts[0] if len(parts) == 1 else op.Concat(*parts, axis=0)
