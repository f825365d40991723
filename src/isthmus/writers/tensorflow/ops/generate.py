"""Tensors made from little: constants, ranges, identity matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import tensorflow as tf

from isthmus.lower.contract import Host, Lowerings
from isthmus.writers.tensorflow.backend import dtype_of
from isthmus.writers.tensorflow.ops._dims import dims, is_known, moved, output_rank, with_rank

table = Lowerings()
lower, alias = table.lower, table.alias


@lower("Constant")
def constant(
    c, *, value, value_float, value_floats, value_int, value_ints, value_string, value_strings, sparse_value
):
    if sparse_value is not None:
        c.refuse("TensorFlow has no sparse constant that its dense operators take")
    forms = (value, value_float, value_floats, value_int, value_ints, value_string, value_strings)
    given = next(form for form in forms if form is not None)
    dtype = dtype_of(c.output_dtype())
    if isinstance(given, np.ndarray):
        return tf.constant(given.astype(object) if dtype == tf.string else given, dtype=dtype)
    return tf.constant(given, dtype=dtype)


@lower("ConstantOfShape")
def constant_of_shape(c, shape: Host, *, value):
    dtype = dtype_of(c.output_dtype())
    if value is None:
        fill = tf.zeros([], dtype)
    else:
        fill = tf.reshape(tf.constant(value.astype(object) if dtype == tf.string else value, dtype=dtype), [])
    return with_rank(moved(lambda f: tf.fill(shape, f), fill), output_rank(c))


@lower("EyeLike")
def eye_like(c, x, *, dtype, k):
    target = x.dtype if dtype is None else dtype_of(ir.DataType(dtype))
    rows, columns = dims(with_rank(x, 2))
    diagonal = tf.range(tf.cast(columns, tf.int64))[None, :] - tf.range(tf.cast(rows, tf.int64))[:, None] == k
    return tf.cast(diagonal, target)


@lower("Range")
def arange(c, start: Host, limit: Host, delta: Host):
    dtype = dtype_of(c.output_dtype())
    operands = [v.reshape(()) if is_known(v) else tf.reshape(v, []) for v in (start, limit, delta)]
    if all(is_known(v) for v in operands):
        return tf.constant(_known_range(*operands), dtype=dtype)
    if dtype.is_integer:
        first, last, step = (tf.cast(v, tf.int64) for v in operands)
        length = tf.maximum(-((first - last) // step), 0)  # the quotient rounded up
        return tf.cast(first + tf.range(length) * step, dtype)
    wide = tf.float64 if dtype == tf.float64 else tf.float32
    first, last, step = (tf.cast(v, wide) for v in operands)
    # ONNX Runtime rounds the span to the operands' type, then counts in double
    span = tf.cast(tf.cast(last - first, dtype), tf.float64)
    length = tf.cast(tf.maximum(tf.math.ceil(span / tf.cast(step, tf.float64)), 0), tf.int64)
    return tf.cast(first + tf.cast(tf.range(length), wide) * step, dtype)


def _known_range(start: Any, limit: Any, delta: Any) -> np.ndarray:
    if np.issubdtype(start.dtype, np.integer):
        return np.arange(int(start), int(limit), int(delta)).astype(start.dtype)
    wide = np.float64 if start.dtype == np.float64 else np.float32
    span = np.float64((limit.astype(wide) - start.astype(wide)).astype(start.dtype))
    length = max(int(np.ceil(span / np.float64(delta))), 0)
    return (start.astype(wide) + np.arange(length).astype(wide) * delta.astype(wide)).astype(start.dtype)
