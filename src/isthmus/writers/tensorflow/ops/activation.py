"""Activation functions, in the native kernel where its meaning is exactly ONNX's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from isthmus.lower.contract import Lowerings
from isthmus.writers.tensorflow.ops._common import FLOATS, HALVES, INTS, in_wider, permuted, positive, restored

table = Lowerings()
lower, alias = table.lower, table.alias

_SELU = (1.6732632423543772, 1.0507009873554805)
"""alpha and gamma of TensorFlow's kernel, to more digits than the float32 attributes of ONNX hold."""

alias(Relu=tf.nn.relu, Sigmoid=tf.sigmoid, Softsign=tf.nn.softsign)


@lower("Softplus")
def softplus(x):
    return in_wider(tf.nn.softplus, x, supported=FLOATS)  # log(1 + exp(x)) without overflow


@lower("Softmax")
def softmax(x, *, axis):
    if x.dtype in HALVES:
        return _stepwise_softmax(x, axis)
    return _along(tf.nn.softmax, x, axis)


@lower("LogSoftmax")
def log_softmax(x, *, axis):
    return _along(tf.nn.log_softmax, x, axis)


@lower("Hardmax")
def hardmax(x, *, axis):
    axis = positive(axis, x.shape.rank)
    return tf.one_hot(tf.argmax(x, axis), tf.shape(x)[axis], axis=axis, dtype=x.dtype)  # the first of equals


@lower("Gelu")
def gelu(x, *, approximate):
    if approximate == "tanh":
        return in_wider(lambda v: tf.nn.gelu(v, approximate=True), x, supported=FLOATS)
    # a third of the time of tf.nn.gelu, which halves x before it multiplies
    return in_wider(lambda v: v * (0.5 + 0.5 * tf.math.erf(v * math.sqrt(0.5))), x, supported=FLOATS)


@lower("Elu")
def elu(x, *, alpha):
    return in_wider(lambda v: _scaled_elu(v, alpha, 1.0), x, supported=FLOATS)


@lower("Selu")
def selu(x, *, alpha, gamma):
    usual = math.isclose(alpha, _SELU[0], rel_tol=1e-6) and math.isclose(gamma, _SELU[1], rel_tol=1e-6)
    if usual and x.dtype != tf.float64:
        return in_wider(tf.nn.selu, x, supported=FLOATS)
    return in_wider(lambda v: gamma * _scaled_elu(v, alpha, 1.0), x, supported=FLOATS)


@lower("Celu")
def celu(x, *, alpha):
    return in_wider(lambda v: _scaled_elu(v, alpha, alpha), x, supported=FLOATS)


@lower("LeakyRelu")
def leaky_relu(x, *, alpha):
    if 0 <= alpha <= 1:
        return tf.nn.leaky_relu(x, alpha)
    return tf.where(x < 0, x * tf.constant(alpha, x.dtype), x)  # the kernel takes a maximum


@lower("ThresholdedRelu")
def thresholded_relu(x, *, alpha):
    # NaN is not above the threshold: ONNX gives 0 for it
    return tf.where(x > tf.constant(alpha, x.dtype), x, tf.zeros([], x.dtype))


@lower("PRelu")
def prelu(x, slope):
    def rectified(v, s):
        return tf.where(v < 0, v * s, v)

    if x.dtype in (tf.uint32, tf.uint64):
        return x
    return in_wider(rectified, x, slope, supported=FLOATS | INTS)


@lower("HardSigmoid")
def hard_sigmoid(x, *, alpha, beta):
    if math.isclose(alpha, 1 / 6, rel_tol=1e-6) and beta == 0.5:
        return in_wider(lambda v: tf.nn.relu6(v + 3.0) * (1 / 6), x, supported=FLOATS)
    return in_wider(lambda v: tf.clip_by_value(alpha * v + beta, 0.0, 1.0), x, supported=FLOATS)


@lower("HardSwish")
def hard_swish(x):
    return in_wider(lambda v: v * tf.nn.relu6(v + 3.0) * (1 / 6), x, supported=FLOATS)


@lower("Mish")
def mish(x):
    return in_wider(lambda v: v * tf.tanh(tf.nn.softplus(v)), x, supported=FLOATS)


@lower("Swish")
def swish(x, *, alpha):
    # not tf.nn.silu: its custom gradient is lost in a SavedModel, and keeps TensorFlow from fusing the two
    return in_wider(lambda v: v * tf.sigmoid(v if alpha == 1 else alpha * v), x, supported=FLOATS)


@lower("Shrink")
def shrink(x, *, bias, lambd):
    def shrunk(v):
        moved = tf.where(v < -lambd, v + bias, v - bias)
        return tf.where((v < -lambd) | (v > lambd), moved, tf.zeros([], v.dtype))

    if x.dtype.is_integer:  # float64 holds what comes near the threshold
        return tf.cast(shrunk(tf.cast(x, tf.float64)), x.dtype)
    return in_wider(shrunk, x, supported=FLOATS)


def _along(function: Callable[..., Any], x: tf.Tensor, axis: int) -> tf.Tensor:
    """A function of the last axis, on any axis."""
    if x.shape.rank == 0:
        return tf.reshape(function(tf.reshape(x, [1])), [])
    moved, back = permuted(x, axis)
    return restored(in_wider(function, moved, supported=FLOATS), back)


def _stepwise_softmax(x: tf.Tensor, axis: int) -> tf.Tensor:
    """Rounded to the half type after each step of ONNX's function body, sums in float32."""
    shifted = x - tf.reduce_max(x, axis, keepdims=True)
    powers = in_wider(tf.exp, shifted, supported=FLOATS)
    total = in_wider(lambda v: tf.reduce_sum(v, axis, keepdims=True), powers, supported=FLOATS)
    return in_wider(tf.divide, powers, total, supported=FLOATS)


def _scaled_elu(x: tf.Tensor, alpha: float, inner: float) -> tf.Tensor:
    """x above 0, alpha · (exp(x / inner) - 1) below."""
    if inner == 1.0 and alpha == 1.0:
        return tf.nn.elu(x)
    # the kernel takes exp(x) - 1, as ONNX does, and a fraction of the time of tf.math.expm1
    return tf.where(x > 0, x, alpha * tf.nn.elu(tf.minimum(x, 0) / inner))
