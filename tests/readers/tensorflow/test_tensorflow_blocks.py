"""Padding, blocks of images and patches."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from reading import agree

X = np.arange(2 * 8 * 12 * 4, dtype=np.float32).reshape(2, 8, 12, 4)
FREE = {0: [0, 1, 2]}
MORE = [[X[:1, :4, :6]]]
EDGES = [[0, 0], [1, 2], [0, 3], [1, 0]]


def test_pad():
    agree(lambda x: tf.pad(x, EDGES), X, free=FREE, more=MORE)
    agree(lambda x: tf.pad(x, EDGES, constant_values=-1.5), X, free=FREE, more=MORE)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.bool_, np.float16, np.float64])
def test_pad_of_every_type(dtype):
    agree(lambda x: tf.pad(x, [[1, 0], [2, 1]]), np.ones((2, 3), dtype))


def test_pad_by_operands():
    agree(lambda x, p: tf.pad(x, p), X[0, 0], np.array([[1, 2], [0, 3]], np.int32))
    agree(lambda x, p, v: tf.pad(x, p, constant_values=v), X[0, 0], np.array([[1, 2], [0, 3]]), np.float32(7))


@pytest.mark.parametrize("mode", ["REFLECT", "SYMMETRIC"])
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_mirror(mode, dtype):
    edges = [[0, 0], [2, 1], [0, 3], [1, 0]]
    agree(lambda x: tf.pad(x, edges, mode), X.astype(dtype), free=FREE, more=[[X[:1, :4, :6].astype(dtype)]])


@pytest.mark.parametrize("mode", ["REFLECT", "SYMMETRIC"])
def test_mirror_by_operands(mode):
    for edges in ([[2, 1], [0, 3]], [[0, 0], [0, 0]], [[0, 2], [3, 0]]):
        agree(lambda x, p: tf.pad(x, p, mode), X[0, 0], np.array(edges, np.int32))


@pytest.mark.parametrize("size", [2, 4])
def test_depth_and_space(size):
    agree(lambda x: tf.nn.space_to_depth(x, size), X, free=FREE, more=[[X[:1, :, :4]]])
    agree(lambda x: tf.nn.depth_to_space(x, 2), X, free=FREE, more=MORE)


@pytest.mark.parametrize("pads", [[[0, 0], [0, 0]], [[0, 0], [1, 2]], [[2, 0], [3, 0]]])
def test_space_to_batch(pads):
    agree(lambda x: tf.space_to_batch(x, [2, 3], pads), X, free=FREE, more=[[X[:1, :4, :9]]])


@pytest.mark.parametrize("crops", [[[0, 0], [0, 0]], [[1, 0], [0, 2]], [[0, 1], [1, 1]]])
def test_batch_to_space(crops):
    x = np.arange(12 * 3 * 4 * 2, dtype=np.float32).reshape(12, 3, 4, 2)
    agree(lambda x: tf.batch_to_space(x, [2, 3], crops), x, free=FREE, more=[[x[:6, :2]]])


def test_blocks_of_one_axis_and_more_axes():
    agree(lambda x: tf.space_to_batch(x, [2], [[1, 1]]), X[0], free={0: [0, 1]})
    agree(lambda x: tf.space_to_batch(x, [2, 2], [[0, 0], [0, 0]]), X[..., None], free={0: [0]})
    agree(lambda x: tf.batch_to_space(x, [2], [[1, 0]]), X[:, 0], free={0: [0, 1]})


def test_blocks_by_operands():
    agree(lambda x, p: tf.space_to_batch(x, [2, 3], p), X, np.array([[1, 1], [0, 0]], np.int32))
    x = np.arange(12 * 3 * 4 * 2, dtype=np.float32).reshape(12, 3, 4, 2)
    agree(lambda x, p: tf.batch_to_space(x, [2, 3], p), x, np.array([[1, 0], [2, 1]], np.int32))


def test_blocks_as_they_were():
    agree(lambda x: tf.raw_ops.SpaceToBatch(input=x, paddings=[[1, 1], [0, 2]], block_size=2), X, free=FREE)
    x = X.reshape(8, 4, 6, 4)
    agree(lambda x: tf.raw_ops.BatchToSpace(input=x, crops=[[1, 0], [0, 1]], block_size=2), x, free=FREE)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("size,stride,rate", [(3, 1, 1), (2, 2, 1), (3, 2, 2), (1, 3, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_patches(padding, size, stride, rate, dtype):
    def function(x):
        return tf.image.extract_patches(x, [1, size, size, 1], [1, stride, stride, 1], [1, rate, rate, 1], padding)

    agree(function, X.astype(dtype), free=FREE, more=[[X[:1, :7, :9].astype(dtype)]])


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_patches_of_volumes(padding):
    agree(lambda x: tf.extract_volume_patches(x, [1, 2, 3, 2, 1], [1, 2, 1, 2, 1], padding), X[..., None])
