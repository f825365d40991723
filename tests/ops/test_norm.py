"""Normalizations by TensorFlow, attribute by attribute, against ONNX Runtime or the definition in float64."""

from __future__ import annotations

import numpy as np
import pytest
from matrix import FORMS, Form, Node, agrees

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

RNG = np.random.default_rng(2)


def _floats(*shape: int, dtype: str = "float32") -> np.ndarray:
    return RNG.standard_normal(shape).astype(dtype)


def _batch_norm(*shape: int, dtype: str = "float32", outputs: int = 1, **attributes) -> Node:
    channels = shape[1] if len(shape) > 1 else 1
    parameters = [_floats(channels, dtype=dtype) for _ in range(3)]
    operands = [_floats(*shape, dtype=dtype), *parameters, (RNG.random(channels) + 0.5).astype(dtype)]
    return Node("BatchNormalization", operands, attributes, outputs=outputs)


CASES = {
    "batch_2d": _batch_norm(4, 3),
    "batch_3d": _batch_norm(2, 3, 5, epsilon=0.01),
    "batch_4d": _batch_norm(2, 3, 5, 4),
    "batch_4d_small_epsilon": _batch_norm(2, 3, 5, 4, epsilon=1e-7),
    "batch_5d": _batch_norm(2, 3, 4, 3, 2),
    "batch_double": _batch_norm(2, 3, 5, 4, dtype="float64"),
    "batch_half": _batch_norm(2, 3, 5, 4, dtype="float16"),
    "batch_training": _batch_norm(2, 3, 5, 4, outputs=3, training_mode=1, momentum=0.7),
    "instance_3d": Node("InstanceNormalization", [_floats(2, 3, 7), _floats(3), _floats(3)], {}),
    "instance_4d": Node("InstanceNormalization", [_floats(2, 3, 7, 5), _floats(3), _floats(3)], {"epsilon": 0.1}),
    "instance_5d": Node("InstanceNormalization", [_floats(2, 3, 4, 5, 3), _floats(3), _floats(3)], {}),
    "layer": Node("LayerNormalization", [_floats(2, 3, 8), _floats(8), _floats(8)], {}),
    "layer_all_outputs": Node("LayerNormalization", [_floats(2, 3, 8), _floats(3, 8)], {"axis": 1}, outputs=3),
    "layer_double": Node("LayerNormalization", [_floats(2, 8, dtype="float64"), _floats(8, dtype="float64")], {}),
    "layer_epsilon": Node("LayerNormalization", [_floats(2, 3, 8), _floats(8)], {"epsilon": 0.1, "axis": -1}),
    "rms": Node("RMSNormalization", [_floats(2, 3, 8), _floats(8)], {}),
    "rms_axis": Node("RMSNormalization", [_floats(2, 3, 8), _floats(3, 8)], {"axis": 1, "epsilon": 0.01}),
    "lrn_odd": Node("LRN", [_floats(2, 9, 4, 5)], {"size": 3, "alpha": 0.2, "beta": 0.6, "bias": 1.5}),
    "lrn_wider_than_channels": Node("LRN", [_floats(2, 3, 4, 5)], {"size": 7, "alpha": 0.5}),
    "mvn": Node("MeanVarianceNormalization", [_floats(2, 3, 4, 5)], {}),
    "mvn_axes": Node("MeanVarianceNormalization", [_floats(2, 3, 4, 5)], {"axes": [2, 3]}),
    "lp_1": Node("LpNormalization", [_floats(3, 4, 5)], {"p": 1, "axis": 1}, opset=21),
    "lp_2": Node("LpNormalization", [_floats(3, 4, 5)], {"p": 2}, opset=21),
    "lp_zero": Node("LpNormalization", [np.zeros((2, 3), np.float32)], {"axis": -1}, opset=21),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", CASES)
def test_normalization(case: str, form: Form) -> None:
    half = case.endswith("half")
    agrees(CASES[case], form, rtol=2e-2 if half else 1e-4, atol=2e-2 if half else 1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", ((2, 6), (2, 6, 5), (2, 6, 4, 5), (1, 6, 2, 3, 4)))
def test_group_normalization(shape: tuple[int, ...], form: Form) -> None:
    """ONNX Runtime has none of opset 21: the definition in float64 is the reference."""
    x, scale, bias = _floats(*shape), _floats(6), _floats(6)
    grouped = x.astype(np.float64).reshape(shape[0], 3, -1)
    y = (grouped - grouped.mean(-1, keepdims=True)) / np.sqrt(grouped.var(-1, keepdims=True) + 1e-3)
    along = (1, 6, *[1] * (len(shape) - 2))
    golden = (y.reshape(shape) * scale.reshape(along) + bias.reshape(along)).astype(np.float32)
    node = Node("GroupNormalization", [x, scale, bias], {"num_groups": 3, "epsilon": 1e-3})
    agrees(node, form, rtol=1e-4, atol=1e-5, expected=[golden])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", (2, 4))
def test_even_lrn(size: int, form: Form) -> None:
    """An even window reaches further to the right (ONNX; ONNX Runtime takes odd sizes only)."""
    x = _floats(2, 5, 3, 3)
    squares = np.pad(x.astype(np.float64) ** 2, [(0, 0), ((size - 1) // 2, size // 2), (0, 0), (0, 0)])
    total = sum(squares[:, i : i + 5] for i in range(size))
    golden = (x / (1.0 + 0.3 / size * total) ** 0.75).astype(np.float32)
    agrees(Node("LRN", [x], {"size": size, "alpha": 0.3}), form, expected=[golden])
