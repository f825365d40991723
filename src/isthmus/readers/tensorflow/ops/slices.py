"""Slices: by begin and size, by strides with every mask, and their updates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from isthmus.readers.tensorflow.contract import ComplexOrReal, Host, Reads
from isthmus.readers.tensorflow.ops._sizes import FIRST, INT64, LAST, counted, filled, int64, like, tensor_of
from isthmus.readers.tensorflow.ops._variables import assign_to, held, variable

table = Reads()
read = table.read


@read("Slice")
def slice_(op, c, x: ComplexOrReal, begin: Host, size: Host):
    rank = c.rank()
    if rank == 0:
        return x
    begin, size = int64(op, begin), int64(op, size)
    if isinstance(begin, np.ndarray) and isinstance(size, np.ndarray):
        ends: Any = np.where(size == -1, LAST, begin + size)
    else:
        ends = op.Where(op.Equal(_value(op, size), np.int64(-1)), np.int64(LAST), op.Add(_value(op, begin), size))
    return like(x, op.Slice(tensor_of(x), begin, ends, list(range(rank))))


@read("StridedSlice")
def strided_slice(
    op,
    c,
    x: ComplexOrReal,
    begin: Host,
    end: Host,
    strides: Host,
    *,
    begin_mask: int,
    end_mask: int,
    ellipsis_mask: int,
    new_axis_mask: int,
    shrink_axis_mask: int,
):
    masks = _Masks(begin_mask, end_mask, ellipsis_mask, new_axis_mask, shrink_axis_mask)
    plan = _plan(c, masks, c.rank(), begin, end, strides)
    return like(x, _sliced(op, tensor_of(x), plan))


@read("TensorStridedSliceUpdate")
def tensor_strided_slice_update(
    op,
    c,
    x,
    begin: Host,
    end: Host,
    strides: Host,
    value,
    *,
    begin_mask: int,
    end_mask: int,
    ellipsis_mask: int,
    new_axis_mask: int,
    shrink_axis_mask: int,
):
    masks = _Masks(begin_mask, end_mask, ellipsis_mask, new_axis_mask, shrink_axis_mask)
    return _updated(op, x, op.Shape(x), _plan(c, masks, c.rank(), begin, end, strides), value)


@read("ResourceStridedSliceAssign")
def resource_strided_slice_assign(
    op,
    c,
    ref,
    begin: Host,
    end: Host,
    strides: Host,
    value,
    *,
    begin_mask: int,
    end_mask: int,
    ellipsis_mask: int,
    new_axis_mask: int,
    shrink_axis_mask: int,
):
    masks = _Masks(begin_mask, end_mask, ellipsis_mask, new_axis_mask, shrink_axis_mask)
    before = held(c, ref)
    plan = _plan(c, masks, len(variable(c, ref).variable.value.shape), begin, end, strides)
    assign_to(c, ref, _updated(op, before, op.Shape(before), plan, value))


@read("StridedSliceGrad")
def strided_slice_grad(
    op,
    c,
    shape,
    begin: Host,
    end: Host,
    strides: Host,
    dy,
    *,
    begin_mask: int,
    end_mask: int,
    ellipsis_mask: int,
    new_axis_mask: int,
    shrink_axis_mask: int,
):
    masks = _Masks(begin_mask, end_mask, ellipsis_mask, new_axis_mask, shrink_axis_mask)
    (rank,) = c.shape(0)
    if not isinstance(rank, int):
        c.refuse("the length of its shape is not known")
    sizes = int64(op, shape)
    return _updated(op, filled(op, 0, dy.dtype, sizes), sizes, _plan(c, masks, rank, begin, end, strides), dy)


@dataclass(frozen=True)
class _Masks:
    """Bit i speaks of entry i of begin, end and strides."""

    begin: int
    end: int
    ellipsis: int
    new_axis: int
    shrink: int


@dataclass(frozen=True)
class _Plan:
    """A strided slice by axes of the tensor: ``cut[axis]`` is the entry that cuts it, ``taken[axis]`` the entry that
    picks one index of it; ``new`` are the axes of the result that are new."""

    masks: _Masks
    cut: dict[int, int]
    taken: dict[int, int]
    new: list[int]
    begin: Any
    end: Any
    strides: Any


def _plan(c, masks, rank, begin, end, strides):
    entries = next((s[0] for s in (c.shape_or_none(i) for i in (1, 2, 3)) if s and isinstance(s[0], int)), None)
    if entries is None:
        c.refuse("the number of its slices is not known")
    plan = _Plan(masks, {}, {}, [], begin, end, strides)
    ellipsis = next((i for i in range(entries) if masks.ellipsis >> i & 1), entries)
    after = sum(1 for i in range(ellipsis + 1, entries) if not masks.new_axis >> i & 1)
    axis = made = 0
    for i in range(entries):
        if i == ellipsis:
            made += rank - after - axis
            axis = rank - after
        elif masks.new_axis >> i & 1:
            plan.new.append(made)
            made += 1
        else:
            shrinks = masks.shrink >> i & 1
            (plan.taken if shrinks else plan.cut)[axis] = i
            axis += 1
            made += not shrinks
    return plan


def _sliced(op, x, plan):
    cut = {axis: i for axis, i in plan.cut.items() if not _is_whole(plan, i)}
    if cut:
        entries = list(cut.values())
        starts, ends = _bounds(op, plan, entries)
        x = op.Slice(x, starts, ends, list(cut), _entries(op, plan.strides, entries))
    for axis in sorted(plan.taken, reverse=True):
        x = op.Gather(x, _scalar(op, plan.begin, plan.taken[axis]), axis=axis)
    return op.Unsqueeze(x, plan.new) if plan.new else x


def _is_whole(plan, i):
    both = plan.masks.begin >> i & plan.masks.end >> i & 1
    return both and isinstance(plan.strides, np.ndarray) and plan.strides[i] == 1


def _bounds(op, plan, entries):
    """Starts and ends; a masked one is as far as it goes, in the direction of its stride."""
    strides = _entries(op, plan.strides, entries)
    bounds = []
    for given, mask, forwards, backwards in (
        (plan.begin, plan.masks.begin, 0, LAST),
        (plan.end, plan.masks.end, LAST, FIRST),
    ):
        masked = np.asarray([bool(mask >> i & 1) for i in entries])
        if isinstance(strides, np.ndarray):
            furthest: Any = np.where(strides > 0, forwards, backwards)
        else:
            furthest = op.Where(op.Greater(strides, np.int64(0)), np.int64(forwards), np.int64(backwards))
        bounds.append(_chosen(op, masked, furthest, _entries(op, given, entries)))
    return bounds


def _chosen(op, masked, furthest, given):
    if masked.all():
        return furthest
    if not masked.any():
        return given
    if isinstance(furthest, np.ndarray) and isinstance(given, np.ndarray):
        return np.where(masked, furthest, given)
    return op.Where(masked, _value(op, furthest), given)


def _entries(op, numbers, entries):
    numbers = int64(op, numbers)
    if isinstance(numbers, np.ndarray):
        return numbers[entries]
    return op.Gather(numbers, np.asarray(entries, np.int64), axis=0)


def _scalar(op, numbers, i):
    numbers = int64(op, numbers)
    return np.asarray(numbers[i]) if isinstance(numbers, np.ndarray) else op.Gather(numbers, np.int64(i), axis=0)


def _value(op, numbers):
    return numbers if isinstance(numbers, ir.Value) else op.constant(numbers, INT64)


def _updated(op, x, sizes, plan, value):
    """``x`` with ``value`` where the slice is: the slice of the elements' own numbers says where that is."""
    numbers = op.Reshape(counted(op, op.ReduceProd(sizes, keepdims=True)), sizes, allowzero=1)
    places = _sliced(op, numbers, plan)
    values = op.Reshape(op.Expand(value, op.Shape(places)), [-1])
    flat = op.ScatterElements(op.Reshape(x, [-1]), op.Reshape(places, [-1]), values, axis=0)
    return op.Reshape(flat, sizes, allowzero=1)


@read("XlaDynamicSlice")
def xla_dynamic_slice(op, c, x, start, sizes: Host):
    begins = _inside(op, x, start, int64(op, sizes))
    return op.Slice(x, begins, op.Add(begins, int64(op, sizes)), list(range(c.rank())))


@read("XlaDynamicUpdateSlice")
def xla_dynamic_update_slice(op, c, x, update, start):
    """The update where it begins at ``start``, moved back where it would reach beyond the end."""
    rank = c.rank()
    sizes = op.Shape(update)
    begins = _inside(op, x, start, sizes)
    numbers = op.Reshape(counted(op, op.ReduceProd(op.Shape(x), keepdims=True)), op.Shape(x), allowzero=1)
    places = op.Slice(numbers, begins, op.Add(begins, sizes), list(range(rank)))
    flat = op.ScatterElements(op.Reshape(x, [-1]), op.Reshape(places, [-1]), op.Reshape(update, [-1]), axis=0)
    return op.Reshape(flat, op.Shape(x), allowzero=1)


def _inside(op, x, start, sizes):
    """Where a window of these sizes begins, so that it ends inside."""
    return op.Max(op.Min(int64(op, start), op.Sub(op.Shape(x), sizes)), np.asarray([0]))
