"""Comparisons, choices, bits and types."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from reading import agree, hub_of

from isthmus.errors import Unsupported

X = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)
ODD = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0], np.float32)
INTS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
raw = tf.raw_ops


def whole(dtype: str, size: int = 30) -> np.ndarray:
    info = np.iinfo(dtype)
    return np.random.default_rng(0).integers(info.min, info.max, size, dtype=dtype, endpoint=True)


@pytest.mark.parametrize(
    "function",
    [tf.less, tf.less_equal, tf.greater, tf.greater_equal, tf.equal, tf.not_equal],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("dtype", ["float32", "float64", *INTS])
def test_comparisons(function, dtype):
    x = np.arange(12).astype(dtype)
    agree(lambda x, y: function(x, y), x.reshape(3, 4), x[4:8], free={0: [0]})
    if dtype == "float32":
        agree(lambda x, y: function(x, y), *np.meshgrid(ODD, ODD))


def test_equality_of_everything():
    texts = np.array(["a", "b", "a"], object)
    flags = np.array([True, False, True])
    agree(lambda x, y: (x == y, x != y), texts, texts[::-1].copy())
    agree(lambda x, y: (tf.equal(x, y), tf.not_equal(x, y)), flags, flags[::-1].copy())
    agree(lambda x, y: tf.equal(tf.complex(x, y), tf.complex(y, x)), X, np.abs(X))
    agree(lambda x, y: raw.ApproximateEqual(x=x, y=y, tolerance=0.3), X, X + 0.25)


def test_shapes_that_do_not_match_are_not_equal():
    def function(x, y):
        same = raw.Equal(x=x, y=y, incompatible_shape_error=False)
        return same, raw.NotEqual(x=x, y=y, incompatible_shape_error=False)

    agree(function, X, X[:2])


@pytest.mark.parametrize("dtype", ["bool", "float16", "float64", *INTS])
def test_choices(dtype):
    x, y = X.astype(dtype), X[::-1].astype(dtype)
    agree(lambda c, x, y: tf.where(c, x, y), X > 0, x, y, free={1: [0], 2: [0], 0: [0]})
    agree(lambda c, x, y: tf.where(c, x, y), X[0] > 0, x, y[:1])


def test_choices_of_rows_and_wholes():
    rows = np.array([True, False, True])
    agree(lambda c, x, y: raw.Select(condition=c, x=x, y=y), rows, X, -X)
    agree(lambda c, x, y: raw.Select(condition=c, x=x, y=y), np.array(True), X, -X)
    agree(lambda c, x, y: tf.math.real(tf.where(c, tf.complex(x, y), tf.complex(y, x))), X > 0, X, -X)
    agree(lambda c, x, y: tf.where(c, x, y), rows, np.array(["a", "b", "c"], object), np.array(["d"] * 3, object))


@pytest.mark.parametrize("dtype", ["float32", "int32", "int64", "uint8", "int16", "float64"])
def test_clipping(dtype):
    x = (X * 10 + 40).astype(dtype)
    low, high = np.asarray(20, dtype), np.asarray(50, dtype)
    agree(lambda x: tf.clip_by_value(x, low, high), x)
    agree(lambda x, low, high: raw.ClipByValue(t=x, clip_value_min=low, clip_value_max=high), x, low, high)


@pytest.mark.parametrize("dtype", INTS)
def test_bits(dtype):
    x, y = whole(dtype), whole(dtype)[::-1].copy()

    def function(x, y):
        bits = tf.bitwise
        found = [bits.bitwise_and(x, y), bits.bitwise_or(x, y), bits.bitwise_xor(x, y), bits.invert(x)]
        return [*found, raw.PopulationCount(x=x)]

    agree(function, x, y)


@pytest.mark.parametrize("dtype", INTS)
def test_shifts(dtype):
    x = whole(dtype)
    steps = (np.arange(30) % (np.iinfo(dtype).bits)).astype(dtype)
    agree(lambda x, y: (tf.bitwise.left_shift(x, y), tf.bitwise.right_shift(x, y)), x, steps)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
def test_buckets(dtype):
    x = np.array([-5, 0, 1, 2, 3, 10, 11, 100], dtype)
    agree(lambda x: raw.Bucketize(input=x, boundaries=[0.0, 2.0, 10.0]), x)
    agree(lambda x: raw.Bucketize(input=x, boundaries=[]), x)
    if dtype.startswith("float"):
        agree(lambda x: raw.Bucketize(input=x, boundaries=[0.1, 2.0]), np.array([np.nan, 0.1, np.inf], dtype))


TYPES = ["bool", "float16", "float32", "float64", *INTS]


@pytest.mark.parametrize("source", TYPES)
def test_casts(source):
    x = np.array([0, 1, 2, 3, 100, 1, 0, 27]).astype(source)
    agree(lambda x: [tf.cast(x, target) for target in TYPES], x)


@pytest.mark.parametrize("target", ["int8", "int16", "uint8", "int32", "int64", "bool"])
def test_casts_cut_off_fractions_and_wrap(target):
    x = np.array([-0.5, 0.5, 1.5, 2.7, 100.9], np.float32)
    agree(lambda x: tf.cast(x, target), x if target == "uint8" else np.append(x, np.float32(-2.7)))
    agree(lambda x: tf.cast(x, target), np.array([-300, 300, 70000, -1, 255], np.int32))


def test_casts_that_saturate():
    agree(lambda x: tf.saturate_cast(x, tf.uint8), np.array([-300.0, 300.0, 12.5, 254.9], np.float32))
    agree(lambda x: tf.saturate_cast(x, tf.int8), np.array([-300, 300, 12, 127], np.int32))


def test_casts_of_complex_numbers():
    agree(lambda x, y: tf.cast(tf.complex(x, y), tf.float64), X, X + 1)
    agree(lambda x: tf.abs(tf.cast(x, tf.complex64)), X)


def test_a_cast_that_cuts_off_bits_is_refused():
    with pytest.raises(Unsupported, match="cuts off"):
        hub_of(lambda x: tf.cast(raw.Cast(x=x, DstT=tf.bfloat16, Truncate=True), tf.float32), X)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        *(("float32", "int32"), ("int32", "float32"), ("int64", "float64"), ("uint8", "int8"), ("float16", "uint16")),
        *(("float32", "uint8"), ("int64", "int32"), ("int32", "int16"), ("float64", "uint16")),
        *(("uint8", "float32"), ("int16", "int64"), ("int32", "int64"), ("int8", "uint32")),
    ],
)
def test_bits_as_another_type(source, target):
    x = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32).view(np.uint8)
    ratio = np.dtype(target).itemsize // np.dtype(source).itemsize
    x = np.frombuffer(x.tobytes(), source).reshape(-1, max(ratio, 1))
    agree(lambda x: tf.bitcast(x, target), np.nan_to_num(x) if x.dtype.kind == "f" else x)
