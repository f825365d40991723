"""Casts between element types: saturation of the narrow floats, wrap-around of integers, numbers in text."""

from __future__ import annotations

import onnx_ir as ir
import tensorflow as tf

from isthmus.lower.contract import Host, Lowerings
from isthmus.lower.walk import Context
from isthmus.writers.tensorflow.backend import dtype_of
from isthmus.writers.tensorflow.narrow import bits_of, from_bits, is_narrow
from isthmus.writers.tensorflow.ops._common import convert

table = Lowerings()
lower, alias = table.lower, table.alias


@lower("Cast", ignore=("round_mode",))  # round_mode counts for float8e8m0 only
def cast(c, x, *, to, saturate):
    return _cast(x, target_type(c, to), saturate)


@lower("CastLike", ignore=("round_mode",))
def cast_like(c, x, like: Host, *, saturate):
    return _cast(x, target_type(c, c.dtype(1)), saturate)


@lower("BitCast")
def bit_cast(c, x, *, to):
    dtype = target_type(c, to)
    if x.dtype == dtype:
        return x
    if not {x.dtype, dtype} & {tf.bool} and not is_narrow(x.dtype) and not is_narrow(dtype):
        return tf.bitcast(x, dtype)
    bits = _bits(x)
    if is_narrow(dtype):
        return from_bits(bits, dtype)
    return tf.cast(bits, tf.bool) if dtype == tf.bool else tf.bitcast(bits, dtype)


def target_type(c: Context, to: int) -> tf.DType:
    """The TensorFlow type of an attribute that names an ONNX one. Refuses what TensorFlow has no type for."""
    try:
        return dtype_of(ir.DataType(to))
    except TypeError:
        return c.refuse(f"TensorFlow has no type {ir.DataType(to).name.lower()}")


def _cast(x: tf.Tensor, dtype: tf.DType, saturate: int) -> tf.Tensor:
    if tf.string == x.dtype:
        return x if dtype == tf.string else _parsed(x, dtype)
    if dtype == tf.string:
        return _printed(x)
    return convert(x, dtype, saturate=bool(saturate))


def _bits(x: tf.Tensor) -> tf.Tensor:
    if is_narrow(x.dtype):
        return bits_of(x)
    return tf.cast(x, tf.uint8) if x.dtype == tf.bool else tf.bitcast(x, tf.uint8)


def _parsed(text: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    if dtype == tf.float64 or dtype == tf.float32:
        return tf.strings.to_number(text, dtype)
    if dtype.is_floating:
        return convert(tf.strings.to_number(text, tf.float32), dtype)
    whole = tf.strings.regex_replace(text, r"\.[0-9]*$", "")
    return convert(tf.strings.to_number(whole, tf.uint64 if dtype == tf.uint64 else tf.int64), dtype)


def _printed(x: tf.Tensor) -> tf.Tensor:
    if is_narrow(x.dtype):
        x = convert(x, tf.float32 if x.dtype.is_floating else tf.int32)
    if x.dtype == tf.bool or x.dtype.is_integer:
        return tf.strings.as_string(tf.cast(x, tf.int32) if x.dtype == tf.bool else x)
    x = x if x.dtype == tf.float64 else tf.cast(x, tf.float32)
    text = tf.strings.as_string(x, precision=8, shortest=True)  # as ONNX Runtime prints: %.8g
    text = tf.where(tf.math.is_nan(x), "NaN", text)
    return tf.where(tf.math.is_inf(x), tf.where(x > 0, "INF", "-INF"), text)
