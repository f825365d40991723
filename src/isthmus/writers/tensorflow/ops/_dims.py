"""Dimensions that may be known or not, always int64; moving elements of any type; indices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from isthmus.lower.walk import Context
from isthmus.writers.tensorflow.narrow import bits_of, from_bits, is_narrow


def is_known(value: Any) -> bool:
    """Whether a ``Host`` operand is a value rather than a tensor that is computed at run time."""
    return value is not None and not tf.is_tensor(value)


def from_front(axis: int, rank: int) -> int:
    """``axis`` counted from the front."""
    return axis + rank if axis < 0 else axis


def dims(x: tf.Tensor) -> list[Any]:
    """The dimensions of ``x``: an int where it is known, else a scalar int64 tensor. The rank must be known."""
    static = x.shape.as_list()
    if all(d is not None for d in static):
        return static
    dynamic = tf.shape(x, out_type=tf.int64)
    return [dynamic[i] if d is None else d for i, d in enumerate(static)]


def dim(x: tf.Tensor, axis: int) -> Any:
    """One dimension of ``x``: an int where it is known, else a scalar int64 tensor. The rank may be unknown."""
    known = None if x.shape.rank is None else x.shape[axis]
    return tf.shape(x, out_type=tf.int64)[axis] if known is None else known


def shape_of(values: Sequence[Any]) -> Any:
    """Dimensions as one operand: an int64 ndarray where all are known, else an int64 tensor with constant parts."""
    if all(isinstance(v, (int, np.integer)) for v in values):
        return np.array(values, np.int64)
    return tf.stack([tf.cast(v, tf.int64) for v in values])


def product(values: Sequence[Any]) -> Any:
    """The product of dimensions, of which each may be an int or a tensor."""
    total: Any = 1
    for value in values:
        total = value if isinstance(total, int) and total == 1 else total * value
    return total


def partial(shape: tf.Tensor) -> list[int | None] | None:
    """What TensorFlow knows of a 1-D integer tensor's elements, or None where not even its length is known.

    A tensor of that shape says it: TensorFlow's shape inference follows Shape, Pack, Concat, StridedSlice and Cast.
    """
    if tf.executing_eagerly():
        return [int(v) for v in shape.numpy()]
    known = tf.broadcast_to(False, shape).shape
    return None if known.rank is None else known.as_list()


def with_rank(x: tf.Tensor, rank: int | None) -> tf.Tensor:
    """``x``, of which TensorFlow has been told the rank where it had lost it."""
    if rank is not None and x.shape.rank is None:
        x.set_shape([None] * rank)
    return x


def output_rank(c: Context, index: int = 0) -> int | None:
    """The rank that the hub knows of an output."""
    shape = c.output_shape(index)
    return None if shape is None else len(shape)


def moved(move: Callable[..., Any], *tensors: tf.Tensor) -> Any:
    """``move(*tensors)``, a function that only carries elements about; narrow types are carried as their bits."""
    dtype = tensors[0].dtype
    if not is_narrow(dtype):
        return move(*tensors)
    result = move(*map(bits_of, tensors))
    return [from_bits(r, dtype) for r in result] if isinstance(result, list) else from_bits(result, dtype)


def nonnegative(indices: Any, size: Any) -> tf.Tensor:
    """Indices counted from the front, as a tensor; ``size`` is the axis' length or one length an index."""
    if is_known(indices) and (np.size(indices) == 0 or np.min(indices) >= 0):
        return tf.constant(indices)
    indices = tf.convert_to_tensor(indices)
    return tf.where(indices < 0, indices + tf.cast(size, indices.dtype), indices)
