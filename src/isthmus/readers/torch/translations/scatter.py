"""Scattering with every reduction ATen has, and bags of embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from onnxscript import opset23 as op

from isthmus.readers.torch.translations.build import (
    INT64,
    Value,
    axis_of,
    cut,
    ints,
    ints_scalar,
    number,
    positions,
    rank,
)

aten = torch.ops.aten

_ONNX_REDUCTION = {"sum": "add", "mean": "add", "prod": "mul", "amax": "max", "amin": "min"}


def scatter_reduce(
    self: Value, dim: int, index: Value, src: Value, reduce: str, *, include_self: bool = True
) -> Value:
    """Combine ``src`` into ``self`` at ``index``; where nothing lands, ``self`` stays."""
    if rank(self) == 0:
        raise ValueError("ONNX scatters into tensors of rank 1 and more")
    axis = axis_of(self, dim)
    source = _as_large_as(src, index)
    reduction = _ONNX_REDUCTION[reduce]
    one, zero = number(1, self), number(0, self)
    hits = op.ScatterElements(
        op.Expand(zero, op.Shape(self)), index, op.Expand(one, op.Shape(index)), axis=axis, reduction="add"
    )
    untouched = op.Equal(hits, zero)
    base = self if include_self else op.Where(untouched, self, number(_identity(reduce, self), self))
    result = op.ScatterElements(base, index, source, axis=axis, reduction=reduction)
    if reduce != "mean":
        return result
    count = op.Add(hits, one) if include_self else op.Max(hits, one)
    if self.dtype.is_floating_point():
        return op.Div(result, count)
    rest = op.Mod(result, count)  # ATen divides integers towards negative infinity
    return op.Div(op.Sub(result, rest), count)


def _identity(reduce: str, x: Value) -> float:
    if reduce in ("sum", "mean"):
        return 0
    if reduce == "prod":
        return 1
    if x.dtype.is_floating_point():
        return float("-inf") if reduce == "amax" else float("inf")
    return int(x.dtype.min if reduce == "amax" else x.dtype.max)


def _as_large_as(src: Value, index: Value) -> Value:
    """ATen reads the leading corner of a larger ``src``; ONNX wants equal shapes."""
    if list(src.shape) == list(index.shape):
        return src
    axes = list(range(rank(index)))
    return op.Slice(src, ints(*[0] * len(axes)), op.Shape(index), ints(*axes))


def scatter_add(self: Value, dim: int, index: Value, src: Value) -> Value:
    """Add ``src`` into ``self``."""
    if rank(self) == 0:
        return op.Add(self, op.Reshape(src, op.Shape(self)))
    source = _as_large_as(src, index)
    return op.ScatterElements(self, index, source, axis=axis_of(self, dim), reduction="add")


def embedding_bag(
    weight: Value,
    indices: Value,
    offsets: Value,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: Value = None,
    include_last_offset: bool = False,
    padding_idx: int | None = -1,
) -> tuple[Value, Value, Value, Value]:
    """Sums (mode 0), means (1) or maxima (2) of rows of ``weight`` [v, d] over bags that begin at ``offsets``."""
    starts = cut(offsets, 0, 0, -1) if include_last_offset else offsets
    indices, starts = op.Cast(indices, to=INT64), op.Cast(starts, to=INT64)
    steps = op.Unsqueeze(positions(op.Shape(indices)), ints(1))
    begun = op.Cast(op.LessOrEqual(op.Unsqueeze(starts, ints(0)), steps), to=INT64)
    bags = op.Sub(op.ReduceSum(begun, ints(1), keepdims=0), ints_scalar(1))
    place = op.Unsqueeze(bags, ints(1))
    rows = op.Gather(weight, indices, axis=0)
    if per_sample_weights is not None:
        rows = op.Mul(rows, op.Unsqueeze(per_sample_weights, ints(1)))
    counted = op.CastLike(op.Expand(ints_scalar(1), op.Shape(indices)), weight)
    floor = number(float(np.finfo(np.float32).min), weight) if mode == 2 else number(0, weight)
    if padding_idx is not None and padding_idx >= 0:
        kept = op.Not(op.Equal(indices, ints_scalar(padding_idx)))
        counted = op.CastLike(kept, weight)
        rows = op.Where(op.Unsqueeze(kept, ints(1)), rows, floor)
    number_of_bags = op.Shape(starts)
    shape = op.Concat(number_of_bags, op.Shape(weight, start=1), axis=0)
    counts = op.ScatterND(op.Expand(number(0, weight), number_of_bags), place, counted, reduction="add")
    reduction = "max" if mode == 2 else "add"
    result = op.ScatterND(op.Expand(floor, shape), place, rows, reduction=reduction)
    column = op.Unsqueeze(counts, ints(1))
    if mode == 1:
        result = op.Div(result, op.Max(column, number(1, weight)))
    elif mode == 2:
        result = op.Where(op.Equal(column, number(0, weight)), number(0, weight), result)
    whole = op.Cast(counts, to=INT64)
    return result, bags, whole, op.Identity(whole)


def masked_select(self: Value, mask: Value) -> Value:
    """The entries where ``mask`` holds, in order; both are broadcast against each other."""
    value = op.Expand(self, op.Shape(mask))
    flags = op.Expand(mask, op.Shape(value))
    return op.Compress(op.Reshape(value, ints(-1)), op.Reshape(flags, ints(-1)))


TRANSLATIONS: dict[Any, Any] = {
    aten.scatter_reduce.two: scatter_reduce,
    aten.scatter_add.default: scatter_add,
    aten.embedding_bag.default: embedding_bag,
    aten.embedding_bag.padding_idx: embedding_bag,
    aten._embedding_bag.default: embedding_bag,
    aten._embedding_bag_forward_only.default: embedding_bag,
    aten.masked_select.default: masked_select,
}
