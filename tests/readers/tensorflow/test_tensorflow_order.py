"""The largest, what is where, what is unique, one-hot codes: TensorFlow eagerly against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from reading import agree

RNG = np.random.default_rng(3)
X = RNG.integers(0, 5, (3, 2, 6)).astype(np.float32)
RAW = tf.raw_ops


@pytest.mark.parametrize(
    "dtype", [np.float32, np.float64, np.int32, np.int64, np.int8, np.uint8, np.int16, np.uint16, np.float16]
)
def test_top_k_of_numbers_with_ties(dtype):
    agree(lambda x: tf.math.top_k(x, 4), X.astype(dtype), free={0: [0, 1, 2]})
    agree(lambda x, k: tf.math.top_k(x, k, index_type=tf.int64), X.astype(dtype), np.int32(3))


@pytest.mark.parametrize("direction", ["ASCENDING", "DESCENDING"])
@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint8])
def test_sort(direction, dtype):
    x = X.astype(dtype)
    agree(lambda x: (tf.sort(x, direction=direction), tf.argsort(x, axis=0, direction=direction)), x, free={0: [0]})


@pytest.mark.parametrize("reverse", [False, True])
def test_nth_element(reverse):
    agree(lambda x: RAW.NthElement(input=x, n=2, reverse=reverse), X, free={0: [0, 1]})
    agree(lambda x, n: RAW.NthElement(input=x, n=n, reverse=reverse), X, np.int32(1))


def test_in_top_k():
    scores = np.array([[1, 3, 3, 0], [np.nan, 1, 2, 3], [1, 2, np.inf, 3], [4, 3, 2, 1], [1, 1, 1, 1]], np.float32)
    targets = np.array([2, 3, 1, 9, 3], np.int32)
    agree(lambda p, t: tf.math.in_top_k(t, p, 2), scores, targets, free={0: [0], 1: [0]})
    agree(lambda p, t: RAW.InTopK(predictions=p, targets=t, k=1), scores, np.array([1, 0, 2, -1, 0]))
    agree(lambda p, t, k: RAW.InTopKV2(predictions=p, targets=t, k=k), scores, targets, np.int32(3))


@pytest.mark.parametrize("dtype", [bool, np.float32, np.int8, np.uint16, np.float64, np.int32])
def test_where(dtype):
    x = (X > 2).astype(dtype)
    agree(tf.where, x, free={0: [0, 1]}, more=[[x[:0]], [x * dtype(0)]])


def test_mask():
    agree(lambda x: tf.boolean_mask(x, x[:, 0, 0] > 1), X, free={0: [0]})
    agree(lambda x: tf.boolean_mask(x, x > 2), X, free={0: [0]})


@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8])
def test_one_hot(axis, dtype):
    codes = np.array([[0, 2, 9], [1, 3, 4]]).astype(dtype)
    codes = codes if dtype is np.uint8 else codes - 2
    kinds = (tf.float32, tf.int32, tf.uint8)
    agree(lambda i: [tf.one_hot(i, 4, axis=axis, dtype=kind) for kind in kinds], codes, free={0: [0]})
    agree(lambda i: tf.one_hot(i, 3, True, False, axis=axis), codes)
    agree(lambda i, d: tf.one_hot(i, d, on_value=5, off_value=-1, axis=axis), codes, np.int32(3))
    agree(lambda i, a: tf.one_hot(i, 3, on_value=a, off_value=0.5, axis=axis), codes, np.float32(2))


def test_one_hot_of_a_number():
    agree(lambda i: tf.one_hot(i, 3), np.int32(1))
    agree(lambda i: tf.one_hot(i, 3, on_value="yes", off_value="no"), np.int32(1))


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float32, np.uint8, np.int16, object])
def test_unique(dtype):
    x = np.array([4, 1, 4, 3, 1, 4])
    x = x.astype(str).astype(object) if dtype is object else x.astype(dtype)
    agree(lambda x: tf.unique(x), x, free={0: [0]}, more=[[x[:0]]])
    agree(lambda x: tf.unique_with_counts(x, out_idx=tf.int64), x, free={0: [0]})
    agree(lambda x: RAW.UniqueV2(x=x, axis=np.zeros(0, np.int64)), x)


def test_unique_along_an_axis():
    x = np.array([[1, 2, 1], [3, 4, 3], [1, 2, 1]], np.float32)
    agree(lambda x: [RAW.UniqueV2(x=x, axis=[axis]) for axis in (0, 1)], x, free={0: [0]})
    agree(lambda x: [RAW.UniqueWithCountsV2(x=x, axis=[axis]) for axis in (0, 1)], x)


@pytest.mark.parametrize("dtype", [np.int32, np.float32, object])
def test_list_diff(dtype):
    x, y = np.array([5, 1, 2, 1, 7, 3]), np.array([1, 7, 9])
    x, y = ((a.astype(str).astype(object) if dtype is object else a.astype(dtype)) for a in (x, y))
    agree(lambda x, y: RAW.ListDiff(x=x, y=y), x, y, free={0: [0], 1: [0]}, more=[[x, y[:0]], [x[:0], y]])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("dtype", [np.int32, np.float32, np.int64])
def test_search_of_sorted_numbers(side, dtype):
    ordered = np.array([[1, 3, 3, 8], [0, 0, 2, 4]], dtype)
    values = np.array([[3, 0, 9], [0, 1, 4]], dtype)
    agree(lambda o, v: tf.searchsorted(o, v, side), ordered, values, free={0: [0, 1], 1: [0, 1]})
    agree(lambda o, v: tf.searchsorted(o, v, side, out_type=tf.int64), ordered[0], values[0])
