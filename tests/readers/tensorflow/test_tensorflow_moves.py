"""Permutations, joining and parting, rolling and reversing: TensorFlow eagerly against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from reading import agree

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
EMPTY = np.zeros((0, 3, 4), np.float32)
ALL = {0: [0, 1, 2]}
RAW = tf.raw_ops
TYPES = [np.float32, np.int8, np.uint16, np.int64, bool, np.float16]


@pytest.mark.parametrize("perm", [[2, 0, 1], [0, 2, 1], [-1, 0, 1], [0, 1, 2]])
@pytest.mark.parametrize("dtype", TYPES)
def test_transpose(perm, dtype):
    agree(lambda x: RAW.Transpose(x=x, perm=perm), X.astype(dtype), free=ALL)


def test_transpose_without_a_permutation():
    agree(lambda x: tf.transpose(x), X, free=ALL, more=[[EMPTY]])
    agree(lambda x: tf.linalg.adjoint(x), X, free=ALL)
    agree(lambda x: RAW.ConjugateTranspose(x=x, perm=[1, 0, 2]), X)


def test_transpose_by_a_permutation_that_is_data():
    perms = [np.array(p, np.int32) for p in ([2, 0, 1], [0, 1, 2], [1, 0, 2])]
    agree(
        lambda x, p: tf.transpose(x, p), X, perms[0], free=ALL, more=[[X, p] for p in perms[1:]] + [[EMPTY, perms[0]]]
    )


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_invert_permutation(dtype):
    agree(tf.math.invert_permutation, np.array([2, 0, 3, 1], dtype), free={0: [0]})


@pytest.mark.parametrize("axis", [0, 1, 3, -1, -4])
def test_pack_and_unpack(axis):
    agree(lambda x, y: tf.stack([x, y, x], axis), X, X + 1, free=ALL)
    agree(lambda x: tf.stack([x], axis), X)
    if -3 <= axis < 3:
        agree(lambda x: tf.unstack(x, axis=axis), X, free={0: [a for a in range(3) if a != axis % 3]})


def test_sizes_that_are_unpacked_and_packed():
    def reshaped(x):
        batch, height, width = tf.unstack(tf.shape(x))
        return tf.reshape(x, tf.stack([batch, width * height]))

    hub = agree(reshaped, X, free={0: [0]}, more=[[EMPTY]])
    assert [node.op_type for node in hub.graph] == ["Reshape"]


@pytest.mark.parametrize("axis", [0, 2, -2])
@pytest.mark.parametrize("dtype", [np.float32, np.int16, bool, np.uint64])
def test_concat(axis, dtype):
    x = X.astype(dtype)
    agree(lambda x, y: tf.concat([x, y, x], axis), x, x, free={0: [0], 1: [0]}, more=[[x[:0], x[:0]]])
    agree(lambda x: RAW.Concat(concat_dim=axis % 3, values=[x, x]), x)
    agree(lambda x: tf.concat([x], axis), x)


def test_parallel_concat():
    agree(lambda x: RAW.ParallelConcat(values=[x, x + 1], shape=[2, 3, 4]), X[:1])


def test_offsets_of_concat():
    shapes = [np.array(s, np.int32) for s in ([2, 3, 4], [2, 1, 4], [2, 7, 4])]
    agree(lambda *s: RAW.ConcatOffset(concat_dim=1, shape=list(s)), *shapes)


@pytest.mark.parametrize("axis", [1, -2])
@pytest.mark.parametrize("dtype", [np.float32, np.int8, bool])
def test_split(axis, dtype):
    x = X.astype(dtype)
    agree(lambda x: tf.split(x, 3, axis), x, free={0: [0, 2]}, more=[[x[:0]]])
    agree(lambda x: tf.split(x, 1, axis), x, free=ALL)
    agree(lambda x: tf.split(x, 3, axis), x, free=ALL)


@pytest.mark.parametrize("sizes", [[1, 2], [2, -1], [-1, 3], [0, 3, 0], [3]])
def test_split_by_sizes(sizes):
    agree(lambda x: tf.split(x, sizes, 1), X, free={0: [0]})
    agree(lambda x: tf.split(x, sizes, 1), X, free=ALL)


def test_split_by_sizes_that_are_data():
    sizes = [np.array(s, np.int64) for s in ([1, 2, 1], [-1, 0, 2])]
    agree(lambda x, s: RAW.SplitV(value=x, size_splits=s, axis=-1, num_split=3), X, sizes[0], more=[[X, sizes[1]]])


@pytest.mark.parametrize(("shift", "axis"), [(1, 0), (-1, 2), (7, 1), ([1, -2], [0, 2]), ([1, 1], [1, 1]), (0, -1)])
def test_roll(shift, axis):
    agree(lambda x: tf.roll(x, shift, axis), X)
    agree(lambda x: tf.roll(x, shift, axis), X, free=ALL, more=[[EMPTY]])
    agree(
        lambda x, s: tf.roll(x, s, axis),
        X,
        np.array(shift, np.int32),
        free=ALL,
        more=[[EMPTY, np.array(shift, np.int32)]],
    )


@pytest.mark.parametrize("axes", [[0], [-1, 0], [], [0, 1, 2]])
@pytest.mark.parametrize("dtype", [np.float32, np.int8, bool])
def test_reverse(axes, dtype):
    agree(lambda x: tf.reverse(x, axes), X.astype(dtype), free=ALL, more=[[EMPTY.astype(dtype)]])
    agree(lambda x: RAW.Reverse(tensor=x, dims=[a in [b % 3 for b in axes] for a in range(3)]), X.astype(dtype))


@pytest.mark.parametrize(("seq", "batch"), [(1, 0), (0, 1), (2, 0), (1, 2)])
@pytest.mark.parametrize("dtype", [np.float32, np.int32, bool, np.int16])
def test_reverse_sequence(seq, batch, dtype):
    x = X.astype(dtype)
    lengths = np.arange(x.shape[batch], dtype=np.int64) % (x.shape[seq] + 1)
    agree(lambda x, n: RAW.ReverseSequence(input=x, seq_lengths=n, seq_dim=seq, batch_dim=batch), x, lengths)
    agree(lambda x, n: tf.reverse_sequence(x, n, seq, batch), x, lengths.astype(np.int32), free=ALL)


def test_text_is_moved_as_well():
    text = np.array([["a", "ü"], ["", "long text"]], object)
    agree(
        lambda x: (tf.transpose(x), tf.concat([x, x], 1), tf.reverse(x, [0]), tf.stack([x, x])), text, free={0: [0]}
    )
