"""Support vector machines of ai.onnx.ml."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from isthmus.lower.contract import Lowerings
from isthmus.lower.scores import ML, pair_sides, pair_weights, pairs_of
from isthmus.writers.tensorflow.ops._scores import labels_of, rows_of, transformed, two_classes

table = Lowerings()


def _kernel(kind: str, parameters: Any, x: tf.Tensor, vectors: np.ndarray) -> tf.Tensor:
    """The kernel of each row of ``x`` with each vector: [N, vectors]."""
    gamma, offset, degree = parameters or (0.0, 0.0, 0.0)
    product = tf.matmul(x, vectors, transpose_b=True)
    if kind == "RBF":
        apart = tf.reduce_sum(tf.math.squared_difference(x[:, None, :], vectors[None]), axis=-1)
        return tf.exp(-gamma * apart)
    if kind == "POLY":
        return tf.pow(gamma * product + offset, degree)
    return tf.tanh(gamma * product + offset) if kind == "SIGMOID" else product


@table.lower("SVMRegressor", domain=ML)
def svm_regressor(
    c, x, *, coefficients, kernel_params, kernel_type, n_supports, one_class, post_transform, rho, support_vectors
):
    if post_transform != "NONE":
        c.refuse(f"post_transform {post_transform} of one target: ONNX asks for it, ONNX Runtime leaves it out")
    rows, weights = rows_of(x), np.array(coefficients, np.float32)
    if n_supports:
        vectors = np.array(support_vectors, np.float32).reshape(n_supports, -1)
        rows = _kernel(kernel_type, kernel_params, rows, vectors)
    scores = tf.linalg.matvec(rows, weights)[:, None] + np.float32(rho[0])
    return tf.where(scores > 0, 1.0, -1.0) if one_class else scores


@table.lower("SVMClassifier", domain=ML)
def svm_classifier(
    c,
    x,
    *,
    classlabels_ints,
    classlabels_strings,
    coefficients,
    kernel_params,
    kernel_type,
    post_transform,
    prob_a,
    prob_b,
    rho,
    support_vectors,
    vectors_per_class,
):
    """One against one: every pair of classes has a decision, and the class with most votes wins.

    The scores are the classes' probabilities where the model has them, else the decisions. Without support vectors it
    is a linear machine, one score a class.
    """
    labels = labels_of(c, classlabels_ints, classlabels_strings)
    rows, classes = rows_of(x), int(labels.shape[0])
    if not vectors_per_class:
        weights = np.array(coefficients, np.float32).reshape(classes, -1)
        scores = tf.matmul(rows, weights, transpose_b=True) + np.float32(rho[0])
        return tf.gather(labels, tf.argmax(scores, axis=1)), transformed(scores, post_transform)
    vectors = np.array(support_vectors, np.float32).reshape(sum(vectors_per_class), -1)
    kernel = _kernel(kernel_type, kernel_params, rows, vectors)
    decisions = tf.matmul(kernel, pair_weights(coefficients, vectors_per_class)) + np.array(rho, np.float32)
    first, second = pair_sides(classes)
    won = tf.cast(decisions > 0, tf.float32)
    label = tf.gather(labels, tf.argmax(tf.matmul(won, first) + tf.matmul(1 - won, second), axis=1))
    if prob_a:
        chance = 1 - tf.sigmoid(decisions * np.array(prob_a, np.float32) + np.array(prob_b, np.float32))
        return label, transformed(_coupled(chance, classes), post_transform)
    if classes > 2:
        return label, transformed(decisions, post_transform)
    if post_transform == "PROBIT" or min(coefficients) >= 0:
        c.refuse("two classes share one decision: this transform or these weights are not defined for it")
    if post_transform == "NONE":
        return label, tf.concat([-decisions, decisions], axis=1)
    return label, two_classes(decisions, post_transform)


def _coupled(chance: tf.Tensor, classes: int) -> tf.Tensor:
    """Probabilities [N, classes] out of the chances [N, pairs] that the first of a pair beats the second.

    The second method of Wu, Lin and Weng (2004), with the bounds and the stop that ONNX Runtime takes from libsvm.
    """
    chance = tf.clip_by_value(chance, 1e-7, 1 - 1e-7)
    r: dict[tuple[int, int], tf.Tensor] = {}
    for number, (i, j) in enumerate(pairs_of(classes)):
        r[i, j], r[j, i] = chance[:, number], 1 - chance[:, number]

    def entry(t: int, j: int) -> tf.Tensor:
        return tf.add_n([r[k, t] ** 2 for k in range(classes) if k != t]) if t == j else -r[j, t] * r[t, j]

    q = tf.stack([tf.stack([entry(t, j) for j in range(classes)], axis=1) for t in range(classes)], axis=1)

    def error(p: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        qp = tf.linalg.matvec(q, p)
        pqp = tf.reduce_sum(p * qp, axis=1, keepdims=True)
        return qp, pqp, tf.reduce_max(tf.abs(qp - pqp), axis=1, keepdims=True) >= 0.005 / classes

    def improve(step: tf.Tensor, p: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        qp, pqp, unsettled = error(p)
        better = p
        for t in range(classes):
            own = q[:, t, t][:, None]
            difference = (pqp - qp[:, t : t + 1]) / own
            pqp = (pqp + difference * (difference * own + 2 * qp[:, t : t + 1])) / (1 + difference) ** 2
            qp = (qp + difference * q[:, t]) / (1 + difference)
            better = (better + difference * tf.one_hot(t, classes)) / (1 + difference)
        return step + 1, tf.where(unsettled, better, p)

    even = tf.ones_like(q[:, 0]) / classes
    return tf.while_loop(
        lambda step, p: (step < 100) & tf.reduce_any(error(p)[2]),
        improve,
        (tf.constant(0), even),
    )[1]
