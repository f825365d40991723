"""Normalizations: over batch, instance, group, layer, neighbouring channels, or by a norm."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir
import tensorflow as tf

from isthmus.hub.model import CHANNELS_LAST
from isthmus.lower.contract import Lowerings, Weight
from isthmus.writers.tensorflow.backend import dtype_of
from isthmus.writers.tensorflow.ops._common import HALVES, convert, dims, positive
from isthmus.writers.tensorflow.ops._windows import product, shaped

table = Lowerings()
lower, alias = table.lower, table.alias


def _wide(*dtypes: tf.DType) -> tf.DType:
    """The type that moments are computed in: float64 for float64, else float32."""
    return tf.float64 if tf.float64 in dtypes else tf.float32


@lower("BatchNormalization")
@lower("BatchNormalization", domain=CHANNELS_LAST)
def batch_normalization(
    c, x, scale: Weight, bias: Weight, mean: Weight, var: Weight, *, epsilon, momentum, training_mode
):
    """Channels are the last axis; an operand of rank 2 or less has them there in the default domain, too."""
    if x.shape.rank == 1:  # a batch of one channel
        outputs = batch_normalization(
            c, x[:, None], scale, bias, mean, var, epsilon=epsilon, momentum=momentum, training_mode=training_mode
        )
        return (outputs[0][:, 0], *outputs[1:])
    dtype = _wide(x.dtype, mean.dtype)
    wide = tf.cast(x, dtype)
    scale, bias = tf.cast(scale, dtype), tf.cast(bias, dtype)
    if training_mode:
        batch_mean, batch_var = tf.nn.moments(wide, list(range(x.shape.rank - 1)))
        y = tf.nn.batch_normalization(wide, batch_mean, batch_var, bias, scale, epsilon)
        running = (
            tf.cast(tf.cast(old, dtype) * momentum + new * (1 - momentum), old.dtype)
            for old, new in ((mean, batch_mean), (var, batch_var))
        )
        return (tf.cast(y, x.dtype), *running)[: c.outputs]
    mean, var = tf.cast(mean, dtype), tf.cast(var, dtype)
    return (tf.cast(_normalized_by_channel(wide, scale, bias, mean, var, epsilon), x.dtype),)


def _normalized_by_channel(x, scale, bias, mean, var, epsilon: float):
    if x.shape.rank == 4 and x.dtype == tf.float32:
        return tf.raw_ops.FusedBatchNormV3(
            x=x, scale=scale, offset=bias, mean=mean, variance=var, epsilon=epsilon, is_training=False
        ).y
    return tf.nn.batch_normalization(x, mean, var, bias, scale, epsilon)


@lower("InstanceNormalization")
@lower("InstanceNormalization", domain=CHANNELS_LAST)
def instance_normalization(x, scale: Weight, bias: Weight, *, epsilon):
    dtype = _wide(x.dtype)
    wide = tf.cast(x, dtype)
    y = _standardized(wide, list(range(1, x.shape.rank - 1)), epsilon)
    return tf.cast(y * tf.cast(scale, dtype) + tf.cast(bias, dtype), x.dtype)


@lower("GroupNormalization")
@lower("GroupNormalization", domain=CHANNELS_LAST)
def group_normalization(x, scale: Weight, bias: Weight, *, epsilon, num_groups, stash_type):
    sizes = dims(x)
    grouped = shaped(x, [sizes[0], product(sizes[1:-1]), num_groups, sizes[-1] // num_groups])
    stash = _stash(x.dtype, stash_type)
    y = _standardized(tf.cast(grouped, stash), [1, 3], epsilon)
    return shaped(tf.cast(y, x.dtype), sizes) * scale + bias


def _standardized(x: tf.Tensor, axes: Sequence[int], epsilon: float) -> tf.Tensor:
    mean, var = tf.nn.moments(x, axes, keepdims=True)
    return (x - mean) * tf.math.rsqrt(var + epsilon)


def _stash(dtype: tf.DType, stash_type: int) -> tf.DType:
    """The type of the first stage: ``stash_type``, unless the operand is wider."""
    stash = dtype_of(ir.DataType(stash_type))
    return stash if dtype.size <= stash.size else dtype


@lower("LayerNormalization")
def layer_normalization(c, x, scale: Weight, bias: Weight = None, *, axis, epsilon, stash_type):
    axes = list(range(positive(axis, c.rank()), c.rank()))
    wide = tf.cast(x, _stash(x.dtype, stash_type))
    mean = tf.reduce_mean(wide, axes, keepdims=True)
    centred = wide - mean
    inverse = tf.math.rsqrt(tf.reduce_mean(tf.square(centred), axes, keepdims=True) + epsilon)
    y = tf.cast(centred * inverse, x.dtype) * scale
    y = y if bias is None else y + bias
    further = [
        convert(value, dtype_of(ir.DataType(stash_type))) if c.wants(i) else None
        for i, value in ((1, mean), (2, inverse))
    ]
    return (y, *further)[: c.outputs]


@lower("RMSNormalization")
def rms_normalization(c, x, scale: Weight, *, axis, epsilon, stash_type):
    axes = list(range(positive(axis, c.rank()), c.rank()))
    wide = tf.cast(x, _stash(x.dtype, stash_type))
    inverse = tf.math.rsqrt(tf.reduce_mean(tf.square(wide), axes, keepdims=True) + epsilon)
    return tf.cast(tf.cast(wide * inverse, x.dtype) * tf.cast(scale, x.dtype), scale.dtype)


@lower("LRN")
@lower("LRN", domain=CHANNELS_LAST)
def lrn(x, *, alpha, beta, bias, size):
    sizes = dims(x)
    if size % 2 and x.dtype in (tf.float32, *HALVES):
        image = shaped(tf.cast(x, tf.float32), [sizes[0], product(sizes[1:-1]), 1, sizes[-1]])
        y = tf.raw_ops.LRN(input=image, depth_radius=size // 2, bias=bias, alpha=alpha / size, beta=beta)
        return tf.cast(shaped(y, sizes), x.dtype)
    wide = tf.cast(x, _wide(x.dtype))
    around = [(0, 0)] * (x.shape.rank - 1)
    squares = tf.pad(tf.square(wide), [*around, ((size - 1) // 2, size // 2)])
    total = tf.add_n([squares[..., i : i + sizes[-1]] for i in range(size)])
    return tf.cast(wide / (bias + alpha / size * total) ** beta, x.dtype)


@lower("MeanVarianceNormalization")
def mean_variance_normalization(x, *, axes):
    wide = tf.cast(x, _wide(x.dtype))
    mean, var = tf.nn.moments(wide, list(axes), keepdims=True)
    return tf.cast((wide - mean) / (tf.sqrt(var) + 1e-9), x.dtype)


@lower("LpNormalization")
def lp_normalization(x, *, axis, p):
    wide = tf.cast(x, _wide(x.dtype))
    size = tf.abs(wide) if p == 1 else tf.square(wide)
    total = tf.reduce_sum(size, axis, keepdims=True)
    norm = total if p == 1 else tf.sqrt(total)
    return tf.cast(tf.math.divide_no_nan(wide, norm), x.dtype)
