"""Tree ensembles of ai.onnx.ml."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from isthmus.lower.ensembles import Classification, Regression, tree_lowerings
from isthmus.lower.walk import Context
from isthmus.writers.tensorflow.backend import dtype_of
from isthmus.writers.tensorflow.ops._forest import leaves, summed
from isthmus.writers.tensorflow.ops._scores import label_tensor, rows_of, transformed


def _computing_type(x: tf.Tensor) -> tf.DType:
    return tf.float64 if x.dtype == tf.float64 else tf.float32


def _regression(c: Context, x: tf.Tensor, task: Regression) -> tf.Tensor:
    dtype = _computing_type(x)
    rows, present = task.leaf_table(dtype.as_numpy_dtype), task.forest.leaf_present()
    at = leaves(task.forest, rows_of(x, dtype))
    named = None if present.all() else summed(at, present.astype(np.int32)) > 0
    if task.aggregate in ("MIN", "MAX"):
        reduce = tf.reduce_min if task.aggregate == "MIN" else tf.reduce_max
        scores = reduce(tf.gather(rows, at), axis=1)
        scores = scores if named is None else tf.where(named, scores, tf.zeros([], dtype))
    else:
        scores = summed(at, rows)
        scores = scores / len(task.forest.roots) if task.aggregate == "AVERAGE" else scores
    if task.base is not None:
        # with several targets, one that no leaf names keeps 0
        shifted = scores + task.base.astype(rows.dtype)
        scores = shifted if named is None or rows.shape[1] == 1 else tf.where(named, shifted, scores)
    return tf.cast(transformed(scores, task.transform), dtype_of(task.dtype))


def _classification(c: Context, x: tf.Tensor, task: Classification) -> Any:
    at = leaves(task.forest, rows_of(x, _computing_type(x)))
    label, scores = _many(at, task) if task.only is None else _two(at, task, task.only)
    return tf.gather(label_tensor(task.labels), label), tf.cast(scores, tf.float32)


def _many(at: tf.Tensor, task: Classification) -> Any:
    """(class number, scores) of three classes or more."""
    scores = rated = summed(at, task.forest.leaf_weights().astype(np.float32))
    if task.base is not None:
        scores = rated = scores + task.base.astype(np.float32)
    elif not task.forest.leaf_present().all():  # a class that no leaf names cannot win
        named = summed(at, task.forest.leaf_present().astype(np.int32)) > 0
        rated = tf.where(named, scores, scores.dtype.min)
    return tf.argmax(rated, axis=1), transformed(scores, task.transform)


def _two(at: tf.Tensor, task: Classification, only: int) -> Any:
    """(class number, scores) of two classes that share one score, which is the second one's."""
    score = summed(at, task.forest.leaf_weights()[:, only : only + 1].astype(np.float32))
    score = score if task.base is None else score + task.base.astype(np.float32)
    label = tf.cast(score[:, 0] > task.threshold, tf.int32)
    if only == 1:
        return label, transformed(tf.concat([tf.zeros_like(score), score], axis=1), task.transform)
    if task.transform == "LOGISTIC":
        return label, tf.concat([tf.sigmoid(-score), tf.sigmoid(score)], axis=1)
    return label, tf.concat([1 - score if task.positive else -score, score], axis=1)


table = tree_lowerings(_regression, _classification)
