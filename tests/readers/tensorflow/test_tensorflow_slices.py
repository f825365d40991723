"""Slices with every mask: TensorFlow eagerly against ONNX Runtime."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from reading import agree

X = np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5)
ALL = {0: [0, 1, 2, 3]}
RAW = tf.raw_ops


@pytest.mark.parametrize("dtype", [np.float32, np.int16, bool])
@pytest.mark.parametrize("size", [[1, 2, -1, 3], [-1, -1, -1, -1], [0, 1, 2, 2]])
def test_slice(size, dtype):
    begin, x = [1, 0, 2, 1], X.astype(dtype)
    agree(lambda x: tf.slice(x, begin, size), x, free=ALL)
    agree(lambda x, b: tf.slice(x, b, size), x, np.array(begin, np.int32), free=ALL)
    agree(lambda x, b, s: tf.slice(x, b, s), x, np.array(begin), np.array(size), free=ALL)


def test_slice_of_a_number():
    agree(lambda x: RAW.Slice(input=x, begin=np.zeros(0, np.int32), size=np.zeros(0, np.int32)), np.float32(2))


NEW = tf.newaxis
CUTS = [
    np.s_[1],
    np.s_[-1, 1:],
    np.s_[..., -1],
    np.s_[:, NEW, 1:3],
    np.s_[..., NEW],
    np.s_[NEW, ..., 2, NEW, :],
    np.s_[::-1],
    np.s_[:, ::-1, 3:0:-2],
    np.s_[:, -2:, -1::-1, -4:-1:2],
    np.s_[0, ..., ::2, 1],
    np.s_[:, 5:],
    np.s_[:, -9:9],
    np.s_[:, :, 1:1],
    np.s_[:, :, -1:0:-1],
    np.s_[:, 2::-1],
    np.s_[...],
    np.s_[1, 2, 3, 4],
    np.s_[:, 1, NEW, :, 0],
]


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_strided_slice(cut):
    agree(lambda x: x[cut], X)
    agree(lambda x: x[cut], X, free=ALL)


@pytest.mark.parametrize(("begin", "end", "stride"), [*itertools.product([-2, 0, 2], [-3, 1, 5], [1, 2, -1, -2])])
def test_bounds_that_are_data(begin, end, stride):
    b, e, s = (np.array([n], np.int32) for n in (begin, end, stride))
    x = np.arange(4, dtype=np.int32)
    agree(
        lambda x, b, e, s: (
            RAW.StridedSlice(input=x, begin=b, end=e, strides=s),
            RAW.StridedSlice(input=x, begin=b, end=e, strides=s, begin_mask=1),
            RAW.StridedSlice(input=x, begin=b, end=e, strides=s, end_mask=1),
            RAW.StridedSlice(input=x, begin=b, end=e, strides=[stride]),
            RAW.StridedSlice(input=x, begin=b, end=[3], strides=[1], shrink_axis_mask=1),
        ),
        x, b, e, s, free={0: [0]},
    )  # fmt: skip


def test_bounds_of_python():
    agree(lambda x, i, j: (x[i], x[:, i:j], x[..., :j, NEW], x[:, i, j:]), X, np.int32(1), np.int32(-1), free=ALL)


@pytest.mark.parametrize("bits", range(16))
def test_masks(bits):
    masks = {
        "begin_mask": bits & 5,
        "end_mask": bits >> 1 & 5,
        "shrink_axis_mask": bits & 2,
        "new_axis_mask": bits & 8,
    }
    agree(
        lambda x: RAW.StridedSlice(input=x, begin=[1, 1, 3, 1], end=[2, 3, 0, 3], strides=[1, 1, -2, 1], **masks),
        X, free=ALL,
    )  # fmt: skip


def test_what_masks_hide():
    # A new axis hides that it would shrink, an ellipsis that it would be new.
    agree(
        lambda x: RAW.StridedSlice(
            input=x, begin=[0, 1], end=[1, 2], strides=[1, 1], new_axis_mask=1, shrink_axis_mask=3
        ),
        X,
    )
    agree(
        lambda x: RAW.StridedSlice(
            input=x, begin=[9, 1], end=[9, 3], strides=[1, 1], ellipsis_mask=1, new_axis_mask=1
        ),
        X,
    )


@pytest.mark.parametrize("cut", [np.s_[1], np.s_[..., 1:3], np.s_[:, ::-1, ::2], np.s_[:, 1, NEW]], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool])
def test_update_of_a_slice(cut, dtype):
    x = X.astype(dtype)
    value = np.zeros_like(x[cut])
    agree(lambda x, v: _updated(x, cut, v), x, value, free=ALL)


def _updated(x, cut, value):
    """``x[cut] = value``, with the masks that TensorFlow makes of ``cut``."""
    with tf.init_scope():
        graph = tf.Graph()
    with graph.as_default():
        node = tf.compat.v1.placeholder(tf.float32, [2, 3, 4, 5])[cut].op
        bounds = {name: tf.get_static_value(node.inputs[i]) for i, name in enumerate(("begin", "end", "strides"), 1)}
        masks = {
            name: node.get_attr(name)
            for name in ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
        }
    return RAW.TensorStridedSliceUpdate(input=x, value=value, **bounds, **masks)


def test_gradient_of_a_slice():
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(x[:, ::-2, 1] * 2)
        return tape.gradient(total, x)

    agree(gradient, X)
    agree(gradient, X, free={0: [0]})


def test_slices_of_shapes_need_no_arithmetic():
    hub = agree(lambda x: tf.reshape(x, tf.concat([tf.shape(x)[:2], [20]], 0)), X, free={0: [0]})
    assert [node.op_type for node in hub.graph] == ["Reshape"]
