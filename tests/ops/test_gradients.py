"""Gradients flow through the lowerings: compared with differences of the same function in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matrix import Node

pytestmark = pytest.mark.tensorflow

RNG = np.random.default_rng(7)


def _doubles(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


def _lstm(direction: str, directions: int) -> Node:
    operands = [_doubles(3, 2, 3), _doubles(directions, 16, 3), _doubles(directions, 16, 4), _doubles(directions, 32)]
    return Node("LSTM", operands, {"hidden_size": 4, "direction": direction})


CASES = {
    "conv": Node("Conv", [_doubles(1, 2, 5, 5), _doubles(3, 2, 3, 3)], {"pads": [1, 0, 1, 2], "strides": [2, 1]}),
    "conv_grouped": Node("Conv", [_doubles(1, 4, 5, 5), _doubles(6, 2, 3, 3)], {"group": 2, "pads": [1, 1, 1, 1]}),
    "conv_depthwise": Node("Conv", [_doubles(1, 3, 5, 5), _doubles(3, 1, 3, 3)], {"group": 3}),
    "conv_depthwise_uneven": Node(
        "Conv", [_doubles(1, 3, 5, 6), _doubles(3, 1, 3, 3)], {"group": 3, "strides": [1, 2]}
    ),
    "conv_3d": Node("Conv", [_doubles(1, 2, 3, 4, 3), _doubles(3, 2, 2, 2, 2)], {"pads": [1, 0, 0, 0, 0, 0]}),
    "conv_transpose": Node("ConvTranspose", [_doubles(1, 2, 3, 3), _doubles(2, 3, 3, 3)], {"strides": [2, 2]}),
    "conv_transpose_grouped": Node(
        "ConvTranspose", [_doubles(1, 4, 3, 3), _doubles(4, 2, 3, 3)], {"group": 2, "pads": [1, 1, 1, 1]}
    ),
    "max_pool": Node("MaxPool", [_doubles(1, 2, 6, 6)], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    "average_pool": Node(
        "AveragePool", [_doubles(1, 2, 6, 6)], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}
    ),
    "layer_norm": Node("LayerNormalization", [_doubles(2, 3, 5), _doubles(5), _doubles(5)]),
    "group_norm": Node("GroupNormalization", [_doubles(2, 4, 3), _doubles(4), _doubles(4)], {"num_groups": 2}),
    "batch_norm": Node(
        "BatchNormalization", [_doubles(2, 3, 4), _doubles(3), _doubles(3), _doubles(3), RNG.random(3) + 0.5]
    ),
    "resize": Node("Resize", [_doubles(1, 2, 4, 4), None, np.array([1, 1, 1.5, 2], np.float32)], {"mode": "cubic"}),
    "grid_sample": Node("GridSample", [_doubles(1, 2, 4, 5), RNG.uniform(-1, 1, (1, 3, 3, 2))]),
    "lstm": _lstm("forward", 1),
    "lstm_bidirectional": _lstm("bidirectional", 2),
}


@pytest.mark.parametrize("case", CASES)
def test_gradients(case: str) -> None:
    """The derivative along a random direction of all floating operands."""
    import tensorflow as tf

    from isthmus.readers.onnx import read_onnx
    from isthmus.types import Options
    from isthmus.writers.tensorflow.record import record

    node = CASES[case]
    arrays = node.arrays()
    module = record(read_onnx(node.model("plain"), options=Options(verify=False)))
    call = module.signatures["serving_default"]
    moved = {name: a for name, a in arrays.items() if a.dtype == np.float64}
    weights: dict[str, Any] = {}

    def total(feeds: dict[str, Any]) -> Any:
        y = call(**feeds)["y0"]
        weights.setdefault("w", tf.constant(RNG.standard_normal(y.shape)))
        return tf.reduce_sum(tf.cast(y, tf.float64) * weights["w"])

    feeds = {name: tf.constant(a) for name, a in arrays.items()}
    with tf.GradientTape() as tape:
        tape.watch([feeds[name] for name in moved])
        value = total(feeds)
    gradients = tape.gradient(value, {name: feeds[name] for name in moved})
    assert all(gradient is not None for gradient in gradients.values())
    directions = {name: RNG.standard_normal(a.shape) for name, a in moved.items()}
    slope = sum(float(tf.reduce_sum(gradients[name] * d)) for name, d in directions.items())
    step = 1e-6
    ahead, behind = (
        total({**feeds, **{name: tf.constant(moved[name] + s * d) for name, d in directions.items()}})
        for s in (step, -step)
    )
    assert slope == pytest.approx(float(ahead - behind) / (2 * step), rel=1e-4, abs=1e-5)
