"""Writing elements into a copy of a tensor, with every reduction."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from isthmus.lower.contract import Host, Lowerings
from isthmus.writers.tensorflow.ops._dims import (
    dim,
    dims,
    from_front,
    moved,
    nonnegative,
    product,
    shape_of,
    with_rank,
)
from isthmus.writers.tensorflow.ops.index import flat_places

table = Lowerings()
lower, alias = table.lower, table.alias


@lower("ScatterElements")
def scatter_elements(c, x, indices: Host, updates, *, reduction, axis):
    rank = c.rank()
    axis = from_front(axis, rank)
    x = with_rank(x, rank)
    at = nonnegative(indices, dim(x, axis))
    places = tf.reshape(flat_places(at, dims(x), axis), [-1, 1])
    flat = _reduced(c, tf.reshape(x, [-1]), places, tf.reshape(updates, [-1]), reduction)
    return tf.reshape(flat, shape_of(dims(x)))


@lower("ScatterND")
def scatter_nd(c, x, indices: Host, updates, *, reduction):
    depth = c.rank(1) - 1 + c.rank() - c.rank(2)  # how many axes an index spans
    sizes = dims(with_rank(x, c.rank()))
    at = nonnegative(indices, shape_of(sizes[:depth]))
    if reduction == "mul":  # the product needs one number a slice
        strides = shape_of([product(sizes[i + 1 : depth]) for i in range(depth)])
        places = tf.reshape(tf.reduce_sum(tf.cast(at, tf.int64) * strides, axis=-1), [-1, 1])
        rows = tf.reshape(x, shape_of([product(sizes[:depth]), *sizes[depth:]]))
        given = tf.reshape(updates, shape_of([-1, *sizes[depth:]]))
        return tf.reshape(_reduced(c, rows, places, given, reduction), shape_of(sizes))
    return _reduced(c, x, at, updates, reduction)


def _reduced(c: Any, x: tf.Tensor, at: tf.Tensor, updates: tf.Tensor, reduction: str) -> tf.Tensor:
    """``updates`` written over ``x`` or joined with it; of equal places the last one is written."""
    if reduction == "none":
        return tf.tensor_scatter_nd_update(x, at, updates)
    if x.dtype == tf.string:
        c.refuse(f"TensorFlow has no {reduction!r} of strings")
    if x.dtype == tf.bool:  # or, and
        kind = "max" if reduction in ("add", "max") else "min"
        return tf.cast(_reduced(c, tf.cast(x, tf.int8), at, tf.cast(updates, tf.int8), kind), tf.bool)
    if reduction == "add":
        return tf.tensor_scatter_nd_add(x, at, updates)
    if reduction == "mul":
        return x * tf.math.unsorted_segment_prod(updates, at[:, 0], tf.shape(x)[0])
    if x.dtype.is_complex:
        c.refuse("TensorFlow does not order complex numbers")
    joined = tf.tensor_scatter_nd_max if reduction == "max" else tf.tensor_scatter_nd_min
    return joined(x, at, updates)


@lower("TensorScatter")
def tensor_scatter(c, past, update, write_indices: Host = None, *, mode, axis):
    """Position p of the cache takes update[p - w], where w is the batch row's write index."""
    rank = c.rank()
    axis = from_front(axis, rank)
    length, written = dim(past, axis), dim(update, axis)
    first = np.zeros([1], np.int64) if write_indices is None else write_indices
    behind = tf.range(tf.cast(length, tf.int64))[None, :] - tf.cast(first, tf.int64)[:, None]
    if mode == "circular":
        behind = behind % tf.cast(length, tf.int64)
    inside = (behind >= 0) & (behind < tf.cast(written, tf.int64))
    batch = dim(past, 0)
    source = tf.clip_by_value(behind, 0, tf.maximum(tf.cast(written, tf.int64) - 1, 0))
    source = tf.broadcast_to(source, shape_of([batch, length]))
    mask = tf.reshape(inside, [-1, *(length if i == axis else 1 for i in range(1, rank))])

    def write(old: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
        return tf.where(mask, tf.gather(new, source, axis=axis, batch_dims=1), old)

    return moved(write, past, update)
