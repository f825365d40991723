"""Quantization: per tensor, per axis and in blocks; integer matrix products."""

from __future__ import annotations

import onnx_ir as ir
import tensorflow as tf

from isthmus.lower.contract import Lowerings
from isthmus.writers.tensorflow.narrow import NARROW_INTS
from isthmus.writers.tensorflow.ops._common import HALVES, convert, dim, dims, positive
from isthmus.writers.tensorflow.ops.cast import target_type
from isthmus.writers.tensorflow.ops.linalg import product

table = Lowerings()
lower, alias = table.lower, table.alias


@lower("QuantizeLinear")
def quantize_linear(c, x, scale, zero=None, *, axis, block_size, output_dtype, precision, saturate):
    dtype = zero.dtype if zero is not None else target_type(c, output_dtype or ir.DataType.UINT8)
    computed = target_type(c, precision) if precision else scale.dtype
    spread = _spread(convert(scale, _wide(computed)), x, axis, block_size)
    offset = None if zero is None else _spread(convert(zero, tf.float32), x, axis, block_size)
    ratio = _ratio(x, spread, computed)
    if dtype.is_floating:
        return convert(ratio if offset is None else ratio + offset, dtype, saturate=bool(saturate))
    return _saturated(tf.round(ratio), offset, dtype)


@lower("DequantizeLinear")
def dequantize_linear(c, x, scale, zero=None, *, axis, block_size, output_dtype):
    dtype = target_type(c, output_dtype) if output_dtype else scale.dtype
    spread = _spread(convert(scale, tf.float32), x, axis, block_size)
    if x.dtype == tf.int32 and zero is None:
        return convert(tf.cast(x, tf.float32) * spread, dtype)
    if zero is None:
        return convert(convert(x, tf.float32) * spread, dtype)
    if x.dtype.is_floating:
        difference = convert(x, tf.float32) - _spread(convert(zero, tf.float32), x, axis, block_size)
    else:
        offset = _spread(convert(zero, tf.int32), x, axis, block_size)
        difference = tf.cast(convert(x, tf.int32) - offset, tf.float32)
    return convert(difference * spread, dtype)


@lower("DynamicQuantizeLinear")
def dynamic_quantize_linear(x):
    low = tf.minimum(tf.reduce_min(x), 0.0)
    high = tf.maximum(tf.reduce_max(x), 0.0)
    scale = (high - low) / 255.0
    # all zeros: any scale will do, and 0 / 0 would not
    scale = tf.where(scale == 0, tf.ones_like(scale), scale)
    zero = tf.cast(tf.round(tf.clip_by_value(-low / scale, 0.0, 255.0)), tf.uint8)
    return _saturated(tf.round(x / scale), tf.cast(zero, tf.float32), tf.uint8), scale, zero


@lower("MatMulInteger")
def mat_mul_integer(a, b, a_zero=None, b_zero=None):
    return product(_centered_rows(a, a_zero), _centered(b, b_zero))


@lower("QLinearMatMul")
def q_linear_mat_mul(a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero):
    if a.dtype.is_floating:
        left, right = convert(a, tf.float32), convert(b, tf.float32)
        summed = product(left - convert(a_zero, tf.float32), right - convert(b_zero, tf.float32))
    else:
        summed = tf.cast(product(_centered_rows(a, a_zero), _centered(b, b_zero)), tf.float32)
    left_scale = _as_rows(convert(a_scale, tf.float32), a)
    factor = left_scale * convert(b_scale, tf.float32) / _as_rows(convert(y_scale, tf.float32), a)
    offset = _as_rows(convert(y_zero, tf.float32), a)
    if y_zero.dtype.is_floating:
        return convert(summed * factor + offset, y_zero.dtype)
    return _saturated(tf.round(summed * factor), offset, y_zero.dtype)


def _ratio(x: tf.Tensor, scale: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """x / scale, rounded to the type that the division is done in, as float32."""
    quotient = convert(x, scale.dtype) / scale
    return tf.cast(tf.cast(quotient, dtype), tf.float32) if dtype in HALVES else tf.cast(quotient, tf.float32)


def _wide(dtype: tf.DType) -> tf.DType:
    return tf.float64 if dtype == tf.float64 else tf.float32


def _saturated(rounded: tf.Tensor, offset: tf.Tensor | None, dtype: tf.DType) -> tf.Tensor:
    """round(x / scale) + zero point within the range of an integer type, the sum being exact in float32."""
    low, high = _range(dtype)
    # far beyond any range here, where adding a zero point would round
    held = tf.clip_by_value(rounded, -(2.0**20), 2.0**20)
    held = held if offset is None else held + offset
    return convert(tf.cast(tf.clip_by_value(held, float(low), float(high)), tf.int32), dtype)


def _range(dtype: tf.DType) -> tuple[int, int]:
    if dtype not in NARROW_INTS:
        return dtype.min, dtype.max
    bits = NARROW_INTS[dtype]
    return (0, (1 << bits) - 1) if dtype.name.startswith("u") else (-(1 << bits - 1), (1 << bits - 1) - 1)


def _spread(parameter: tf.Tensor, x: tf.Tensor, axis: int, block_size: int) -> tf.Tensor:
    """A scale or zero point in a shape that broadcasts against x: per tensor, along an axis, or block by block."""
    if parameter.shape.rank == 0:
        return parameter
    axis = positive(axis, x.shape.rank) if x.shape.rank else 0
    if block_size:
        repeated = tf.repeat(parameter, block_size, axis=axis)
        size = dim(x, axis)
        kept = [slice(None)] * axis + [slice(0, size)]  # the last block may be short
        return repeated[tuple(kept)]
    if parameter.shape == [1] and x.shape.rank == 0:
        return tf.reshape(parameter, [])
    if parameter.shape == [1]:
        return tf.reshape(parameter, [1] * x.shape.rank)
    return tf.reshape(parameter, [dims(parameter)[0] if i == axis else 1 for i in range(x.shape.rank)])


def _as_rows(parameter: tf.Tensor, a: tf.Tensor) -> tf.Tensor:
    """A parameter a row of a matrix product, in a shape that broadcasts against the product."""
    if parameter.shape.rank == 1 and parameter.shape[0] != 1 and a.shape.rank != 1:
        return parameter[:, None]
    return parameter if parameter.shape.rank != 1 or parameter.shape[0] != 1 else tf.reshape(parameter, [])


def _centered(x: tf.Tensor, zero: tf.Tensor | None) -> tf.Tensor:
    x = tf.cast(x, tf.int32)
    return x if zero is None else x - tf.cast(zero, tf.int32)


def _centered_rows(a: tf.Tensor, zero: tf.Tensor | None) -> tf.Tensor:
    return _centered(a, None if zero is None else _as_rows(zero, a))
