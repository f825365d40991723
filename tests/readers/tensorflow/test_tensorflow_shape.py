"""Shapes, fills, ranges and broadcasts: TensorFlow eagerly against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from reading import agree, hub_of

from isthmus.errors import Unsupported

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
EMPTY = np.zeros((0, 3, 4), np.float32)
FREE = {0: [0, 1]}
RAW = tf.raw_ops


@pytest.mark.parametrize("out_type", [tf.int32, tf.int64])
def test_shape_size_and_rank(out_type):
    def sizes(x):
        return (
            tf.shape(x, out_type=out_type),
            tf.size(x, out_type=out_type),
            tf.rank(x),
            RAW.ShapeN(input=[x, x[:, 0]], out_type=out_type),
        )

    agree(sizes, X, free=FREE, more=[[EMPTY]])


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.float16, np.float64, bool, np.uint64])
def test_size_of_any_type(dtype):
    agree(lambda x: (tf.size(x), tf.shape(x)), X.astype(dtype), free=FREE)


@pytest.mark.parametrize("target", [[-1], [6, -1], [3, 2, 4], [-1, 4], [1, 24, 1]])
def test_reshape(target):
    agree(lambda x: tf.reshape(x, target), X, free={0: [0]})


def test_reshape_of_nothing_and_to_nothing():
    agree(lambda x: tf.reshape(x, [-1, 12]), X, free={0: [0]}, more=[[EMPTY]])
    agree(lambda x: tf.reshape(x, [0, 7]), EMPTY)
    agree(lambda x: tf.reshape(x, [tf.shape(x)[0], 2, 6]), X, free={0: [0]}, more=[[EMPTY]])
    agree(lambda x: tf.reshape(x, [0, 5, tf.shape(x)[0]]), EMPTY, free={0: [0]})
    agree(lambda x: tf.reshape(x, []), X[0, 0, :1], free={0: [0]})


def test_reshape_to_a_shape_that_is_data():
    agree(lambda x, s: tf.reshape(x, s), X, np.array([4, -1], np.int32), more=[[X, np.array([2, 12], np.int32)]])


@pytest.mark.parametrize("axis", [0, 1, -1, 3, -4])
def test_expand_dims(axis):
    agree(lambda x: tf.expand_dims(x, axis), X, free=FREE)


def test_expand_dims_at_an_axis_that_is_data():
    agree(lambda x, a: tf.expand_dims(x, a), X, np.int32(-2), more=[[X, np.int32(0)]])


def test_squeeze():
    agree(lambda x: tf.squeeze(x[:, None, :, None], [1, -1]), X[..., 0], free={0: [0]})
    agree(lambda x: tf.squeeze(x), X[:, :1, None])
    agree(tf.squeeze, X)


def test_squeeze_of_whatever_is_1_needs_fixed_sizes():
    with pytest.raises(Unsupported, match="free"):
        hub_of(lambda x: tf.squeeze(x), X, free=FREE)


def test_ensured_shape_tells_a_rank():
    agree(lambda x: tf.ensure_shape(x, [None, 3, None]) + 1, X, free=FREE)


@pytest.mark.parametrize("x", [X, X.astype(np.int8), X > 3, np.float32(2), EMPTY[:, :1]])
def test_broadcast_to(x):
    shape = [5, *np.broadcast_shapes(x.shape, (1, 3, 4) if x.ndim else (2, 2))]
    agree(lambda x: tf.broadcast_to(x, shape), x)
    agree(lambda x, s: tf.broadcast_to(x, s), x, np.array(shape, np.int64))


@pytest.mark.parametrize(("s0", "s1"), [([2, 1, 3], [4, 1]), ([1], [5, 6]), ([], [3]), ([0, 1], [1, 7]), ([2], [2])])
def test_shapes_broadcast(s0, s1):
    for dtype in (np.int32, np.int64):
        a, b = np.array(s0, dtype), np.array(s1, dtype)
        agree(lambda a, b: RAW.BroadcastArgs(s0=a, s1=b), a, b, free={0: [0], 1: [0]})
        agree(lambda a, b: tuple(RAW.BroadcastGradientArgs(s0=a, s1=b)), a, b, free={0: [0], 1: [0]})


def test_gradients_of_shapes_that_are_1():
    for a, b in (([1, 1], [1, 1]), ([1, 3], [1, 1]), ([1, 1], [2, 1]), ([3, 1, 2], [1, 2]), ([2, 3], [2, 3])):
        agree(lambda a, b: tuple(RAW.BroadcastGradientArgs(s0=a, s1=b)), np.array(a, np.int32), np.array(b, np.int32))


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint8, bool, np.int16, object])
def test_tile(dtype):
    x = X.astype(np.int32).astype(str).astype(object) if dtype is object else X.astype(dtype)
    agree(lambda x: tf.tile(x, [2, 1, 3]), x, free=FREE)
    agree(lambda x, m: tf.tile(x, m), x, np.array([1, 0, 2], np.int32))


def test_tile_of_a_number():
    agree(lambda x: tf.tile(x, []), np.float32(3))


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8, bool, np.float16])
def test_filled(dtype):
    agree(lambda d, v: tf.fill(d, v), np.array([2, 0, 3], np.int32), dtype(1))
    agree(lambda d: tf.fill(d, dtype(1)), np.array([2, 3], np.int64))
    agree(lambda x: (tf.zeros_like(x), tf.ones_like(x)), X.astype(dtype), free=FREE)
    agree(lambda x: tf.zeros(tf.shape(x)[:2], dtype), X.astype(dtype), free=FREE)


def test_filled_with_text():
    agree(lambda x: (tf.zeros_like(x), tf.fill(tf.shape(x), "ab")), np.array(["a", "bc"], object), free={0: [0]})


WHOLE = [(0, 7, 2), (5, -4, -3), (3, 3, 1)]
PARTS = [(0.5, 3.1, 0.4), (2, 0, -0.3), (0, 0.6, 0.1)]


@pytest.mark.parametrize(
    ("dtype", "start", "limit", "delta"),
    [(dtype, *bounds) for dtype in (np.int32, np.int64) for bounds in WHOLE]
    + [(dtype, *bounds) for dtype in (np.float32, np.float64) for bounds in (*WHOLE, *PARTS)],
)
def test_range(dtype, start, limit, delta):
    numbers = [dtype(n) for n in (start, limit, delta)]
    agree(lambda a, b, d: RAW.Range(start=a, limit=b, delta=d), *numbers)


def test_a_range_of_float16_is_refused():
    with pytest.raises(Unsupported, match="how many numbers"):
        hub_of(lambda a, b, d: RAW.Range(start=a, limit=b, delta=d), *map(np.float16, (0, 1, 0.1)))


@pytest.mark.parametrize("num", [1, 2, 7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lin_space(num, dtype):
    agree(lambda a, b: RAW.LinSpace(start=a, stop=b, num=num), dtype(-1.3), dtype(4.7))
    agree(lambda a, b, n: RAW.LinSpace(start=a, stop=b, num=n), dtype(2), dtype(-1), np.int32(num))
    agree(lambda a, b: tf.linspace(a, b, num), dtype(-1.3), dtype(4.7))


def test_what_passes_its_input_on():
    def passing(x):
        tf.debugging.assert_greater(tf.reduce_max(x), -1.0)
        tf.print("x", x)
        x = tf.debugging.check_numerics(tf.stop_gradient(x), "not a number")
        x = tf.identity(RAW.PreventGradient(input=RAW.Snapshot(input=x)))
        return tf.compat.v1.placeholder_with_default(x, [None, 3, 4]), *tf.identity_n([x + 1, x + 2])

    hub = agree(passing, X, free={0: [0]})
    assert [note.topic for note in hub.notes] == ["checks", "inputs"]
