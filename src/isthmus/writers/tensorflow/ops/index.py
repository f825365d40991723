"""Taking elements out of a tensor: by index, by slice, by mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from isthmus.lower.contract import Host, Lowerings
from isthmus.writers.tensorflow.ops._dims import (
    dim,
    dims,
    from_front,
    is_known,
    nonnegative,
    output_rank,
    partial,
    product,
    shape_of,
    with_rank,
)

table = Lowerings()
lower, alias = table.lower, table.alias

_LAST = np.iinfo(np.int64).max


@lower("Gather")
def gather(c, x, indices: Host, *, axis):
    axis = from_front(axis, c.rank())
    if c.rank() == 1 and is_known(indices) and x.dtype in (tf.int64, tf.int32) and indices.ndim == 0:
        return _element(x, int(indices))
    return tf.gather(x, nonnegative(indices, dim(with_rank(x, c.rank()), axis)), axis=axis)


def _element(x: tf.Tensor, index: int) -> tf.Tensor:
    """An element of a small integer vector. A shape's dimension stays known to TensorFlow this way."""
    if not tf.executing_eagerly() and x.op.type in ("Shape", "Pack", "ConcatV2", "StridedSlice"):
        known = partial(x)
        if known is not None and known[index] is not None:
            return tf.constant(known[index], x.dtype)
    return x[index]


@lower("GatherElements")
def gather_elements(c, x, indices: Host, *, axis):
    rank = c.rank()
    axis = from_front(axis, rank)
    at = nonnegative(indices, dim(with_rank(x, rank), axis))
    same = x.shape[:axis].is_fully_defined() and x.shape[:axis] == at.shape[:axis]
    if axis == rank - 1 and same:
        return tf.gather(x, at, axis=axis, batch_dims=axis)
    return tf.gather(tf.reshape(x, [-1]), flat_places(at, dims(x), axis))


def flat_places(at: tf.Tensor, sizes: list[Any], axis: int) -> tf.Tensor:
    """For each element of ``at``, which indexes ``axis``, its place in a flattened tensor of ``sizes``; int64."""
    place = tf.zeros([], tf.int64)
    for i, length in enumerate(dims(at)):
        own = tf.cast(at, tf.int64) if i == axis else tf.range(tf.cast(length, tf.int64))
        if i != axis:
            own = tf.reshape(own, [-1 if j == i else 1 for j in range(len(sizes))])
        place = place + own * tf.cast(product(sizes[i + 1 :]), tf.int64)
    return place


@lower("GatherND")
def gather_nd(c, x, indices: Host, *, batch_dims):
    depth = dim(tf.convert_to_tensor(indices), -1)
    sizes = shape_of(dims(with_rank(x, c.rank())))[batch_dims:]
    return with_rank(tf.gather_nd(x, nonnegative(indices, sizes[:depth]), batch_dims=batch_dims), output_rank(c))


@lower("Slice")
def slice_(c, x, starts: Host, ends: Host, axes: Host = None, steps: Host = None):
    """Bounds beyond the axis are clamped, as strided_slice does."""
    rank = c.rank()
    if axes is None and starts.shape[0] is None:
        axes = tf.range(tf.size(starts, tf.int64))
    if axes is not None and not is_known(axes):
        return with_rank(_sliced_anywhere(x, rank, starts, ends, axes, steps), rank)
    order = range(starts.shape[0]) if axes is None else [from_front(int(a), rank) for a in axes]
    begin: list[Any] = [0] * rank
    end: list[Any] = [0] * rank
    stride: list[Any] = [1] * rank
    begin_mask = end_mask = 2**rank - 1
    for i, axis in enumerate(order):
        begin[axis], end[axis] = _bound(starts, i), _bound(ends, i)
        stride[axis] = 1 if steps is None else _bound(steps, i)
        begin[axis] = _begin(begin[axis], stride[axis], x, axis)
        begin_mask, end_mask = begin_mask & ~(1 << axis), end_mask & ~(1 << axis)
        if isinstance(end[axis], int) and isinstance(stride[axis], int):
            beyond = end[axis] >= 2**31 - 1 if stride[axis] > 0 else end[axis] <= -(2**31)
            end_mask |= beyond << axis
    return tf.strided_slice(
        x, shape_of(begin), shape_of(end), shape_of(stride), begin_mask=begin_mask, end_mask=end_mask
    )


def _bound(values: Any, i: int) -> Any:
    return int(values[i]) if is_known(values) else values[i]


def _begin(start: Any, step: Any, x: tf.Tensor, axis: int) -> Any:
    """Where a slice begins. Going backwards ONNX clamps a start before the axis to 0, and TensorFlow to nothing."""
    if (isinstance(step, int) and step > 0) or (isinstance(start, int) and start >= -1):
        return start
    length = dim(x, axis)
    if all(isinstance(v, int) for v in (start, step, length)):
        return max(start, -length)
    start, step, length = (tf.cast(v, tf.int64) for v in (start, step, length))
    return tf.where(step < 0, tf.maximum(start, -length), start)


def _sliced_anywhere(x: tf.Tensor, rank: int, starts: Any, ends: Any, axes: Any, steps: Any) -> tf.Tensor:
    """A slice whose axes are met at run time."""
    at = (tf.cast(axes, tf.int64) % rank)[:, None]

    def spread(values: Any, default: int) -> tf.Tensor:
        full = tf.fill([rank], tf.constant(default, tf.int64))
        return tf.tensor_scatter_nd_update(full, at, tf.cast(values, tf.int64))

    stride = tf.ones([rank], tf.int64) if steps is None else spread(steps, 1)
    begin = spread(starts, 0)
    begin = tf.where(stride < 0, tf.maximum(begin, -tf.shape(x, out_type=tf.int64)), begin)
    return tf.strided_slice(x, begin, spread(ends, _LAST), stride)


alias(Where=tf.where)


@lower("Compress")
def compress(c, x, condition, *, axis):
    """The condition may be shorter than the axis."""
    kept = tf.where(condition)[:, 0]
    if axis is None:
        return tf.gather(tf.reshape(x, [-1]), kept)
    return tf.gather(x, kept, axis=from_front(axis, c.rank()))


@lower("NonZero")
def non_zero(c, x):
    """One row an axis; a scalar counts as a vector of one, as in ONNX Runtime."""
    x = tf.reshape(x, [1]) if c.rank() == 0 else x
    return tf.transpose(tf.where(x if x.dtype == tf.bool else tf.not_equal(x, tf.zeros([], x.dtype))))


@lower("OneHot")
def one_hot(c, indices, depth: Host, values, *, axis):
    """Indices outside of [-depth, depth-1] give no hot element."""
    depth = int(depth.reshape(())) if is_known(depth) else tf.cast(tf.reshape(depth, []), tf.int32)
    at = nonnegative(tf.cast(indices, tf.int64), depth)
    return tf.one_hot(
        at,
        depth,
        on_value=values[1],
        off_value=values[0],
        axis=axis if axis == -1 else from_front(axis, c.rank() + 1),
    )


@lower("Trilu")
def trilu(c, x, k: Host = None, *, upper):
    x = with_rank(x, c.rank())
    rows, columns = (tf.cast(dim(x, axis), tf.int64) for axis in (-2, -1))
    shift = 0 if k is None else int(k.reshape(())) if is_known(k) else tf.reshape(k, [])
    right = tf.range(columns)[None, :] - tf.range(rows)[:, None]
    return tf.where(right >= shift if upper else right <= shift, x, tf.zeros([], x.dtype))


@lower("ReverseSequence")
def reverse_sequence(x, lengths, *, batch_axis, time_axis):
    return tf.reverse_sequence(x, lengths, seq_axis=time_axis, batch_axis=batch_axis)
