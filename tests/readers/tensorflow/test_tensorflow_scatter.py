"""Gathering, scattering, segments: TensorFlow eagerly against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from reading import agree, hub_of

from isthmus.errors import Unsupported

RNG = np.random.default_rng(7)
X = np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5)
ALL = {0: [0, 1, 2, 3]}
RAW = tf.raw_ops
TYPES = [np.float32, np.float64, np.int32, np.int64, np.int8, np.uint8, np.int16, np.uint16, np.float16]


@pytest.mark.parametrize("axis", [0, 1, -1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.uint16, bool])
@pytest.mark.parametrize("places", [1, [0, 1, 1], [[0], [1]], np.zeros((0, 2), np.int64)], ids=str)
def test_gather(axis, dtype, places):
    agree(
        lambda x: tf.gather(x, places if np.size(places) else np.asarray(places), axis=axis),
        X.astype(dtype),
        free=ALL,
    )
    agree(lambda x, i: tf.gather(x, i, axis=axis), X.astype(dtype), np.asarray(places, np.int32), free=ALL)


def test_gather_of_rows():
    agree(lambda x, i: RAW.Gather(params=x, indices=i), X, np.array([[1, 0]]), free={1: [0, 1]})


@pytest.mark.parametrize(("axis", "batch"), [(1, 1), (2, 1), (3, 1), (2, 2), (3, 2), (-1, -1)])
def test_gather_in_batches(axis, batch):
    for tail in ((2,), (2, 2), ()):
        lead = (2, 3)[: (batch if batch > 0 else 2 if len(tail) < 2 else 3)]
        shape = lead + tail
        if batch < 0 and len(shape) + batch > 2:
            continue
        places = RNG.integers(0, 3, shape).astype(np.int32)
        agree(lambda x, i: tf.gather(x, i, axis=axis, batch_dims=batch), X, places, free={0: [0, 1, 2, 3], 1: [0]})


@pytest.mark.parametrize("depth", [0, 1, 2, 4])
@pytest.mark.parametrize("dtype", [np.float32, np.int16, bool])
def test_gather_nd(depth, dtype):
    places = RNG.integers(0, 2, (2, 3, depth))
    agree(lambda x, i: tf.gather_nd(x, i), X.astype(dtype), places, free={0: [0, 1], 1: [0, 1]})


@pytest.mark.parametrize("batch", [1, 2])
def test_gather_nd_in_batches(batch):
    places = RNG.integers(0, 2, (2, 3, 2)).astype(np.int32)
    agree(lambda x, i: tf.gather_nd(x, i, batch_dims=batch), X, places)


def test_gather_from_a_variable():
    table = tf.Variable(X)

    def rows(i):
        return (
            tf.gather(table, i),
            tf.nn.embedding_lookup(table, i),
            table.sparse_read(i),
            table.gather_nd(i[:, None]),
            tf.shape(table),
            RAW.VariableShape(input=table.handle),
        )

    agree(rows, np.array([1, 0, 1], np.int32), free={0: [0]})


def test_text_is_gathered():
    agree(
        lambda x, i: (tf.gather(x, i), tf.gather_nd(x, i[:, None])),
        np.array(["a", "bb"], object),
        np.array([1, 0, 1]),
    )


@pytest.mark.parametrize("dtype", TYPES)
def test_scatter_nd_adds_what_repeats(dtype):
    places = np.array([[1], [3], [1], [1]], np.int32)
    updates = (np.arange(8).reshape(4, 2) * 40).astype(dtype)
    agree(lambda i, u: tf.scatter_nd(i, u, [5, 2]), places, updates, free={0: [0], 1: [0]})
    agree(lambda i, u, s: tf.scatter_nd(i, u, s), places, updates, np.array([4, 2], np.int32))


def test_scatter_nd_of_nothing():
    agree(lambda i, u: tf.scatter_nd(i, u, [5]), np.zeros((0, 1), np.int64), np.zeros((0,), np.float32))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", ["Add", "Sub", "Min", "Max", "Update"])
def test_tensor_scatter(dtype, name):
    places = np.array([[0, 2], [1, 1], [0, 2], [1, 0]], np.int64)
    updates = np.array([100, 3, 50, 200]).astype(dtype)
    x = np.arange(6).reshape(2, 3).astype(dtype)
    places = places if name != "Update" else places[1:]
    function = getattr(RAW, f"TensorScatter{name}")
    agree(lambda x, i, u: function(tensor=x, indices=i, updates=u), x, places, updates[-len(places) :], free={0: [0]})


def test_tensor_scatter_of_slices_and_grids():
    places = np.array([[[1], [0]], [[1], [1]]], np.int32)
    updates = RNG.standard_normal((2, 2, 3, 4, 5)).astype(np.float32)
    agree(tf.tensor_scatter_nd_add, X, places, updates, free={0: [1]})
    agree(lambda x, i, u: RAW.ScatterNdNonAliasingAdd(input=x, indices=i, updates=u), X, places, updates)


def test_scattering_whole_tensors_is_refused():
    with pytest.raises(Unsupported, match="no entries"):
        hub_of(lambda i, u: tf.scatter_nd(i, u, [3]), np.zeros((2, 0), np.int32), np.zeros((2, 3), np.float32))


@pytest.mark.parametrize("op", [RAW.DynamicStitch, RAW.ParallelDynamicStitch])
@pytest.mark.parametrize("dtype", [np.float32, np.int32, bool])
def test_dynamic_stitch(op, dtype):
    places = [np.array(6, np.int32), np.array([4, 1], np.int32), np.array([[5, 2], [0, 3]], np.int32)]
    data = [RNG.integers(0, 9, (*i.shape, 2)).astype(dtype) for i in places]
    agree(lambda a, b, c, x, y, z: op(indices=[a, b, c], data=[x, y, z]), *places, *data, free={1: [0], 4: [0]})


def test_of_rows_stitched_to_one_place_the_last_one_counts():
    places = np.array([0, 1, 1, 0, 2, 1], np.int32)
    data = np.arange(12, dtype=np.float32).reshape(6, 2)
    agree(lambda i, x: tf.dynamic_stitch([i, i[:2]], [x, -x[:2]]), places, data, free={0: [0], 1: [0]})


def test_dynamic_partition():
    data = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    agree(lambda x, p: tf.dynamic_partition(x, p, 3), data, np.array([1, 0, 1], np.int32), free={0: [0], 1: [0]})
    agree(lambda x, p: tf.dynamic_partition(x, p, 2), data, np.array([[1, 0], [1, 1], [0, 0]], np.int32))


SORTED = np.array([0, 0, 2, 2, 2, 5], np.int32)


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "prod"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64, np.uint8, np.float16])
def test_segments(name, dtype):
    data = RNG.integers(0, 4, (6, 3)).astype(dtype)
    data = -data if np.issubdtype(dtype, np.signedinteger) else data
    function = getattr(tf.math, f"segment_{name}")
    agree(function, data, SORTED, free={0: [0], 1: [0]})
    agree(function, data[:, 0], SORTED.astype(np.int64))
    agree(function, data[:0], SORTED[:0], free={0: [0], 1: [0]})


def test_extremes_of_segments_may_be_infinite():
    data = np.array([-np.inf, -np.inf, 1, np.inf, 2, 3], np.float32)
    for function in (tf.math.segment_max, tf.math.segment_min):
        agree(function, data, SORTED)
    agree(lambda x, i: (tf.math.unsorted_segment_max(x, i, 7), tf.math.unsorted_segment_min(x, i, 7)), data, SORTED)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, dtype) for name in ("sum", "mean", "max", "min", "prod", "sqrt_n") for dtype in (np.float32, np.float64)]
    + [(n, d) for n in ("sum", "max", "min", "prod") for d in (np.int32, np.int64, np.uint8, np.int16)],
)
def test_unsorted_segments(name, dtype):
    data = RNG.integers(0, 4, (6, 3)).astype(dtype)
    ids = np.array([4, 0, -1, 4, 2, -1], np.int32)
    function = getattr(tf.math, f"unsorted_segment_{name}")
    agree(lambda x, i: function(x, i, 6), data, ids, free={0: [0], 1: [0]})
    if name not in ("mean", "sqrt_n"):
        agree(lambda x, i, n: function(x, i, n), data, ids.astype(np.int64), np.int32(5))
        agree(lambda x: function(x, [[0, 1, 1]] * 6, 3), data, free={0: []})


@pytest.mark.parametrize("name", ["sum", "mean", "sqrt_n"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sparse_segments(name, dtype):
    data = RNG.standard_normal((4, 3)).astype(dtype)
    picked, ids = np.array([3, 1, 1, 0], np.int32), np.array([0, 0, 2, 3], np.int32)
    function = getattr(tf.sparse, f"segment_{name}")
    agree(lambda x, p, i: function(x, p, i), data, picked, ids, free={1: [0], 2: [0]})
    agree(lambda x, p, i: function(x, p, i, num_segments=6), data, picked, ids)


def test_sparse_tensors():
    places = np.array([[0, 3], [1, 0], [1, 2]], np.int64)
    values = np.array([1, 2, 3], np.float32)

    def forms(i, v, b):
        sparse = tf.sparse.SparseTensor(i, v, [2, 4])
        again = tf.sparse.reshape(sparse, [4, -1])
        return (
            tf.sparse.to_dense(sparse),
            tf.sparse.sparse_dense_matmul(sparse, b),
            tf.sparse.sparse_dense_matmul(sparse, b, adjoint_a=False, adjoint_b=True)
            if b.shape[0] == b.shape[1]
            else tf.sparse.sparse_dense_matmul(sparse, tf.transpose(b), adjoint_b=True),
            tf.sparse.sparse_dense_matmul(sparse, b[:2], adjoint_a=True),
            tf.sparse.to_dense(again, default_value=-1),
            again.indices,
            tf.sparse.reorder(tf.sparse.SparseTensor(i[::-1], v[::-1], [2, 4])).values,
        )

    agree(forms, places, values, RNG.standard_normal((4, 3)).astype(np.float32), free={0: [0], 1: [0]})
    agree(lambda i, v: RAW.SparseToDense(sparse_indices=i, output_shape=[5], sparse_values=v, default_value=-1.0),
          np.array([0, 3]), np.array([1, 2], np.float32))  # fmt: skip
