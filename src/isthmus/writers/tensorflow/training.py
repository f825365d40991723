"""Training mode: the operators that behave otherwise while a model is trained, laid over the usual table."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import tensorflow as tf

from isthmus.hub.model import CHANNELS_LAST
from isthmus.lower.contract import Host, Lowerings, LoweringTable, Weight, merge
from isthmus.lower.walk import Context


def training_table(inference: LoweringTable, *, unbiased: bool) -> LoweringTable:
    """``inference`` with Dropout dropping and BatchNormalization normalizing by the batch's own statistics.

    The running statistics are updated where they are variables. ``unbiased``: the running variance takes the
    variance of the batch divided by n - 1, as PyTorch does, instead of the n of ONNX and Keras.
    """
    table = Lowerings()

    @table.lower("BatchNormalization")
    @table.lower("BatchNormalization", domain=CHANNELS_LAST)
    def batch_normalization(
        c: Context,
        x: Any,
        scale: Any,
        bias: Any,
        mean: Weight,
        variance: Weight,
        *,
        epsilon: float,
        momentum: float,
        training_mode: int,
    ) -> Any:
        rank = c.rank(0)
        channel = rank - 1 if c.node.domain == CHANNELS_LAST else min(1, rank - 1)
        axes = [axis for axis in range(rank) if axis != channel]
        wide = _wide(x)
        batch_mean, batch_variance = tf.nn.moments(wide, axes)
        along = [-1 if axis == channel else 1 for axis in range(rank)]
        factors = (tf.reshape(tf.cast(t, wide.dtype), along) for t in (batch_mean, batch_variance, bias, scale))
        y = tf.cast(tf.nn.batch_normalization(wide, *factors, epsilon), x.dtype)
        if unbiased:
            count = tf.cast(tf.size(x) // tf.maximum(tf.shape(x)[channel], 1), wide.dtype)
            batch_variance *= count / tf.maximum(count - 1, 1)
        running = [_updated(old, new, momentum) for old, new in ((mean, batch_mean), (variance, batch_variance))]
        return (y, *running)[: c.outputs]

    @table.lower("Dropout")
    def dropout(c: Context, data: Any, ratio: Host = None, training_mode: Any = None, *, seed: int | None) -> Any:
        rate = tf.cast(0.5 if ratio is None else tf.reshape(ratio, []), tf.float32)
        keep = tf.random.uniform(tf.shape(data), seed=seed) >= rate
        scale = tf.cast(tf.math.reciprocal_no_nan(1.0 - rate), data.dtype)
        return (tf.where(keep, data * scale, tf.zeros([], data.dtype)), keep)[: c.outputs]

    return MappingProxyType({**inference, **merge(table)})


def _wide(x: tf.Tensor) -> tf.Tensor:
    """Statistics of 16-bit floats are taken in 32 bits."""
    return tf.cast(x, tf.float32) if x.dtype.size < 4 else x


def _updated(old: tf.Tensor | tf.Variable, new: tf.Tensor, momentum: float) -> tf.Tensor:
    """The running statistic after this batch, stored where it is a variable; no gradient flows through it."""
    fresh = tf.stop_gradient(tf.cast(old, new.dtype) * momentum + new * (1.0 - momentum))
    updated = tf.cast(fresh, old.dtype)
    if isinstance(old, tf.Variable):
        old.assign(updated)
    return updated
