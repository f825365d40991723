"""Random numbers by TensorFlow's own generators, and dropout.

No two frameworks draw the same numbers: the distribution is what is kept. A seed makes a target repeat itself.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import tensorflow as tf

from isthmus.lower.contract import Host, Lowerings
from isthmus.lower.walk import Context
from isthmus.writers.tensorflow.narrow import is_narrow
from isthmus.writers.tensorflow.ops._common import FLOATS, convert, in_wider
from isthmus.writers.tensorflow.ops.cast import target_type

table = Lowerings()
lower, alias = table.lower, table.alias

_DRAWN = (tf.float16, tf.bfloat16, tf.float32, tf.float64)


@lower("RandomNormal")
def random_normal(c, *, shape, dtype, mean, scale, seed):
    return tf.random.normal(shape, mean, scale, target_type(c, dtype), _whole(seed))


@lower("RandomNormalLike")
def random_normal_like(c, x, *, dtype, mean, scale, seed):
    return tf.random.normal(tf.shape(x), mean, scale, _like(c, x, dtype), _whole(seed))


@lower("RandomUniform")
def random_uniform(c, *, shape, dtype, low, high, seed):
    return tf.random.uniform(shape, low, high, target_type(c, dtype), _whole(seed))


@lower("RandomUniformLike")
def random_uniform_like(c, x, *, dtype, low, high, seed):
    return tf.random.uniform(tf.shape(x), low, high, _like(c, x, dtype), _whole(seed))


@lower("Bernoulli")
def bernoulli(c, probability, *, dtype, seed):
    drawn = tf.random.uniform(tf.shape(probability), 0, 1, probability.dtype, _whole(seed)) < probability
    return convert(drawn, target_type(c, dtype) if dtype else probability.dtype)


@lower("Multinomial")
def multinomial(c, logits, *, dtype, sample_size, seed):
    wide = logits if logits.dtype in FLOATS else tf.cast(logits, tf.float32)
    return tf.random.categorical(wide, sample_size, target_type(c, dtype), _whole(seed))


@lower("Dropout")
def dropout(c, x, ratio=None, training: Host = None, *, seed):
    everything = tf.ones_like(x, tf.bool) if not is_narrow(x.dtype) else tf.fill(tf.shape(x), True)
    if training is None or (isinstance(training, np.ndarray) and not training.item()):
        return (x, everything) if c.outputs > 1 else x
    rate = tf.constant(0.5) if ratio is None else tf.reshape(convert(ratio, tf.float32), [])
    kept = tf.random.uniform(tf.shape(x), 0, 1, tf.float32, _whole(seed)) >= rate
    if not isinstance(training, np.ndarray):
        on = tf.reshape(training, [])
        kept = kept | ~on
        rate = tf.where(on, rate, 0.0)

    def scaled(v: tf.Tensor) -> tf.Tensor:
        # divided by what is left, and by nothing where nothing is left
        return tf.where(kept, tf.math.divide_no_nan(v, tf.cast(1 - rate, v.dtype)), tf.zeros([], v.dtype))

    y = in_wider(scaled, x, supported=FLOATS)
    return (y, kept) if c.outputs > 1 else y


def _like(c: Context, x: tf.Tensor, dtype: int | None) -> tf.DType:
    wanted = target_type(c, dtype) if dtype else x.dtype
    return wanted if wanted in _DRAWN else c.refuse(f"no random number has the type {ir.DataType(dtype or 0).name}")


def _whole(seed: float | None) -> int | None:
    """The bits of a float seed, as TensorFlow wants an integer."""
    return None if seed is None else int(np.float32(seed).view(np.int32))
