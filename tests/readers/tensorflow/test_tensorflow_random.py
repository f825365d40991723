"""Numbers drawn from a seed are the same numbers; numbers drawn from nothing are refused."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from reading import agree, hub_of

from isthmus.errors import Unsupported

SEEDS = [np.asarray(seed, np.int64) for seed in ([7, -3], [0, 0], [2**40 + 5, -(2**33)])]
X = np.zeros((3, 5), np.float32)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64, tf.float16])
def test_uniform(dtype):
    def drawn(seed, x):
        return tf.random.stateless_uniform(tf.shape(x), seed, dtype=dtype)

    agree(drawn, SEEDS[0], X, free={1: [0]}, more=[[seed, X[:1]] for seed in SEEDS], rtol=0, atol=0)


def test_normal():
    agree(lambda seed: tf.random.stateless_normal([3, 7], seed), SEEDS[0], more=[[seed] for seed in SEEDS])


def test_integers():
    def drawn(seed, low, high):
        return tf.random.stateless_uniform([4, 9], seed, minval=low, maxval=high, dtype=tf.int32)

    agree(drawn, SEEDS[0].astype(np.int32), np.int32(-5), np.int32(1000))


def test_the_first_form_of_the_operator():
    agree(lambda seed: tf.raw_ops.StatelessRandomUniform(shape=[6], seed=seed), SEEDS[2], rtol=0, atol=0)


def test_without_a_seed():
    with pytest.raises(Unsupported, match="RandomUniform"):
        hub_of(lambda x: x + tf.random.uniform(tf.shape(x)), X)
