"""Arithmetic of two or more broadcast tensors, of every numeric type; integers wrap around."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf

from isthmus.lower.contract import Lowerings
from isthmus.writers.tensorflow.ops._common import FLOATS, HALVES, INTS, UNSIGNED, dim, dims, in_wider

table = Lowerings()
lower, alias = table.lower, table.alias

_EXACT_IN_FLOAT32 = 1 << 24

alias(Sub=tf.subtract, Mul=tf.multiply)


@lower("Add")
def add(a, b):
    # TensorFlow fuses a product and the row added to it, whatever the row's rank. The fused kernel then fails on
    # rank 2, and from rank 3 on its result has the wrong shape: so a row is always given to it as a vector.
    if _is_row(b) and a.shape.rank:
        return _plus_row(a, b)
    return _plus_row(b, a) if _is_row(a) and b.shape.rank else tf.add(a, b)


@lower("Div")
def div(a, b):
    return tf.raw_ops.Div(x=a, y=b)  # of integers: towards zero


@lower("Sum")
def sum_of(*xs):
    return functools.reduce(add, xs)


@lower("Mean")
def mean_of(*xs):
    def mean(*wide):
        return functools.reduce(add, wide) / len(wide)

    return in_wider(mean, *xs, supported=FLOATS)


@lower("Max")
def max_of(*xs):
    return functools.reduce(tf.maximum, xs)


@lower("Min")
def min_of(*xs):
    return functools.reduce(tf.minimum, xs)


@lower("Mod")
def mod(a, b, *, fmod):
    if not fmod or a.dtype in UNSIGNED:
        return tf.math.floormod(a, b)  # the sign of the divisor
    if a.dtype.is_integer:
        return in_wider(tf.truncatemod, a, b, supported=INTS)  # the sign of the dividend
    # of floats TruncateMod has no gradient; FloorMod is the same and has one where no sign is negative
    remainder = tf.math.floormod(tf.abs(a), tf.abs(b))
    return tf.where(a < 0, -remainder, remainder)


@lower("Pow")
def power(x, y):
    known = tf.get_static_value(y)
    if known is not None and known.size == 1 and known.ndim <= (x.shape.rank or 0) and known.item() in (1, 2):
        return x if known.item() == 1 else x * x
    if x.dtype.is_integer:
        return _integer_power(x, y, known)
    if x.dtype in HALVES:
        return tf.cast(_float_power(tf.cast(x, tf.float32), y, known), x.dtype)
    return _float_power(x, y, known)


@lower("BitShift")
def bit_shift(x, y, *, direction):
    zero, width = tf.zeros([], x.dtype), tf.constant(x.dtype.size * 8, x.dtype)
    # TensorFlow clamps the distance to width - 1; what is shifted by more is gone, but for the sign
    within = (y >= zero) & (y < width)
    if direction == "LEFT":
        return tf.where(within, tf.bitwise.left_shift(x, y), zero)
    gone = zero if x.dtype in UNSIGNED else tf.bitwise.right_shift(x, width - 1)
    return tf.where(within, tf.bitwise.right_shift(x, y), gone)


def _is_row(x: tf.Tensor) -> bool:
    """Whether the shape is known to be n, or 1, …, 1, n."""
    return bool(x.shape.rank) and all(d == 1 for d in x.shape[:-1])


def _plus_row(x: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
    vector = row if row.shape.rank == 1 else tf.reshape(row, [dim(row, -1)])
    matrix = _reshaped_product(x)
    if matrix is not None and matrix.shape[-1] is not None and matrix.shape[-1] == vector.shape[0]:
        y = tf.reshape(matrix + vector, dims(x))  # so that TensorFlow fuses the two
    else:
        y = x + vector
    missing = row.shape.rank - x.shape.rank
    return tf.reshape(y, [1] * missing + dims(y)) if missing > 0 else y


def _reshaped_product(x: tf.Tensor) -> tf.Tensor | None:
    """The matrix product that ``x`` is another shape of, where it is one."""
    if tf.executing_eagerly() or x.op.type != "Reshape":
        return None
    below = x.op.inputs[0]
    return below if below.op.type == "MatMul" and below.shape[-1] == x.shape[-1] else None


def _float_power(x: tf.Tensor, y: tf.Tensor, known: np.ndarray | None) -> tf.Tensor:
    small = known is not None and bool(np.all(np.abs(known.astype(np.float64)) < _EXACT_IN_FLOAT32))
    if x.dtype == tf.float32 and not small and (y.dtype.size > 4 or y.dtype in (tf.int32, tf.uint32)):
        # such an exponent has more digits than float32: its parity would be lost
        return tf.cast(tf.pow(tf.cast(x, tf.float64), tf.cast(y, tf.float64)), tf.float32)
    return tf.pow(x, tf.cast(y, x.dtype))


def _integer_power(x: tf.Tensor, y: tf.Tensor, known: np.ndarray | None) -> tf.Tensor:
    if y.dtype.is_floating:
        return tf.cast(tf.pow(tf.cast(x, tf.float64), tf.cast(y, tf.float64)), x.dtype)
    wide, exponent = tf.cast(x, tf.int64), tf.cast(y, tf.int64)
    if y.dtype in UNSIGNED or (known is not None and bool(np.all(known >= 0))):
        return tf.cast(tf.pow(wide, exponent), x.dtype)
    # TensorFlow raises on negative exponents: 1/x is 0 but for x = ±1
    unit = tf.where(exponent % 2 == 0, tf.ones([], tf.int64), wide)
    inverse = tf.where(tf.abs(wide) == 1, unit, tf.zeros([], tf.int64))
    return tf.cast(tf.where(exponent < 0, inverse, tf.pow(wide, tf.maximum(exponent, 0))), x.dtype)
