"""Normalization, activations and biases, cross entropies."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from reading import agree

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 5, 4, 6)).astype(np.float32)
VOLUME = RNG.normal(size=(2, 3, 4, 5, 6)).astype(np.float32)
SCALE, OFFSET, MEAN = (RNG.normal(size=6).astype(np.float32) for _ in range(3))
VARIANCE = RNG.uniform(0.5, 2, 6).astype(np.float32)
FLOATS = [np.float16, np.float32, np.float64]


def batch_norm(x, op=tf.raw_ops.FusedBatchNormV3, outputs=1, **settings):
    found = op(x=x, scale=SCALE, offset=OFFSET, mean=MEAN, variance=VARIANCE, **settings)
    return tuple(found)[:outputs]


@pytest.mark.parametrize("op", [tf.raw_ops.FusedBatchNorm, tf.raw_ops.FusedBatchNormV2, tf.raw_ops.FusedBatchNormV3])
@pytest.mark.parametrize("epsilon", [1e-3, 1e-5])
def test_batch_norm(op, epsilon):
    agree(lambda x: batch_norm(x, op, 3, epsilon=epsilon, is_training=False), X, free={0: [0, 1, 2]}, more=[[X[:1]]])


def test_batch_norm_of_halves():
    agree(lambda x: batch_norm(x, is_training=False), X.astype(np.float16), rtol=1e-2, atol=1e-2)


def test_batch_norm_of_volumes():
    agree(lambda x: batch_norm(x, is_training=False, data_format="NDHWC"), VOLUME, free={0: [0, 1]})


@pytest.mark.parametrize("momentum", [1.0, 0.9])
def test_batch_norm_by_the_batch(momentum):
    agree(
        lambda x: batch_norm(x, outputs=3, is_training=True, exponential_avg_factor=momentum),
        X,
        free={0: [0, 1]},
        more=[[X[:1, :2]]],
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("radius,bias,alpha,beta", [(5, 1.0, 1.0, 0.5), (2, 2.0, 1e-2, 0.75), (1, 0.5, 0.3, 1.0)])
def test_local_response(radius, bias, alpha, beta):
    agree(lambda x: tf.nn.local_response_normalization(x, radius, bias, alpha, beta), X, free={0: [0, 1]})


@pytest.mark.parametrize("dtype", FLOATS)
def test_half_the_square(dtype):
    agree(lambda x: tf.nn.l2_loss(x), X.astype(dtype), free={0: [0]}, rtol=1e-2 if dtype == np.float16 else 1e-5)


ACTIVATIONS = [
    tf.nn.elu,
    tf.nn.selu,
    tf.nn.relu6,
    tf.nn.softplus,
    tf.nn.softsign,
    tf.nn.leaky_relu,
    tf.nn.log_softmax,
    tf.nn.softmax,
]


@pytest.mark.parametrize("function", ACTIVATIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", FLOATS)
def test_activation(function, dtype):
    x = np.linspace(-30, 30, 24, dtype=dtype).reshape(4, 6)
    loose = {"rtol": 1e-2, "atol": 1e-2} if dtype == np.float16 else {}
    agree(lambda x: function(x), x, free={0: [0]}, more=[[x[:1]]], **loose)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.5])
def test_leak(alpha):
    agree(lambda x: tf.nn.leaky_relu(x, alpha), X)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64])
def test_relu6_of_integers(dtype):
    agree(lambda x: tf.nn.relu6(x), np.arange(0, 12).astype(dtype))


@pytest.mark.parametrize(
    ("rank", "data_format"),
    [*((rank, "NHWC") for rank in (2, 3, 4, 5)), *((rank, "NCHW") for rank in (3, 4, 5))],
)
def test_bias(rank, data_format):
    x = RNG.normal(size=(*(2, 3, 4, 5)[: rank - 1], 3)).astype(np.float32)
    x = x if data_format == "NHWC" else np.moveaxis(x, -1, 1)
    bias = np.array([1, 2, 3], np.float32)
    agree(lambda x: tf.raw_ops.BiasAdd(value=x, bias=bias, data_format=data_format), x, free={0: [0]})


def test_bias_as_it_was():
    agree(lambda x: tf.raw_ops.BiasAddV1(value=x, bias=OFFSET), X)


LOGITS = RNG.normal(size=(4, 5)).astype(np.float32)


def test_cross_entropy():
    labels = RNG.dirichlet(np.ones(5), 4).astype(np.float32)
    raw = tf.raw_ops.SoftmaxCrossEntropyWithLogits
    agree(lambda x, y: tuple(raw(features=x, labels=y)), LOGITS, labels, free={0: [0], 1: [0]})
    agree(lambda x, y: tuple(raw(features=x, labels=y)), LOGITS, labels[:1])


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_cross_entropy_of_classes(dtype):
    raw = tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits
    labels = np.array([0, 4, 2, 2], dtype)
    agree(lambda x, y: tuple(raw(features=x, labels=y)), LOGITS, labels, free={0: [0], 1: [0]})
