"""Reductions over axes, and running sums and products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from isthmus.lower.contract import Host, Lowerings
from isthmus.lower.walk import Context
from isthmus.writers.tensorflow.ops._common import FLOATS, HALVES, convert, in_wider, scalar, shaped

table = Lowerings()
lower, alias = table.lower, table.alias

Reduction = Callable[[tf.Tensor, Any, bool], tf.Tensor]
"""Of a tensor, over axes (None: all), keeping them or not."""


@lower("ReduceSum")
def reduce_sum(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    return _reduced(c, tf.reduce_sum, x, axes, keepdims, noop_with_empty_axes)


@lower("ReduceMean")
def reduce_mean(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    return _reduced(c, _mean, x, axes, keepdims, noop_with_empty_axes)


@lower("ReduceProd")
def reduce_prod(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    return _reduced(c, tf.reduce_prod, x, axes, keepdims, noop_with_empty_axes)


@lower("ReduceMax")
def reduce_max(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    function = tf.reduce_any if x.dtype == tf.bool else tf.reduce_max
    return _reduced(c, function, x, axes, keepdims, noop_with_empty_axes)


@lower("ReduceMin")
def reduce_min(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    function = tf.reduce_all if x.dtype == tf.bool else tf.reduce_min
    return _reduced(c, function, x, axes, keepdims, noop_with_empty_axes)


@lower("ReduceL1")
def reduce_l1(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    x = x if x.dtype in (tf.uint32, tf.uint64) else tf.abs(x)
    return _reduced(c, tf.reduce_sum, x, axes, keepdims, noop_with_empty_axes)


@lower("ReduceSumSquare")
def reduce_sum_square(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    return _reduced(c, _sum_square, x, axes, keepdims, noop_with_empty_axes)


@lower("ReduceL2")
def reduce_l2(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    def norm(v: tf.Tensor, over: Any, keep: bool) -> tf.Tensor:
        return tf.sqrt(_sum_square(v, over, keep))

    return _reduced_as_float(c, norm, x, axes, keepdims, noop_with_empty_axes)


@lower("ReduceLogSum")
def reduce_log_sum(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    def log_sum(v: tf.Tensor, over: Any, keep: bool) -> tf.Tensor:
        return tf.math.log(tf.reduce_sum(v, over, keep))

    return _reduced_as_float(c, log_sum, x, axes, keepdims, noop_with_empty_axes)


@lower("ReduceLogSumExp")
def reduce_log_sum_exp(c, x, axes: Host = None, *, keepdims, noop_with_empty_axes):
    return _reduced_as_float(c, tf.reduce_logsumexp, x, axes, keepdims, noop_with_empty_axes)


@lower("CumSum")
def cum_sum(x, axis: Host, *, exclusive, reverse):
    return _running(tf.cumsum, x, axis, exclusive, reverse)


@lower("CumProd")
def cum_prod(x, axis: Host, *, exclusive, reverse):
    return _running(tf.math.cumprod, x, axis, exclusive, reverse)


def _reduced(c: Context, function: Reduction, x: tf.Tensor, axes: Any, keepdims: int, noop: int) -> tf.Tensor:
    """Reduce in a type that does not lose digits on the way; over all axes where none are given."""
    over = _over(x, axes, noop)

    def reduce(v: tf.Tensor) -> tf.Tensor:
        return function(v, over, bool(keepdims))

    if x.dtype in HALVES:
        return shaped(in_wider(reduce, x, supported=FLOATS), c.output_shape())
    return shaped(reduce(x), c.output_shape())


def _reduced_as_float(
    c: Context, function: Reduction, x: tf.Tensor, axes: Any, keepdims: int, noop: int
) -> tf.Tensor:
    """Integers through float64, and truncated."""
    if x.dtype.is_integer:
        return convert(_reduced(c, function, tf.cast(x, tf.float64), axes, keepdims, noop), x.dtype)
    return _reduced(c, function, x, axes, keepdims, noop)


def _over(x: tf.Tensor, axes: Any, noop: int) -> Any:
    """The axes to reduce; None means all."""
    if axes is None or (isinstance(axes, np.ndarray) and axes.size == 0):
        return [] if noop else None
    if isinstance(axes, np.ndarray):
        return axes.reshape(-1).tolist()
    if noop or (axes.shape.rank == 1 and axes.shape[0]):
        return axes
    # may turn out to be empty, which means every axis
    everything = tf.range(tf.where(tf.size(axes) == 0, tf.rank(x), 0))
    return tf.concat([axes, tf.cast(everything, axes.dtype)], 0)


def _mean(x: tf.Tensor, over: Any, keep: bool) -> tf.Tensor:
    if x.dtype.is_integer and x.dtype != tf.uint64:  # the kernel would add up in the type itself
        total = tf.reduce_sum(tf.cast(x, tf.int64), over, keep)
        count = tf.reduce_sum(tf.ones_like(x, tf.int64), over, keep)
        return tf.cast(tf.raw_ops.Div(x=total, y=count), x.dtype)
    return tf.reduce_mean(x, over, keep)


def _sum_square(x: tf.Tensor, over: Any, keep: bool) -> tf.Tensor:
    return tf.reduce_sum(x * x, over, keep)


def _running(function: Callable[..., Any], x: tf.Tensor, axis: Any, exclusive: int, reverse: int) -> tf.Tensor:
    along = scalar(axis)

    def run(v: tf.Tensor) -> tf.Tensor:
        return function(v, along, exclusive=bool(exclusive), reverse=bool(reverse))

    return in_wider(run, x, supported=FLOATS) if x.dtype in HALVES else run(x)
