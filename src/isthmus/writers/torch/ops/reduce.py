"""Reductions over axes, and running sums and products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from isthmus.lower.contract import Host, Lowerings
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import (
    UNSIGNED,
    WIDE_UNSIGNED,
    dtype_of,
    host_list,
    host_scalar,
)
from isthmus.writers.torch.ops._numeric import in_double, in_float32, in_int64, in_order, quotient

table = Lowerings()
lower, alias = table.lower, table.alias

Reduction = Callable[[Any, Any, bool], Any]
"""Of a tensor, over a list of axes that is not empty, keeping them or not."""


@lower("ReduceSum")
def reduce_sum(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    over = _over(c, axes, noop_with_empty_axes)
    return x if over is None else in_int64(lambda v: _sum(c, v, over, keepdims), x, dtype=c.dtype())


@lower("ReduceMean")
def reduce_mean(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    over = _over(c, axes, noop_with_empty_axes)
    if over is None:
        return x
    if not c.dtype().is_integer():
        return torch.mean(x, over, bool(keepdims))
    return in_int64(lambda v: _integer_mean(c, v, over, keepdims), x, dtype=c.dtype())


@lower("ReduceProd")
def reduce_prod(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    over = _over(c, axes, noop_with_empty_axes, one_by_one=True)

    def product(v):
        for axis in over:  # torch.prod takes one at a time
            v = torch.prod(v, axis, keepdim=True, **_same_type(c))
        return v if keepdims else torch.squeeze(v, over)

    return x if over is None else in_int64(product, x, dtype=c.dtype())


@lower("ReduceMax")
def reduce_max(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    over = _over(c, axes, noop_with_empty_axes)
    if over is not None and _is_empty(c):
        return _extreme_of_none(c, x, over, keepdims, least=True)
    return x if over is None else in_order(lambda v: torch.amax(v, over, bool(keepdims)), x, dtype=c.dtype())


@lower("ReduceMin")
def reduce_min(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    over = _over(c, axes, noop_with_empty_axes)
    if over is not None and _is_empty(c):
        return _extreme_of_none(c, x, over, keepdims, least=False)
    return x if over is None else in_order(lambda v: torch.amin(v, over, bool(keepdims)), x, dtype=c.dtype())


@lower("ReduceL1")
def reduce_l1(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    over = _over(c, axes, noop_with_empty_axes)
    x = x if c.dtype() in UNSIGNED else torch.abs(x)
    return x if over is None else in_int64(lambda v: _sum(c, v, over, keepdims), x, dtype=c.dtype())


@lower("ReduceSumSquare")
def reduce_sum_square(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    over = _over(c, axes, noop_with_empty_axes)

    def of_squares(v):
        return torch.square(v) if over is None else _sum(c, torch.square(v), over, keepdims)

    return in_int64(of_squares, x, dtype=c.dtype())


@lower("ReduceL2")
def reduce_l2(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    return _as_float(c, _euclidean, torch.abs, x, axes, keepdims, noop_with_empty_axes)


@lower("ReduceLogSum")
def reduce_log_sum(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    return _as_float(c, _log_of_sum, torch.log, x, axes, keepdims, noop_with_empty_axes)


@lower("ReduceLogSumExp")
def reduce_log_sum_exp(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    return _as_float(c, torch.logsumexp, lambda v: v, x, axes, keepdims, noop_with_empty_axes)


@lower("CumSum")
def cum_sum(c, x, axis: Host, *, exclusive, reverse):
    return _running(c, torch.cumsum, torch.zeros_like, x, axis, exclusive, reverse)


@lower("CumProd")
def cum_prod(c, x, axis: Host, *, exclusive, reverse):
    return _running(c, torch.cumprod, torch.ones_like, x, axis, exclusive, reverse)


def _over(c: Context, axes: Any, noop: int, *, one_by_one: bool = False) -> Any:
    """The axes to reduce: ints, or what a run finds in a tensor. None where nothing is reduced."""
    everything = list(range(c.rank(0)))
    if axes is None or (isinstance(axes, np.ndarray) and axes.size == 0):
        return None if noop or not everything else everything
    if isinstance(axes, np.ndarray):
        return host_list(c, axes)
    length = c.shape(1)[0] if c.rank(1) else 1
    if length == 0:
        return None if noop or not everything else everything
    if one_by_one:
        return host_list(c, axes)
    if noop and not isinstance(length, int):
        c.refuse("PyTorch reduces over every axis where its list of axes turns out to be empty")
    return axes.reshape([-1]).tolist()


def _same_type(c: Context) -> dict[str, Any]:
    """What keeps PyTorch from adding up small integers in int64, which ONNX does in their own type."""
    dtype = c.dtype()
    plain = dtype in WIDE_UNSIGNED or dtype == ir.DataType.INT64 or not dtype.is_integer()
    return {} if plain else {"dtype": dtype_of(dtype)}


def _sum(c: Context, x: Any, over: Any, keepdims: int) -> Any:
    return torch.sum(x, over, bool(keepdims), **_same_type(c))


def _integer_mean(c: Context, x: Any, over: Any, keepdims: int) -> Any:
    """Towards zero."""
    total = torch.sum(x, over, bool(keepdims))
    count = torch.sum(torch.ones_like(x, dtype=torch.int64), over, bool(keepdims))
    wide = ir.DataType.UINT64 if c.dtype() == ir.DataType.UINT64 else ir.DataType.INT64
    return quotient(total, count, wide).to(dtype_of(c.dtype()))


def _euclidean(x: Any, over: Any, keep: bool) -> Any:
    return torch.linalg.vector_norm(x, 2, over, keep)


def _log_of_sum(x: Any, over: Any, keep: bool) -> Any:
    return torch.log(torch.sum(x, over, keep))


def _as_float(
    c: Context,
    function: Reduction,
    alone: Callable[[Any], Any],
    x: Any,
    axes: Any,
    keepdims: int,
    noop: int,
) -> Any:
    """Integers through float64, and truncated; halves through float32. ``alone`` is the function of one element."""
    over = _over(c, axes, noop)

    def reduced(v: Any) -> Any:
        return alone(v) if over is None else function(v, over, bool(keepdims))

    way = in_double if c.dtype().is_integer() else in_float32
    return way(reduced, x, dtype=c.dtype())


def _is_empty(c: Context) -> bool:
    """Whether the input is known to have no elements."""
    return 0 in c.shape(0)


def _extreme_of_none(c: Context, x: Any, over: Any, keepdims: int, *, least: bool) -> Any:
    """What torch.amax and torch.amin have no answer for: the least or the greatest number of the type."""
    dtype = dtype_of(c.dtype())
    if c.dtype() == ir.DataType.BOOL:
        fill: float = not least
    elif c.dtype().is_integer():
        fill = torch.iinfo(dtype).min if least else torch.iinfo(dtype).max
    else:
        fill = float("-inf") if least else float("inf")
    shaped = torch.sum(x.long() if c.dtype() in WIDE_UNSIGNED else x, over, bool(keepdims))
    return torch.full_like(shaped, fill, dtype=dtype)


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
