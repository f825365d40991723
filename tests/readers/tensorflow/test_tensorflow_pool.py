"""Pools, with their attributes in all combinations that TensorFlow runs."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from reading import agree

from isthmus.errors import Unsupported

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 9, 8, 4)).astype(np.float32)
OTHER = RNG.normal(size=(1, 12, 7, 4)).astype(np.float32)
FREE = {0: [0, 1, 2]}
INTEGERS = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.int64]


def whole(dtype):
    info = np.iinfo(dtype)
    return RNG.integers(info.min, info.max, (2, 7, 6, 3), dtype=dtype, endpoint=True)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("size,stride", [(2, 2), (3, 2), (3, 1), (2, 3), (3, 5), ((1, 3), (2, 1))], ids=str)
@pytest.mark.parametrize("free", [None, FREE], ids=["fixed", "free"])
def test_max(padding, size, stride, free):
    agree(lambda x: tf.nn.max_pool2d(x, size, stride, padding), X, free=free, more=[[OTHER]] if free else [])


@pytest.mark.parametrize("free", [None, FREE], ids=["fixed", "free"])
def test_max_of_what_is_padded(free):
    edges = [[0, 0], [1, 2], [0, 1], [0, 0]]
    agree(lambda x: tf.nn.max_pool2d(x, 3, 2, edges), X, free=free, more=[[OTHER]] if free else [])


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("size,stride", [(2, 2), (3, 2), (3, 1), (2, 3), (3, 5), ((1, 3), (2, 1))], ids=str)
@pytest.mark.parametrize("free", [None, FREE], ids=["fixed", "free"])
def test_average(padding, size, stride, free):
    agree(lambda x: tf.nn.avg_pool2d(x, size, stride, padding), X, free=free, more=[[OTHER]] if free else [])


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("pool", [tf.nn.max_pool3d, tf.nn.avg_pool3d])
@pytest.mark.parametrize("size,stride", [(2, 2), (3, 2)])
def test_three_axes(padding, pool, size, stride):
    x = RNG.normal(size=(2, 5, 6, 7, 3)).astype(np.float32)
    agree(lambda x: pool(x, size, stride, padding), x, free={0: [0, 1, 2, 3]}, more=[[x[:1, :4, :, :6]]])


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("pool", [tf.nn.max_pool1d, tf.nn.avg_pool1d])
def test_one_axis(padding, pool):
    x = RNG.normal(size=(2, 9, 3)).astype(np.float32)
    agree(lambda x: pool(x, 3, 2, padding), x, free={0: [0, 1]}, more=[[x[:1, :6]]])


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_max_of_integers(padding, dtype):
    agree(lambda x: tf.nn.max_pool2d(x, 3, 2, padding), whole(dtype), free=FREE)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats(dtype):
    agree(lambda x: tf.nn.max_pool2d(x, 3, 2, "SAME"), X.astype(dtype))


def test_max_of_channels():
    agree(lambda x: tf.nn.max_pool2d(x, [1, 1, 1, 2], [1, 1, 1, 2], "VALID"), X, free=FREE)


def test_sizes_that_are_operands():
    agree(lambda x: tf.raw_ops.MaxPoolV2(input=x, ksize=[1, 2, 3, 1], strides=[1, 2, 1, 1], padding="SAME"), X)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("free", [None, FREE], ids=["fixed", "free"])
def test_max_and_where(padding, batch, free):
    x = np.round(X)  # ties are many
    agree(
        lambda x: tf.nn.max_pool_with_argmax(x, 3, 2, padding, include_batch_in_index=batch),
        x,
        free=free,
        more=[[np.round(OTHER)]] if free else [],
    )


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.int16, np.float64])
def test_max_and_where_of_other_types(dtype):
    agree(
        lambda x: tf.nn.max_pool_with_argmax(x, 3, 2, "SAME", output_dtype=tf.int32), (np.round(X) + 3).astype(dtype)
    )


def test_windows_drawn_at_random_are_refused():
    with pytest.raises(Unsupported, match="at random"):
        agree(lambda x: tf.nn.fractional_max_pool(x, 1.5, seed=1)[0], X)
