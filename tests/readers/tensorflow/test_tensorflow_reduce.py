"""Reductions over axes, and running sums along one."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from reading import agree, hub_of

from isthmus.errors import Unsupported

X = np.linspace(-3, 3, 24, dtype=np.float32).reshape(2, 3, 4)
raw = tf.raw_ops
SMALL = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"]
REDUCTIONS = [tf.reduce_sum, tf.reduce_mean, tf.reduce_prod, tf.reduce_max, tf.reduce_min]
REDUCTIONS += [tf.reduce_logsumexp, tf.math.reduce_variance, tf.math.reduce_euclidean_norm]


@pytest.mark.parametrize("function", REDUCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("axis", [None, 0, -1, [0, 2], [-1, -2], []])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions(function, axis, keepdims):
    free = {0: [0, 1]} if axis != [] else {}
    agree(
        lambda x: function(x, axis=axis, keepdims=keepdims), X, free=free, more=[[X[:1]]] if free else (), rtol=1e-4
    )


@pytest.mark.parametrize("dtype", SMALL)
def test_whole_numbers(dtype):
    x = (np.arange(24).reshape(4, 6) * 5).astype(dtype)

    def function(x):
        return [f(x, axis=1) for f in (tf.reduce_sum, tf.reduce_prod, tf.reduce_max, tf.reduce_min, tf.reduce_mean)]

    wraps = np.dtype(dtype).itemsize < 4
    agree(function if wraps else lambda x: [function(x)[i] for i in (0, 2, 3, 4)], x)


@pytest.mark.parametrize("dtype", ["float16", "float64", "bfloat16"])
def test_other_floats(dtype):
    def function(x):
        x = tf.cast(x, dtype)
        return [tf.cast(f(x, axis=-1), tf.float32) for f in (tf.reduce_sum, tf.reduce_mean, tf.reduce_max)]

    agree(function, X, rtol=2e-2 if dtype == "bfloat16" else 5e-3, atol=1e-2 if dtype != "float64" else 1e-6)


@pytest.mark.parametrize("axis", [None, 1, [0, 1]])
def test_truths(axis):
    x = X > 1
    agree(lambda x: (tf.reduce_all(x, axis), tf.reduce_any(x, axis, keepdims=True)), x, free={0: [0]}, more=[[x[:0]]])


def test_axes_of_data():
    agree(lambda x, axes: raw.Sum(input=x, axis=axes), X, np.array([0, -1], np.int32))
    agree(lambda x, axes: raw.Max(input=x, axis=axes, keep_dims=True), X, np.array([1], np.int64))


def test_no_axes_that_are_data():
    none = np.zeros(0, np.int32)
    agree(lambda x, axes: (tf.reduce_sum(x, axes), tf.reduce_any(x > 0, axes)), X, none)
    agree(lambda x, axes: tf.reduce_mean(tf.cast(x, tf.int32), axes), X, none)


def test_complex_sums():
    def parts(x, y):
        z = tf.complex(x, y)
        found = tf.reduce_sum(z, -1), tf.reduce_mean(z, [0, -1], keepdims=True), tf.cumsum(z, -1)
        return [part(value) for value in found for part in (tf.math.real, tf.math.imag)]

    agree(parts, X, X + 1)


@pytest.mark.parametrize("function", [tf.argmax, tf.argmin], ids=lambda f: f.__name__)
@pytest.mark.parametrize("axis", [0, -1])
def test_places_of_extremes(function, axis):
    agree(lambda x: function(x, axis), np.sin(7 * X), free={0: [0]})
    agree(lambda x: function(x, axis, output_type=tf.int32), np.round(np.sin(7 * X)))


@pytest.mark.parametrize("dtype", [*SMALL, "bool"])
def test_places_of_extremes_of_whole_numbers(dtype):
    agree(lambda x: (tf.argmax(x, -1), tf.argmin(x, 0)), np.abs(np.sin(7 * X) * 20).astype(dtype))


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("axis", [0, -1])
def test_running_sums_and_products(exclusive, reverse, axis):
    settings = {"axis": axis, "exclusive": exclusive, "reverse": reverse}
    agree(lambda x: (tf.cumsum(x, **settings), tf.math.cumprod(x, **settings)), X, free={0: [0]}, rtol=1e-4)
    agree(lambda x: tf.math.cumulative_logsumexp(x, **settings), X * 30, free={0: [0]})


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8", "float64", "float16"])
def test_running_sums_of_other_numbers(dtype):
    agree(lambda x: tf.cumsum(x, 1), (np.arange(24).reshape(4, 6) * 3).astype(dtype))


def test_an_axis_of_data_for_complex_numbers_is_refused():
    with pytest.raises(Unsupported, match="computed from data"):
        hub_of(lambda x, axis: tf.abs(raw.Sum(input=tf.complex(x, x), axis=axis)), X, np.array([0], np.int32))
