"""One tensor in, one out."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from reading import agree

X = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)
ODD = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 1e-7, -1e-7, 1e30, 0.5, -2.5], np.float32)
UNIT = np.linspace(-0.99, 0.99, 9, dtype=np.float32)
Z = (np.linspace(-2, 3, 6) + 1j * np.linspace(1, -4, 6)).astype(np.complex64)

ANYWHERE = [tf.nn.relu, tf.sigmoid, tf.tanh, tf.exp, tf.abs, tf.negative, tf.nn.softmax, tf.sin, tf.cos, tf.tan]
ANYWHERE += [tf.sinh, tf.cosh, tf.asinh, tf.atan, tf.math.erf, tf.math.erfc, tf.math.rint, tf.round, tf.math.ceil]
ANYWHERE += [tf.floor, tf.sign, tf.square, tf.math.expm1, tf.math.reciprocal]
ON_UNIT = [tf.asin, tf.acos, tf.atanh, tf.math.log1p]
ABOVE_ONE = [tf.acosh, tf.math.log, tf.sqrt, tf.math.rsqrt]


@pytest.mark.parametrize("function", ANYWHERE, ids=lambda f: f.__name__)
def test_one_tensor(function):
    agree(lambda x: function(x), X, free={0: [0]}, more=[[X[:1]]])


@pytest.mark.parametrize("function", ON_UNIT, ids=lambda f: f.__name__)
def test_on_the_unit_interval(function):
    agree(lambda x: function(x), UNIT)


@pytest.mark.parametrize("function", ABOVE_ONE, ids=lambda f: f.__name__)
def test_above_one(function):
    agree(lambda x: function(x), np.abs(X) + 1)


KINDS = [tf.abs, tf.sign, tf.exp, tf.math.log1p, tf.math.expm1, tf.sqrt, tf.math.is_nan, tf.math.is_inf]
KINDS += [tf.math.is_finite, tf.floor, tf.round, tf.tanh, tf.square, tf.math.rsqrt, tf.math.reciprocal, tf.atan]


@pytest.mark.parametrize("function", KINDS, ids=lambda f: f.__name__)
def test_numbers_of_every_kind(function):
    agree(lambda x: function(x), ODD)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
@pytest.mark.parametrize(
    "function", [tf.exp, tf.math.log1p, tf.sqrt, tf.math.is_inf, tf.math.is_finite, tf.sign, tf.floor]
)
def test_other_floats(function, dtype):
    def through(x):
        result = function(tf.cast(x, dtype))
        return result if result.dtype == tf.bool else tf.cast(result, tf.float32)

    agree(through, np.abs(X) + 0.25, rtol=2e-2 if dtype == "bfloat16" else 2e-3 if dtype == "float16" else 1e-5)


def test_small_numbers_lose_nothing():
    tiny = np.array([1e-8, -1e-8, 3e-5, -3e-5, 1e-3], np.float32)
    agree(lambda x: (tf.math.log1p(x), tf.math.expm1(x)), tiny, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_whole_numbers(dtype):
    x = np.array([-7, -1, 0, 1, 2, 7], dtype)
    agree(lambda x: (tf.abs(x), tf.negative(x), tf.sign(x), tf.square(x), tf.round(x)), x)


COMPLEX = [
    tf.negative,
    tf.math.conj,
    tf.square,
    tf.exp,
    tf.math.log,
    tf.sqrt,
    tf.sin,
    tf.cos,
    tf.sign,
    tf.math.reciprocal,
]


@pytest.mark.parametrize("function", COMPLEX, ids=lambda f: f.__name__)
def test_complex_numbers(function):
    def parts(x, y):
        z = function(tf.complex(x, y))
        return tf.math.real(z), tf.math.imag(z), tf.abs(z), tf.math.angle(z)

    agree(parts, Z.real.copy(), Z.imag.copy(), rtol=1e-4, atol=1e-5)


def test_complex_of_tensors_that_are_broadcast():
    agree(lambda x, y: tf.math.real(tf.raw_ops.Complex(real=x, imag=y)), X, X[0], free={0: [0]})


def test_angles_in_all_quarters():
    values = np.array([0.0, -0.0, 1.0, -1.0, 2.0, -3.0, np.inf, -np.inf, np.nan], np.float32)
    y, x = np.meshgrid(values, values)
    agree(lambda y, x: tf.atan2(y, x), y, x)
