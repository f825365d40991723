"""Convolutions over blocks of the batch are dilated ones; what only looks like one is computed as it stands."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from reading import agree

RNG = np.random.default_rng(3)
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}
KERNEL = RNG.normal(size=(3, 4, 5)).astype(np.float32)
PLANE = RNG.normal(size=(3, 2, 4, 5)).astype(np.float32)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def ops(hub) -> list[str]:
    return [node.op_type for node in hub.graph]


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("length", [9, 10, 11, 16])
@pytest.mark.parametrize("dilation", [2, 3, 4])
def test_over_time(padding: str, length: int, dilation: int) -> None:
    hub = agree(
        lambda x: tf.nn.conv1d(x, KERNEL, 1, padding, dilations=dilation),
        normal(2, length, 4),
        free={0: [0]},
        more=[[normal(1, length, 4)]],
        **TOLERANCE,
    )
    (conv,) = (node for node in hub.graph if node.op_type == "Conv")
    assert list(conv.attributes["dilations"].as_ints()) == [dilation]
    assert "Reshape" not in ops(hub)
    assert str(hub.graph.outputs[0].shape[0]) == "batch"


@pytest.mark.parametrize("rate", [(2, 2), (2, 3), (1, 4)])
@pytest.mark.parametrize("crops", [((0, 0), (0, 0)), ((1, 0), (0, 1))])
def test_blocks_of_images(rate: tuple[int, int], crops: tuple[tuple[int, int], tuple[int, int]]) -> None:
    """Cut by no more than was padded, the two paddings together make blocks of equal size."""
    height, width = 12, 12
    pads = [[1, (-height - 1) % rate[0]], [1, 1 + (-width - 2) % rate[1]]]

    def net(x):
        blocks = tf.space_to_batch(x, rate, pads)
        return tf.batch_to_space(tf.nn.conv2d(blocks, PLANE, 1, "VALID"), rate, crops)

    agree(net, normal(2, height, width, 4), free={0: [0]}, more=[[normal(3, height, width, 4)]], **TOLERANCE)


def test_depthwise() -> None:
    filters = normal(3, 3, 4, 2)

    def net(x):
        blocks = tf.space_to_batch(x, [2, 2], [[2, 2], [2, 2]])
        made = tf.nn.depthwise_conv2d(blocks, filters, [1, 1, 1, 1], "VALID")
        return tf.batch_to_space(made, [2, 2], [[0, 0], [0, 0]])

    hub = agree(net, normal(2, 8, 8, 4), free={0: [0]}, **TOLERANCE)
    (conv,) = (node for node in hub.graph if node.op_type == "Conv")
    assert list(conv.attributes["dilations"].as_ints()) == [2, 2]


@pytest.mark.parametrize("miss", ["same", "strided", "other blocks", "pooled", "cut more than was padded", "twice"])
def test_near_misses(miss: str) -> None:
    crops = [[0, 0], [0, 0]]
    back = [2, 2]
    if miss == "cut more than was padded":
        crops = [[1, 0], [0, 1]]
    if miss == "other blocks":
        back = [4, 1]

    def net(x):
        blocks = tf.space_to_batch(x, [2, 2], [[0, 0], [0, 0]])
        made = tf.nn.conv2d(blocks, PLANE, 2 if miss == "strided" else 1, "SAME" if miss == "same" else "VALID")
        if miss == "pooled":
            made = tf.nn.max_pool2d(made, 2, 1, "VALID")
        if miss == "twice":
            made = tf.nn.conv2d(made, NEXT, 1, "VALID")
        return tf.batch_to_space(made, back, crops)

    hub = agree(net, normal(2, 12, 12, 4), free={0: [0]}, **TOLERANCE)
    assert "Reshape" in ops(hub)


NEXT = normal(2, 2, 5, 3)
