"""Two tensors, broadcast."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from reading import agree

X = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)
ODD = np.array([np.nan, np.inf, -np.inf, 0.0, 1.0, -2.5], np.float32)
PAIRS = np.meshgrid(ODD, ODD)
raw = tf.raw_ops

FLOATS = [
    tf.add,
    tf.subtract,
    tf.multiply,
    tf.divide,
    tf.math.divide_no_nan,
    tf.math.multiply_no_nan,
    tf.math.floordiv,
]
FLOATS += [tf.math.floormod, tf.maximum, tf.minimum, tf.math.squared_difference, tf.truncatemod]


@pytest.mark.parametrize("function", FLOATS, ids=lambda f: f.__name__)
def test_floats_are_broadcast(function):
    agree(lambda x, y: function(x, y), X, X[0] + 0.5, free={0: [0]}, more=[[X[:2], X[1] + 0.5]])


@pytest.mark.parametrize(
    "function",
    [
        *(tf.add, tf.multiply, tf.divide, tf.maximum, tf.minimum, tf.math.divide_no_nan, tf.math.multiply_no_nan),
        *(tf.math.xdivy, tf.math.xlogy, tf.math.xlog1py),
    ],
    ids=lambda f: f.__name__,
)
def test_numbers_of_every_kind(function):
    agree(lambda x, y: function(x, y), *PAIRS)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_whole_numbers_are_exact(dtype):
    info = np.iinfo(dtype)
    rng = np.random.default_rng(0)
    x = rng.integers(info.min, info.max, 40, dtype=dtype, endpoint=True)
    y = rng.integers(max(info.min, -9), 9, 40, dtype=dtype)
    y = np.where(y == 0, 3, y).astype(dtype)

    def function(x, y):
        found = [x + y, x - y, x * y, tf.math.floordiv(x, y), tf.math.floormod(x, y), tf.maximum(x, y)]
        return [*found, tf.minimum(x, y), raw.TruncateDiv(x=x, y=y), raw.AddN(inputs=[x, y, x])]

    agree(function, x, y)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_rests_of_large_numbers(dtype):
    x = np.array([np.iinfo(dtype).max, np.iinfo(dtype).min + 1, 12345678, -7, 7, -7, 7], dtype)
    y = np.array([1234567, 7654321, -89, 3, -3, -3, 3], dtype)
    agree(lambda x, y: (raw.TruncateMod(x=x, y=y), raw.FloorMod(x=x, y=y), raw.FloorDiv(x=x, y=y)), x, y)


@pytest.mark.parametrize("dtype", ["float16", "float64", "bfloat16"])
def test_other_floats(dtype):
    def function(x, y):
        x, y = tf.cast(x, dtype), tf.cast(y, dtype)
        found = (x + y, x * y, x / y, tf.math.floormod(x, y), tf.maximum(x, y), tf.math.divide_no_nan(x, y))
        return [tf.cast(value, tf.float32) for value in found]

    agree(function, X, X[::-1] + 0.125, rtol={"bfloat16": 1e-2, "float16": 4e-3}.get(dtype, 1e-6))


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("dtype", ["int32", "int64", "int16"])
def test_powers_wrap(dtype, exponent):
    x = np.array([-40, -3, 0, 1, 5, 100], dtype)
    agree(lambda x: tf.pow(x, tf.constant(exponent, dtype)), x)


def test_powers():
    agree(lambda x, y: tf.pow(x, y), np.abs(X) + 0.1, X, rtol=1e-4)
    agree(lambda x: tf.pow(x, 2.0), X)
    agree(lambda x, y: tf.pow(x, y), np.arange(-3, 4, dtype=np.int32), np.arange(7, dtype=np.int32))


def test_sums_of_many():
    agree(lambda x, y: tf.add_n([x, y, x]), X, X + 1)
    agree(lambda x: raw.AddN(inputs=[x]), X)


def test_texts_are_joined():
    agree(lambda x, y: x + y, np.array(["a", "b"], object), np.array(["c", "d"], object))


@pytest.mark.parametrize("function", [tf.add, tf.subtract, tf.multiply, tf.divide, tf.pow, tf.math.divide_no_nan])
def test_complex_numbers(function):
    def parts(a, b, c, d):
        z = function(tf.complex(a, b), tf.complex(c, d))
        return tf.math.real(z), tf.math.imag(z)

    rng = np.random.default_rng(0)
    agree(parts, *rng.normal(size=(4, 3, 2)).astype(np.float32), rtol=1e-3, atol=1e-5)
