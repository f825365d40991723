"""Taking elements out of a tensor: by index, by slice, by mask."""

from __future__ import annotations

import operator
from typing import Any

import onnx_ir as ir
import torch

from isthmus.lower.contract import Host, Lowerings
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import call, dim, from_front, host_list, host_scalar, length_of, positive
from isthmus.writers.torch.ops._dims import BITS, counts, index_tensor, is_known, larger, moved, nonnegative

table = Lowerings()
lower, alias = table.lower, table.alias

_LAST = 2**63 - 1
_FAR = 2**31 - 1
"""A bound from here on means the end of an axis, however long it is."""

_WHOLE = slice(None)


@lower("Gather")
def gather(c, x, indices: Host, *, axis):
    """Subscripts count negative indices from the end themselves, and there is a kernel for every type."""
    axis = from_front(c, axis)
    if is_known(indices) and indices.ndim == 0:
        return x.select(axis, host_scalar(indices))
    before = (slice(None),) * axis
    if is_known(indices):
        return x[(*before, _as_tensor(indices, x))]
    if c.rank(1) == 0:  # the subscript of a 0-d tensor would be read during the trace
        return x[(*before, indices.reshape([1]))].squeeze(axis)
    return x[(*before, indices)]


def _as_tensor(values: Any, like: Any) -> Any:
    """Indices of any kind as a tensor; symbolic ones are stacked."""
    if not is_known(values):
        return values
    if values.dtype != object:
        return index_tensor(values, like)
    flat = [torch.full([], v, dtype=torch.int64, device=like.device) for v in values.reshape(-1)]
    return torch.stack(flat).reshape(values.shape)


def as_indices(c: Context, indices: Any, index: int, like: Any) -> Any:
    """Indices of input ``index`` as an int64 tensor, the only type that torch.gather and scatter take."""
    if is_known(indices):
        return _as_tensor(indices, like)
    return indices if c.dtype(index) == ir.DataType.INT64 else indices.to(torch.int64)


@lower("GatherElements")
def gather_elements(c, x, indices: Host, *, axis):
    axis = from_front(c, axis)
    at = nonnegative(as_indices(c, indices, 1, x), dim(c, x, axis))
    return moved(c, lambda v: torch.gather(v, axis, at), x)


@lower("GatherND")
def gather_nd(c, x, indices: Host, *, batch_dims):
    at, depth = _as_tensor(indices, x), index_depth(c, batch_dims)
    rank = c.rank(1)
    if rank == 1:
        at = at.unsqueeze(0)
    batch = [
        counts(0, dim(c, x, i), x).reshape([-1 if j == i else 1 for j in range(max(rank, 2) - 1)])
        for i in range(batch_dims)
    ]
    if depth is None:  # Python counts at run time
        taken = x[call(c, operator.add, tuple(batch), call(c, tuple, at.unbind(-1)))]
    else:
        taken = x[(*batch, *(at[..., i] for i in range(depth)))]
    return taken.squeeze(0) if rank == 1 else taken


def index_depth(c: Context, batch_dims: int) -> int | None:
    """How many axes one index of a GatherND spans, where that is known."""
    depth = c.shape(1)[-1]
    if isinstance(depth, int):
        return depth
    out = c.output_shape()
    return None if out is None else c.rank() + c.rank(1) - 1 - batch_dims - len(out)


# ---------------------------------------------------------------------------------------------- Slice


@lower("Slice")
def slice_(c, x, starts: Host, ends: Host, axes: Host = None, steps: Host = None):
    """Bounds beyond the axis are clamped, as Python does."""
    length = len(starts) if is_known(starts) else c.shape(1)[0]
    if not isinstance(length, int) and is_known(axes):
        length = len(axes)
    if not isinstance(length, int) and axes is None:
        axes = counts(0, starts.size(0), starts)
    if axes is not None and not is_known(axes):
        return _sliced_anywhere(c, x, starts, ends, axes, steps)
    order = list(range(length)) if axes is None else [from_front(c, int(a)) for a in axes]
    if steps is not None and not is_known(steps):
        return _sliced_by(c, x, order, *(host_list(c, v, length) for v in (starts, ends, steps)))
    begins, stops = host_list(c, starts, length), host_list(c, ends, length)
    strides = [1] * length if steps is None else [int(s) for s in steps]
    spans = [_WHOLE] * (max(order, default=-1) + 1)
    backward = [axis for axis, stride in zip(order, strides, strict=True) if stride < 0]
    for axis, begin, stop, stride in zip(order, begins, stops, strides, strict=True):
        spans[axis] = _span(c, x, axis, begin, stop, stride)
    x = moved(c, lambda v: v.flip(backward), x) if backward else x
    while spans and spans[-1] is _WHOLE:
        spans.pop()
    return x[tuple(spans)] if spans else x


def _span(c: Context, x: Any, axis: int, begin: Any, stop: Any, stride: int) -> slice:
    """The slice of an axis; of a reversed one where ``stride`` is negative.

    Element i of n is element -(i+1) of the reversed axis, where negative numbers count from the end as before.
    """
    if stride < 0:
        if not (isinstance(begin, int) and begin >= -1):
            begin = larger(begin, -dim(c, x, axis))  # ONNX clamps such a start to the first element
        begin, stop, stride = -(begin + 1), -(stop + 1), -stride
    length = length_of(c, axis)
    if isinstance(begin, int) and (begin == 0 or begin <= -(_FAR if length is None else length)):
        begin = None
    if isinstance(stop, int):
        stop = None if stop >= (_FAR if length is None else length) else max(stop, -_LAST)
    if begin is None and stop is None and stride == 1:
        return _WHOLE
    return slice(begin, stop, None if stride == 1 else stride)


def _sliced_anywhere(c: Context, x: Any, starts: Any, ends: Any, axes: Any, steps: Any) -> Any:
    """A slice whose axes are met at run time."""
    rank = c.rank()
    at = axes.to(torch.int64) % rank

    def spread(values: Any, default: int) -> list[Any]:
        full = torch.full([rank], default, dtype=torch.int64, device=at.device)
        given = full[:1].expand_as(at) if values is None else _as_tensor(values, x).to(torch.int64)
        return host_list(c, full.index_copy(0, at, given), rank)

    return _sliced_by(c, x, list(range(rank)), spread(starts, 0), spread(ends, _LAST), spread(steps, 1))


def _sliced_by(c: Context, x: Any, order: list[int], starts: Any, ends: Any, steps: Any) -> Any:
    """A slice whose steps, or their signs, are met at run time: elements are counted and taken by index."""
    for axis, start, end, step in zip(order, starts, ends, steps, strict=True):
        length = dim(c, x, axis)
        if isinstance(step, int) and step > 0:
            x = x[(*(slice(None),) * axis, slice(start, end, step))]
        else:
            x = taken(c, x, axis, _places(x, length, start, end, step))
    return x


def taken(c: Context, x: Any, axis: int, places: Any) -> Any:
    """The elements at ``places`` of an axis, of a tensor of the type of input 0."""
    return moved(c, lambda v: v.index_select(axis, places), x)


def _places(x: Any, length: Any, start: Any, end: Any, step: Any) -> Any:
    """The indices start, start+step, … before ``end``, with ONNX's clamps for either sign of ``step``."""
    start, end, step = (torch.full([], v, dtype=torch.int64, device=x.device) for v in (start, end, step))
    start, end = nonnegative(start, length), nonnegative(end, length)
    last = torch.where(step > 0, length, length - 1)
    start = torch.minimum(start.clamp_min(0), last)
    end = torch.where(step > 0, end.clamp(0, length), end.clamp(-1, length))
    here = counts(0, length, x)
    places = start + here * step
    return places[torch.where(step > 0, places < end, places > end)]


# ---------------------------------------------------------------------------------------------- masks

alias(Where=torch.where)


@lower("Compress")
def compress(c, x, condition, *, axis):
    """The condition may be shorter than the axis."""
    kept = torch.nonzero(condition).squeeze(1)
    return taken(c, x.reshape([-1]), 0, kept) if axis is None else taken(c, x, axis, kept)


@lower("NonZero")
def non_zero(c, x):
    """One row an axis; a scalar counts as a vector of one, as in ONNX Runtime."""
    x = x.reshape([1]) if c.rank() == 0 else x
    return torch.nonzero(x != 0 if c.dtype() in BITS else x).transpose(0, 1)


@lower("OneHot")
def one_hot(c, indices, depth: Host, values, *, axis):
    """Indices outside of [-depth, depth-1] give no hot element."""
    rank = c.rank() + 1
    axis = positive(axis, rank)
    at = indices if c.dtype() == ir.DataType.INT64 else indices.to(torch.int64)
    count = host_scalar(depth)
    count = int(count) if isinstance(count, float) else count
    classes = counts(0, count, indices).reshape([-1 if i == axis else 1 for i in range(rank)])
    hot = nonnegative(at, count).unsqueeze(axis) == classes
    return torch.where(hot, values[1], values[0])


@lower("Trilu")
def trilu(c, x, k: Host = None, *, upper):
    shift = 0 if k is None else host_scalar(k)
    keep = torch.triu if upper else torch.tril
    return moved(c, lambda v: keep(v, shift) if k is not None else keep(v), x)


@lower("ReverseSequence")
def reverse_sequence(c, x, lengths, *, batch_axis, time_axis):
    steps = counts(0, dim(c, x, time_axis), x).reshape([-1 if i == time_axis else 1 for i in range(c.rank())])
    ends = lengths.reshape([-1 if i == batch_axis else 1 for i in range(c.rank())])
    source = torch.where(steps < ends, ends - 1 - steps, steps)
    return moved(c, lambda v: torch.gather(v, time_axis, source.expand_as(v)), x)
