"""What the classifiers and regressors of ai.onnx.ml share: post-transforms, class labels, a batch as a matrix."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from isthmus.lower.scores import class_labels
from isthmus.lower.walk import Context


def rows_of(x: tf.Tensor, dtype: tf.DType = tf.float32) -> tf.Tensor:
    """[N, C] or one row [C] as a matrix of ``dtype``."""
    x = tf.cast(x, dtype)
    return x[None, :] if x.shape.rank == 1 else x


def transformed(scores: tf.Tensor, transform: str) -> tf.Tensor:
    """Scores [N, E] after ``post_transform``."""
    if transform == "LOGISTIC":
        return tf.sigmoid(scores)
    if transform == "SOFTMAX":
        return tf.nn.softmax(scores, axis=-1)
    if transform == "SOFTMAX_ZERO":  # zeros stay (nearly) zero, the others share the rest
        top = tf.reduce_max(scores, axis=-1, keepdims=True)
        nonzero = tf.abs(scores) > 1e-7
        powers = tf.where(nonzero, tf.exp(scores - top), scores * tf.exp(-top))
        total = tf.reduce_sum(tf.where(nonzero, powers, 0.0), axis=-1, keepdims=True)
        return powers / tf.where(total > 0, total, 1.0)
    return _probit(scores) if transform == "PROBIT" else scores


def _probit(p: tf.Tensor) -> tf.Tensor:
    """The normal quantile by Winitzki's formula, which ONNX's reference and ONNX Runtime share (error 2e-3)."""
    x = 2 * p - 1
    log = tf.math.log((1 - x) * (1 + x))
    v = 2 / (math.pi * 0.147) + 0.5 * log
    root = tf.sqrt(-v + tf.sqrt(v * v - log / 0.147))
    return math.sqrt(2) * tf.where(x < 0, -root, root)


def two_classes(score: tf.Tensor, transform: str) -> tf.Tensor:
    """Scores [N, 2] of two classes out of the second one's [N, 1]."""
    if transform == "LOGISTIC":
        return tf.concat([tf.sigmoid(-score), tf.sigmoid(score)], axis=1)
    return tf.concat([1 - score, score], axis=1)


def labels_of(c: Context, ints: Any, strings: Any) -> tf.Tensor:
    """The class labels, int64 or string."""
    return label_tensor(class_labels(c, ints, strings))


def label_tensor(labels: np.ndarray) -> tf.Tensor:
    """Class labels, int64 or an object array of strings, as a constant."""
    return tf.constant(labels, tf.string if labels.dtype == object else tf.int64)
