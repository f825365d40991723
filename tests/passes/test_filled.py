"""Weights that a graph fills with one number: layers of their own that train, unless they would fill the memory."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

torch = pytest.importorskip("torch")

from isthmus.passes.base import run  # noqa: E402
from isthmus.passes.filled import FillWeights  # noqa: E402
from isthmus.readers.onnx import read_onnx  # noqa: E402
from isthmus.writers.torch.record import record  # noqa: E402

pytestmark = pytest.mark.torch

NET = """<ir_version: 10, opset_import: ["": 26]>
net (float[n, 64, 8, 8] x) => (float[n, 64, 8, 8] y)
<int64[4] shape = {{64, 64, {size}, {size}}}> {{
    first = ConstantOfShape <value = float[1] {{0.25}}> (shape)
    second = ConstantOfShape <value = float[1] {{0.25}}> (shape)
    c = Conv <pads = [1, 1, 1, 1]> (x, first)
    y = Conv <pads = [1, 1, 1, 1]> (c, second)
}}"""


def test_equal_fillings_are_two_weights_that_train() -> None:
    recorded = record(read_onnx(onnx.parser.parse_model(NET.format(size=3))))
    layers = [m for m in recorded.module.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(layers) == 2 and layers[0].weight is not layers[1].weight
    assert list(recorded.module.state_dict()) == ["first.weight", "second.weight"]
    x = torch.randn(1, 64, 8, 8)
    recorded.module(x).square().sum().backward()
    assert all(layer.weight.grad is not None and layer.weight.grad.any() for layer in layers)
    weight = torch.full((64, 64, 3, 3), 0.25)
    expected = torch.conv2d(torch.conv2d(x, weight, padding=1), weight, padding=1)
    np.testing.assert_allclose(recorded.module(x).detach().numpy(), expected.numpy(), rtol=1e-3, atol=1e-2)


def test_a_small_file_does_not_fill_the_memory() -> None:
    hub = run(read_onnx(onnx.parser.parse_model(NET.format(size=1 << 20))), [FillWeights()])
    assert [node.op_type for node in hub.graph].count("ConstantOfShape") == 2
