"""Losses over class scores."""

from __future__ import annotations

import tensorflow as tf

from isthmus.lower.contract import Lowerings
from isthmus.writers.tensorflow.ops._common import HALVES, convert, dim

table = Lowerings()
lower, alias = table.lower, table.alias


@lower("NegativeLogLikelihoodLoss")
def negative_log_likelihood_loss(log_prob, target, weight=None, *, ignore_index, reduction):
    return _loss(log_prob, target, weight, ignore_index, reduction)


@lower("SoftmaxCrossEntropyLoss")
def softmax_cross_entropy_loss(c, scores, labels, weights=None, *, ignore_index, reduction):
    wide = convert(scores, tf.float32) if scores.dtype in HALVES else scores
    log_prob = _classes_first(tf.nn.log_softmax(_classes_last(wide), -1))
    loss = tf.cast(_loss(log_prob, labels, weights, ignore_index, reduction), scores.dtype)
    return (loss, tf.cast(log_prob, scores.dtype)) if c.outputs > 1 else loss


def _loss(
    log_prob: tf.Tensor, target: tf.Tensor, weight: tf.Tensor | None, ignore_index: int | None, reduction: str
) -> tf.Tensor:
    """Minus the weighted log-probability of the target; ``log_prob`` is N, C, d…, ``target`` N, d…."""
    dtype = log_prob.dtype
    wide = convert(log_prob, tf.float32) if dtype in HALVES else log_prob
    classes = dim(log_prob, 1)
    # an ignored label need not be a class: look up a class that exists, and weigh it with nothing
    ignored = tf.zeros_like(target, tf.bool) if ignore_index is None else target == ignore_index
    index = tf.where(ignored, tf.zeros_like(target), target)
    index = tf.where(index < 0, index + tf.cast(classes, index.dtype), index)
    picked = tf.gather(_classes_last(wide), index, batch_dims=index.shape.rank)
    weights = tf.ones_like(picked) if weight is None else tf.gather(tf.cast(weight, wide.dtype), index)
    weights = tf.where(ignored, tf.zeros([], wide.dtype), weights)
    loss = tf.where(ignored, tf.zeros([], wide.dtype), -picked * weights)
    if reduction == "sum":
        loss = tf.reduce_sum(loss)
    elif reduction == "mean":
        loss = tf.reduce_sum(loss) / tf.reduce_sum(weights)
    return tf.cast(loss, dtype)


def _classes_last(x: tf.Tensor) -> tf.Tensor:
    rank = x.shape.rank
    return x if rank == 2 else tf.transpose(x, [0, *range(2, rank), 1])


def _classes_first(x: tf.Tensor) -> tf.Tensor:
    rank = x.shape.rank
    return x if rank == 2 else tf.transpose(x, [0, rank - 1, *range(1, rank - 1)])
