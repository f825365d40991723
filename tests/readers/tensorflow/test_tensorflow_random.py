"""Numbers drawn from a seed are the same numbers; those of a generator are others of the same distribution."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from reading import agree, hub_of, run_hub

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


def drawn(function, *arrays, free=None):
    """What ONNX Runtime draws."""
    hub = hub_of(function, *map(np.asarray, arrays), free=free)
    assert [note.topic for note in hub.notes] == ["random"]
    return run_hub(hub, *map(np.asarray, arrays))[0]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("known", [False, True])
def test_drawn_uniform(dtype, known):
    x = np.zeros((40, 50), np.float32)
    made = drawn(lambda x: tf.random.uniform(tf.shape(x), dtype=dtype), x, free=None if known else {0: [0, 1]})
    assert made.dtype == dtype
    assert made.shape == x.shape
    assert made.min() >= 0
    assert made.max() < 1
    np.testing.assert_allclose([made.mean(dtype=float), made.std(dtype=float)], [0.5, 12**-0.5], atol=0.04)


def test_drawn_normal():
    made = drawn(lambda n: tf.random.normal([n, 30], mean=2.0, stddev=3.0), np.int32(100))
    np.testing.assert_allclose([made.mean(), made.std()], [2, 3], atol=0.4)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_drawn_integers(dtype):
    made = drawn(lambda x: tf.random.uniform([1000], -2, 3, dtype=dtype) + tf.cast(x, dtype), np.int32(0))
    assert made.dtype == dtype
    assert sorted(set(made.tolist())) == [-2, -1, 0, 1, 2]
    with pytest.raises(Unsupported, match="64 bits"):
        hub_of(lambda high: tf.random.uniform([4], 0, high, dtype=tf.int64), np.int64(9))


def test_shuffled():
    rows = np.arange(60).reshape(30, 2)
    made = drawn(tf.random.shuffle, rows, free={0: [0]})
    np.testing.assert_array_equal(np.sort(made, axis=0), rows)
    np.testing.assert_array_equal(made[:, 0] + 1, made[:, 1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("known", [False, True])
def test_choices(dtype, known):
    share = np.array([[0.1, 0.6, 0.3], [0.5, 0.0, 0.5]])
    with np.errstate(divide="ignore"):
        logits = np.log(share).astype(dtype)
    if known:
        made = drawn(lambda x: tf.random.categorical(x, 2000), logits)
    else:
        made = drawn(tf.random.categorical, logits, np.int32(2000))
    found = [[(row == index).mean() for index in range(3)] for row in made]
    np.testing.assert_allclose(found, share, atol=0.06)
    assert found[1][1] == 0
