"""Order statistics: median, mode, k-th value, running extrema, searching in sorted rows."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
import torch
from onnxscript import opset23 as op

from isthmus.readers.torch.translations.build import (
    INT64,
    Value,
    axis_of,
    ints,
    ints_scalar,
    moved,
    number,
    positions,
    rank,
    size,
    squeezed,
)

aten = torch.ops.aten


def _sorted(x: Value, axis: int) -> tuple[Value, Value]:
    values, indices = op.TopK(x, size(x, axis), axis=axis, largest=0, sorted=1)
    return values, indices


def _is_float(x: Value) -> bool:
    return bool(x.dtype.is_floating_point())


def median_dim(self: Value, dim: int, keepdim: bool = False) -> tuple[Value, Value]:
    """The lower of the two middle values; NaN where any entry is NaN."""
    if rank(self) == 0:
        return op.Identity(self), ints_scalar(0)
    axis = axis_of(self, dim)
    values, indices = _sorted(self, axis)
    middle = op.Div(op.Sub(size(self, axis), ints(1)), ints(2))
    found, where = op.Gather(values, middle, axis=axis), op.Gather(indices, middle, axis=axis)
    if _is_float(self):
        nans = op.Cast(op.IsNaN(self), to=INT64)
        broken = op.Cast(op.ReduceMax(nans, ints(axis)), to=ir.DataType.BOOL)
        found = op.Where(broken, number(float("nan"), self), found)
        where = op.Where(broken, op.ArgMax(nans, axis=axis), where)
    return squeezed(found, axis, keepdim), squeezed(where, axis, keepdim)


def median(self: Value) -> Value:
    """The lower median of all entries."""
    flat = op.Reshape(self, ints(-1))
    flat.dtype, flat.shape = self.dtype, ir.Shape([None])
    return median_dim(flat, 0)[0]


def nanmedian_dim(self: Value, dim: int, keepdim: bool = False) -> tuple[Value, Value]:
    """The lower median of the entries that are numbers; NaN where there is none."""
    if not _is_float(self) or rank(self) == 0:
        return median_dim(self, dim, keepdim)
    axis = axis_of(self, dim)
    lost = op.IsNaN(self)
    values, indices = _sorted(_like(op.Where(lost, number(float("inf"), self), self), self), axis)
    count = op.ReduceSum(op.Cast(op.Not(lost), to=INT64), ints(axis))
    middle = op.Max(op.Div(op.Sub(count, ints(1)), ints(2)), ints(0))
    found = op.GatherElements(values, middle, axis=axis)
    found = op.Where(op.Equal(count, ints(0)), number(float("nan"), self), found)
    where = op.GatherElements(indices, middle, axis=axis)
    return squeezed(found, axis, keepdim), squeezed(where, axis, keepdim)


def nanmedian(self: Value) -> Value:
    """The lower median of all entries that are numbers."""
    flat = op.Reshape(self, ints(-1))
    flat.dtype, flat.shape = self.dtype, ir.Shape([None])
    return nanmedian_dim(flat, 0)[0]


def _like(value: Value, x: Value) -> Value:
    value.dtype, value.shape = x.dtype, x.shape
    return value


def kthvalue(self: Value, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Value, Value]:
    """The k-th smallest, counted from 1."""
    axis = axis_of(self, dim)
    values, indices = _sorted(self, axis)
    found, where = op.Gather(values, ints(k - 1), axis=axis), op.Gather(indices, ints(k - 1), axis=axis)
    return squeezed(found, axis, keepdim), squeezed(where, axis, keepdim)


def mode(self: Value, dim: int = -1, keepdim: bool = False) -> tuple[Value, Value]:
    """The most frequent value, the smallest of several; its index is that of its last occurrence."""
    axis = axis_of(self, dim)
    last = moved(self, rank(self), axis, -1)
    last = _like(op.Identity(last), self)
    same = op.Equal(op.Unsqueeze(last, ints(-1)), op.Unsqueeze(last, ints(-2)))
    counts = op.ReduceSum(op.Cast(same, to=INT64), ints(-1), keepdims=0)
    often = op.Equal(counts, op.ReduceMax(counts, ints(-1)))
    ceiling = op.ReduceMax(last, ints(-1))
    found = op.ReduceMin(op.Where(often, last, ceiling), ints(-1))
    places = op.Where(op.Equal(last, found), positions(op.Shape(last, start=-1)), ints(-1))
    where = op.ReduceMax(places, ints(-1))
    found, where = moved(found, rank(self), -1, axis), moved(where, rank(self), -1, axis)
    return squeezed(found, axis, keepdim), squeezed(where, axis, keepdim)


def _earlier(length: Value) -> Value:
    """bool[n, n]: whether column j is not after row i."""
    steps = positions(length)
    return op.LessOrEqual(op.Unsqueeze(steps, ints(0)), op.Unsqueeze(steps, ints(1)))


def _running(self: Value, dim: int, largest: bool) -> tuple[Value, Value]:
    if rank(self) == 0:
        return op.Identity(self), ints_scalar(0)
    axis = axis_of(self, dim)
    last = op.Unsqueeze(moved(self, rank(self), axis, -1), ints(-2))
    bound = _lowest(self) if largest else _highest(self)
    length = op.Shape(last, start=-1)
    seen = _earlier(length)
    reduce = op.ReduceMax if largest else op.ReduceMin
    kept = op.Where(seen, last, number(bound, self))
    values = reduce(kept, ints(-1), keepdims=1)
    match = op.And(seen, op.Equal(last, values))
    if _is_float(self):
        nans = op.And(seen, op.IsNaN(last))
        broken = op.Cast(op.ReduceMax(op.Cast(nans, to=INT64), ints(-1)), to=ir.DataType.BOOL)
        values = op.Where(broken, number(float("nan"), self), values)
        match = op.Or(op.And(broken, nans), op.And(op.Not(broken), match))
    indices = op.ReduceMax(op.Where(match, positions(length), ints(-1)), ints(-1), keepdims=0)
    values = op.Squeeze(values, ints(-1))
    return moved(values, rank(self), -1, axis), moved(indices, rank(self), -1, axis)


def _lowest(x: Value) -> float:
    return float("-inf") if _is_float(x) else int(x.dtype.min)


def _highest(x: Value) -> float:
    return float("inf") if _is_float(x) else int(x.dtype.max)


def cummax(self: Value, dim: int) -> tuple[Value, Value]:
    """Running maximum and the last index that attains it."""
    return _running(self, dim, largest=True)


def cummin(self: Value, dim: int) -> tuple[Value, Value]:
    """Running minimum and the last index that attains it."""
    return _running(self, dim, largest=False)


def cumprod(self: Value, dim: int, dtype: int = -1) -> Value:
    """Running product, as the product over a triangle: exact for zeros and signs, unlike sums of logarithms."""
    x = self if dtype in (-1, None) else op.Cast(self, to=dtype)
    if dtype in (-1, None) and self.dtype is not None and not _is_float(self):
        x = op.Cast(self, to=INT64)
    if rank(self) == 0:
        return op.Identity(x)
    axis = axis_of(self, dim)
    last = op.Unsqueeze(moved(x, rank(self), axis, -1), ints(-2))
    one = op.CastLike(ints_scalar(1), x)
    kept = op.Where(_earlier(op.Shape(last, start=-1)), last, one)
    return moved(op.ReduceProd(kept, ints(-1), keepdims=0), rank(self), -1, axis)


def searchsorted(
    sorted_sequence: Value,
    self: Value,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Value = None,
) -> Value:
    """How many entries of the sorted last axis lie before each value: counted, not bisected."""
    ordered = sorted_sequence if sorter is None else op.GatherElements(sorted_sequence, sorter, axis=-1)
    right = right or side == "right"
    rows = op.Unsqueeze(ordered, ints(-2)) if rank(sorted_sequence) > 1 else ordered
    values = op.Unsqueeze(self, ints(-1))
    before = op.LessOrEqual(rows, values) if right else op.Less(rows, values)
    to = ir.DataType.INT32 if out_int32 else INT64
    return op.ReduceSum(op.Cast(before, to=to), ints(-1), keepdims=0)


TRANSLATIONS: dict[Any, Any] = {
    aten.median.default: median,
    aten.median.dim: median_dim,
    aten.nanmedian.default: nanmedian,
    aten.nanmedian.dim: nanmedian_dim,
    aten.kthvalue.default: kthvalue,
    aten.mode.default: mode,
    aten.cummax.default: cummax,
    aten.cummin.default: cummin,
    aten.cumprod.default: cumprod,
    aten.searchsorted.Tensor: searchsorted,
}
