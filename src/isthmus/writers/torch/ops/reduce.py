"""Reductions over axes, and running sums and products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from isthmus.lower.contract import Host, Lowerings
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import UNSIGNED, WIDE_UNSIGNED, dtype_of, host_list, host_scalar, leaf
from isthmus.writers.torch.ops._numeric import in_double, in_float32, in_int64, in_order, quotient

table = Lowerings()
lower, alias = table.lower, table.alias

Reduction = Callable[[Any, Any, bool], Any]
"""Of a tensor, over a list of axes that is not empty, keeping them or not."""
Function = Callable[[Any], Any]


@lower("ReduceSum")
def reduce_sum(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    return _reduced(c, in_int64, _sum(c), _same, x, axes, keepdims, noop_with_empty_axes)


@lower("ReduceMean")
def reduce_mean(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    mean = _integer_mean(c) if c.dtype().is_integer() else torch.mean
    return _reduced(c, in_int64, mean, _same, x, axes, keepdims, noop_with_empty_axes)


@lower("ReduceProd")
def reduce_prod(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    return _reduced(c, in_int64, _product(c), _same, x, axes, keepdims, noop_with_empty_axes)


@lower("ReduceMax")
def reduce_max(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    largest = _extreme_of_none(c, least=True) if _is_empty(c) else torch.amax
    return _reduced(c, in_order, largest, _same, x, axes, keepdims, noop_with_empty_axes)


@lower("ReduceMin")
def reduce_min(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    smallest = _extreme_of_none(c, least=False) if _is_empty(c) else torch.amin
    return _reduced(c, in_order, smallest, _same, x, axes, keepdims, noop_with_empty_axes)


@lower("ReduceL1")
def reduce_l1(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    x = x if c.dtype() in UNSIGNED else torch.abs(x)
    return _reduced(c, in_int64, _sum(c), _same, x, axes, keepdims, noop_with_empty_axes)


@lower("ReduceSumSquare")
def reduce_sum_square(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    def sum_of_squares(v: Any, over: Any, keep: bool) -> Any:
        return _sum(c)(torch.square(v), over, keep)

    return _reduced(c, in_int64, sum_of_squares, torch.square, x, axes, keepdims, noop_with_empty_axes)


@lower("ReduceL2")
def reduce_l2(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    def norm(v: Any, over: Any, keep: bool) -> Any:
        return torch.linalg.vector_norm(v, 2, over, keep)

    return _reduced(c, _as_float, norm, torch.abs, x, axes, keepdims, noop_with_empty_axes)


@lower("ReduceLogSum")
def reduce_log_sum(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    def log_of_sum(v: Any, over: Any, keep: bool) -> Any:
        return torch.log(torch.sum(v, over, keep))

    return _reduced(c, _as_float, log_of_sum, torch.log, x, axes, keepdims, noop_with_empty_axes)


@lower("ReduceLogSumExp")
def reduce_log_sum_exp(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    return _reduced(c, _as_float, torch.logsumexp, _same, x, axes, keepdims, noop_with_empty_axes)


@lower("CumSum")
def cum_sum(c, x, axis: Host, *, exclusive, reverse):
    return _running(c, torch.cumsum, torch.zeros_like, x, axis, exclusive, reverse)


@lower("CumProd")
def cum_prod(c, x, axis: Host, *, exclusive, reverse):
    return _running(c, torch.cumprod, torch.ones_like, x, axis, exclusive, reverse)


def _reduced(
    c: Context,
    way: Callable[..., Any],
    function: Reduction,
    alone: Function,
    x: Any,
    axes: Any,
    keepdims: int,
    noop: int,
) -> Any:
    """``function`` over the axes given, or over all where none are given, in the type that ``way`` chooses.

    With ``noop`` no axes mean none, and then ``alone`` is what becomes of each element.
    """
    over, keep, dtype = _over(c, axes, noop), bool(keepdims), c.dtype()
    if over is None:
        return way(alone, x, dtype=dtype)
    if not _may_be_none(c, axes, noop):
        return way(lambda v: function(v, over, keep), x, dtype=dtype)
    y = way(lambda v: function(v.unsqueeze(-1), over, keep), x, dtype=dtype)
    return y.squeeze(-1) if keep else y


@leaf
def axes_of(axes: torch.Tensor, rank: int, noop: bool) -> list[int]:
    """The axes that a tensor names; where it names none, all of them, or ``noop``: one more that x is given then."""
    found = [axis % rank for axis in axes.reshape(-1).tolist()]
    return [*found, rank] if noop else found or list(range(rank))


@leaf
def product_over(x: torch.Tensor, axes: list[int], keepdim: bool, dtype: torch.dtype | None = None) -> torch.Tensor:
    """``torch.prod`` over many axes."""
    for axis in axes:
        x = torch.prod(x, axis, keepdim=True, dtype=dtype)
    return x if keepdim else x.squeeze(axes)


def _over(c: Context, axes: Any, noop: int) -> Any:
    """The axes to reduce: a list, or what a run finds in a tensor. None where nothing is reduced."""
    if isinstance(axes, np.ndarray) and axes.size:
        return host_list(c, axes)
    length = 0 if axes is None or isinstance(axes, np.ndarray) else c.shape(1)[0] if c.rank(1) else 1
    if length == 0:
        return None if noop or c.rank(0) == 0 else list(range(c.rank(0)))
    return axes.tolist() if isinstance(length, int) else axes_of(axes, c.rank(0), bool(noop))


def _may_be_none(c: Context, axes: Any, noop: int) -> bool:
    """Whether only a run tells that there are no axes, and that nothing is to be reduced then."""
    computed = axes is not None and not isinstance(axes, np.ndarray)
    return computed and bool(noop) and c.rank(1) == 1 and not isinstance(c.shape(1)[0], int)


def _is_empty(c: Context) -> bool:
    """Whether the hub knows that the operand has no elements."""
    value = c.node.inputs[0]
    return value is not None and value.shape is not None and 0 in value.shape


def _same_type(c: Context) -> dict[str, Any]:
    """What keeps PyTorch from adding up small integers in int64, which ONNX does in their own type."""
    dtype = c.dtype()
    plain = dtype in WIDE_UNSIGNED or dtype == ir.DataType.INT64 or not dtype.is_integer()
    return {} if plain else {"dtype": dtype_of(dtype)}


def _same(x: Any) -> Any:
    return x


def _as_float(compute: Callable[..., Any], x: Any, *, dtype: ir.DataType) -> Any:
    """Integers through float64, and truncated; halves through float32."""
    return (in_double if dtype.is_integer() else in_float32)(compute, x, dtype=dtype)


def _sum(c: Context) -> Reduction:
    return lambda v, over, keep: torch.sum(v, over, keep, **_same_type(c))


def _product(c: Context) -> Reduction:
    def product(v: Any, over: Any, keep: bool) -> Any:
        if not isinstance(over, list):
            return product_over(v, over, keep, **_same_type(c))
        for axis in over:  # torch.prod takes one at a time
            v = torch.prod(v, axis, keepdim=True, **_same_type(c))
        return v if keep else torch.squeeze(v, over)

    return product


def _integer_mean(c: Context) -> Reduction:
    """Towards zero."""

    def mean(v: Any, over: Any, keep: bool) -> Any:
        total = torch.sum(v, over, keep)
        count = torch.sum(torch.ones_like(v, dtype=torch.int64), over, keep)
        wide = ir.DataType.UINT64 if c.dtype() == ir.DataType.UINT64 else ir.DataType.INT64
        return quotient(total, count, wide).to(dtype_of(c.dtype()))

    return mean


def _extreme_of_none(c: Context, *, least: bool) -> Reduction:
    """What torch.amax and torch.amin have no answer for: the least or the greatest number of the type."""
    dtype = c.dtype()
    if dtype == ir.DataType.BOOL:
        fill: float = not least
    elif dtype == ir.DataType.UINT64:  # in the order of int64
        fill = torch.iinfo(torch.int64).min if least else torch.iinfo(torch.int64).max
    elif dtype.is_integer():
        fill = torch.iinfo(dtype_of(dtype)).min if least else torch.iinfo(dtype_of(dtype)).max
    else:
        fill = float("-inf") if least else float("inf")

    def extreme(v: Any, over: Any, keep: bool) -> Any:
        kept = {} if dtype in WIDE_UNSIGNED else {"dtype": dtype_of(dtype)}
        return torch.full_like(torch.sum(v, over, keep), fill, **kept)

    return extreme


def _running(
    c: Context,
    function: Callable[..., Any],
    neutral: Callable[[Any], Any],
    x: Any,
    axis: Any,
    exclusive: int,
    reverse: int,
) -> Any:
    """``function`` along an axis, from behind if ``reverse``; without the element itself if ``exclusive``."""
    along = host_scalar(axis)
    size = c.shape(0)[along] if isinstance(along, int) else None
    known = size if isinstance(size, int) else None

    def run(v: Any) -> Any:
        v = torch.flip(v, [along]) if reverse else v
        if exclusive and known != 0:
            before = torch.narrow(v, along, 0, (known or v.size(along)) - 1)
            v = torch.cat([neutral(torch.narrow(v, along, 0, 1)), before], along)
        y = function(v, along, **_same_type(c))
        return torch.flip(y, [along]) if reverse else y

    if c.dtype().is_integer():
        return in_int64(run, x, dtype=c.dtype())
    return in_float32(run, x, dtype=c.dtype())
