"""Gathering: along an axis, by indices into several, within batches, from variables."""

from __future__ import annotations

import numpy as np

from isthmus.readers.tensorflow.contract import ComplexOrReal, Reads, Static
from isthmus.readers.tensorflow.handles import Complex
from isthmus.readers.tensorflow.ops._sizes import front, int64, like, positive, tensor_of
from isthmus.readers.tensorflow.ops._variables import held

table = Reads()
read = table.read


@read("Gather", ignore=("validate_indices",))
def gather(op, params: ComplexOrReal, indices):
    return like(params, op.Gather(tensor_of(params), _indices(op, indices), axis=0))


@read("GatherV2")
def gather_v2(op, c, params: ComplexOrReal, indices, axis: Static, *, batch_dims: int):
    return like(params, _gathered(op, c, tensor_of(params), indices, front(c, axis), batch_dims))


@read("ResourceGather", ignore=("validate_indices",))
def resource_gather(op, c, resource, indices, *, batch_dims: int):
    params = held(c, resource)
    if batch_dims == 0:
        return op.Gather(params, _indices(op, indices), axis=0)
    return _in_batches(op, params, indices, batch_dims)


@read("GatherNd")
def gather_nd(op, c, params: ComplexOrReal, indices, *, bad_indices_policy: str):
    if bad_indices_policy not in ("", "DEFAULT", "ERROR"):
        c.refuse(f"bad_indices_policy={bad_indices_policy}: indices out of range are an error in ONNX")
    return like(params, _gathered_nd(op, c, tensor_of(params), indices))


@read("ResourceGatherNd")
def resource_gather_nd(op, c, resource, indices):
    return _gathered_nd(op, c, held(c, resource), indices)


def _indices(op, indices):
    """Indices of a type that ONNX takes: int32 or int64."""
    return indices if indices.dtype.name in ("INT32", "INT64") else int64(op, indices)


def _gathered(op, c, params, indices, axis, batch_dims):
    batch = positive(batch_dims, c.rank(1)) if batch_dims < 0 else batch_dims
    if batch == 0:
        return op.Gather(params, _indices(op, indices), axis=axis)
    if axis == batch:
        return _in_batches(op, params, indices, batch)
    # The axes between the batch and the one that is gathered stand behind the indices' own, and move back.
    rank = c.rank(0) + isinstance(c.bound[0], Complex)
    order = [*range(batch), axis, *(a for a in range(batch, rank) if a != axis)]
    found = _in_batches(op, op.Transpose(params, perm=order), indices, batch)
    own, between = c.rank(1) - batch, axis - batch
    total = rank - 1 + own
    back = [
        *range(batch),
        *range(batch + own, batch + own + between),
        *range(batch, batch + own),
        *range(batch + own + between, total),
    ]
    return op.Transpose(found, perm=back)


def _in_batches(op, params, indices, batch):
    return op.GatherND(params, op.Unsqueeze(int64(op, indices), [-1]), batch_dims=batch)


def _gathered_nd(op, c, params, indices):
    shape = c.shape_or_none(1)
    depth = None if shape is None else shape[-1]
    if not isinstance(depth, int) and c.output_shape() is None:
        c.refuse("the length of its index vectors is not known, nor the rank of its result")
    if depth == 0:
        # An index of no axes means the whole tensor.
        return op.Expand(params, op.Concat(op.Shape(indices, end=-1), op.Shape(params), axis=0))
    return op.GatherND(params, int64(op, indices))


@read("UnravelIndex")
def unraveled(op, c, indices, dims):
    """The index on each axis, one a row, of places in a flat tensor."""
    count = c.shape(1)[0]
    if not isinstance(count, int):
        c.refuse("the number of its axes is not known")
    rest, found = int64(op, indices), []
    for axis in range(count - 1, -1, -1):
        length = op.Gather(int64(op, dims), np.int64(axis), axis=0)
        found.insert(0, op.Unsqueeze(op.Mod(rest, length), [0]))
        rest = op.Div(rest, length)
    return op.Cast(op.Concat(*found, axis=0), to=c.output_dtype())
