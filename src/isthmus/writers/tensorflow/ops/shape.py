"""The shape of a tensor: asking for it, changing it, joining and splitting."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from isthmus.hub.model import is_detached
from isthmus.lower.contract import Host, Lowerings
from isthmus.writers.tensorflow.ops._dims import (
    dim,
    dims,
    from_front,
    is_known,
    moved,
    output_rank,
    partial,
    product,
    shape_of,
    with_rank,
)

table = Lowerings()
lower, alias = table.lower, table.alias


@lower("Shape")
def shape(x, *, start, end):
    """Bounds are clamped as Python clamps them."""
    known = x.shape[start:end] if x.shape.rank is not None else None
    if known is not None and known.is_fully_defined():
        return tf.constant(known.as_list(), tf.int64, shape=[known.rank])
    return tf.shape(x, out_type=tf.int64)[start:end]


@lower("Size")
def size(x):
    return tf.constant(x.shape.num_elements(), tf.int64) if x.shape.is_fully_defined() else tf.size(x, tf.int64)


@lower("Identity")
def identity(c, x):
    return tf.stop_gradient(x) if is_detached(c.node) else x


@lower("Reshape")
def reshape(c, x, shape: Host, *, allowzero):
    """A zero copies the input's dimension unless ``allowzero``; -1 takes what is left."""
    wanted: list[int | None] | None = [int(s) for s in shape] if is_known(shape) else partial(shape)
    if wanted is None:
        target = shape if allowzero else _zeros_copied(shape, tf.shape(x, out_type=tf.int64))
        return with_rank(tf.reshape(x, target), output_rank(c))
    sizes: list[Any] = []
    for i, w in enumerate(wanted):
        if w is None:
            w = shape[i]
            if not allowzero and i < x.shape.rank:
                w = tf.where(w == 0, tf.cast(dim(x, i), w.dtype), w)
        elif w == 0 and not allowzero:
            w = dim(x, i)
        sizes.append(w)
    return tf.reshape(x, shape_of(_settled(x, sizes, wanted)))


def _zeros_copied(shape: tf.Tensor, source: tf.Tensor) -> tf.Tensor:
    """``shape`` with zeros taken from ``source``, both 1-D int64 of lengths that are met at run time only."""
    length = tf.size(shape)
    padded = tf.concat([source, tf.zeros([tf.maximum(length - tf.size(source), 0)], tf.int64)], 0)
    return tf.where(shape == 0, padded[:length], shape)


def _settled(x: tf.Tensor, sizes: list[Any], wanted: list[int | None]) -> list[Any]:
    """``sizes`` with -1 replaced where every free dimension of ``x`` is copied, so that the rest is arithmetic."""
    static = x.shape.as_list()
    free = {i for i, d in enumerate(static) if d is None}
    copied = {i for i, w in enumerate(wanted) if w == 0}
    others = [s for i, s in enumerate(sizes) if i not in free and not (isinstance(s, int) and s == -1)]
    if wanted.count(-1) != 1 or not free <= copied or not all(isinstance(s, int) and s > 0 for s in others):
        return sizes
    left = math.prod(d for d in static if d is not None) // math.prod(others)
    return [left if isinstance(s, int) and s == -1 else s for s in sizes]


@lower("Flatten")
def flatten(c, x, *, axis):
    sizes = dims(with_rank(x, c.rank()))
    axis = from_front(axis, len(sizes))
    rows, columns = product(sizes[:axis]), product(sizes[axis:])
    return tf.reshape(x, shape_of([rows, columns]))


@lower("Squeeze")
def squeeze(c, x, axes: Host = None):
    rank = c.rank()
    sizes = dims(with_rank(x, rank))
    if axes is None:
        if all(isinstance(d, int) for d in sizes):
            return tf.reshape(x, shape_of([d for d in sizes if d != 1]))
        return with_rank(tf.squeeze(x), output_rank(c))
    if is_known(axes):
        gone = {from_front(int(a), rank) for a in axes.ravel()}
        if any(isinstance(sizes[a], int) and sizes[a] != 1 for a in gone):
            c.refuse(f"an axis of {sorted(gone)} does not have length 1")
        return tf.reshape(x, shape_of([d for i, d in enumerate(sizes) if i not in gone]))
    kept = tf.reduce_all(tf.range(rank, dtype=tf.int64) != (tf.reshape(axes, [-1]) % rank)[:, None], axis=0)
    return with_rank(tf.reshape(x, tf.boolean_mask(shape_of(sizes), kept)), output_rank(c))


@lower("Unsqueeze")
def unsqueeze(c, x, axes: Host):
    if is_known(axes) and axes.size == 1:
        return tf.expand_dims(x, int(axes.reshape(())))
    sizes = dims(with_rank(x, c.rank()))
    if is_known(axes):
        rank = len(sizes) + axes.size
        new = {from_front(int(a), rank) for a in axes.ravel()}
        rest = iter(sizes)
        return tf.reshape(x, shape_of([1 if i in new else next(rest) for i in range(rank)]))
    rank = len(sizes) + tf.size(axes, tf.int64)
    old = tf.reduce_all(tf.range(rank, dtype=tf.int64) != (tf.reshape(axes, [-1]) % rank)[:, None], axis=0)
    target = tf.tensor_scatter_nd_update(tf.ones([rank], tf.int64), tf.where(old), shape_of(sizes))
    length = axes.shape.num_elements()
    return with_rank(tf.reshape(x, target), len(sizes) + length if length is not None else output_rank(c))


@lower("Expand")
def expand(c, x, shape: Host):
    """Broadcasting both ways: a 1 in ``shape`` keeps the input's dimension."""
    asked = [int(s) for s in shape] if is_known(shape) else partial(shape)
    if asked is None:
        target = tf.broadcast_dynamic_shape(tf.shape(x, out_type=tf.int64), shape)
        return with_rank(tf.broadcast_to(x, target), output_rank(c))
    given = dims(with_rank(x, c.rank()))
    rank = max(len(given), len(asked))
    wanted = [1] * (rank - len(asked)) + [shape[i] if s is None else s for i, s in enumerate(asked)]
    target = shape_of([_broadcast(d, w) for d, w in zip([1] * (rank - len(given)) + given, wanted, strict=True)])
    return tf.broadcast_to(x, target)


def _broadcast(given: Any, wanted: Any) -> Any:
    """One dimension of two shapes broadcast, each an int or a scalar int64 tensor."""
    if isinstance(given, int) and given == 1:
        return wanted
    if isinstance(wanted, int):
        return given if wanted == 1 else wanted
    return given if isinstance(given, int) else tf.where(given == 1, wanted, given)


@lower("Transpose")
def transpose(c, x, *, perm):
    order = list(reversed(range(c.rank()))) if perm is None else [from_front(p, len(perm)) for p in perm]
    if order == list(range(len(order))):
        return x
    return moved(lambda v: tf.transpose(v, order), x)


@lower("Concat")
def concat(*xs, axis):
    if len(xs) == 1:
        return xs[0]
    return moved(lambda *v: tf.concat(v, axis), *xs)


@lower("Split")
def split(c, x, split: Host = None, *, num_outputs, axis):
    sizes = split if split is not None else even(dim(x, axis), c.outputs)
    if is_known(sizes):
        sizes = [int(s) for s in sizes]
    return moved(lambda v: tf.split(v, sizes, axis, num=c.outputs), x)


def even(length: Any, parts: int) -> Any:
    """The sizes of ``parts`` chunks as equal as ONNX makes them: the last is what is left."""
    if isinstance(length, int):
        chunk = -(-length // parts)
        return np.array([min(chunk, max(length - i * chunk, 0)) for i in range(parts)], np.int64)
    chunk = -(-length // parts)
    return tf.stack([tf.clip_by_value(length - i * chunk, 0, chunk) for i in range(parts)])


@lower("Tile")
def tile(c, x, repeats: Host):
    if x.dtype == tf.uint16:  # no kernel; int16 has one
        return tf.bitcast(tf.tile(tf.bitcast(x, tf.int16), repeats), tf.uint16)
    return moved(lambda v: tf.tile(v, repeats), x)
