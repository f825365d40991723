"""Weights in the bodies of choices: they stay the model's, under the source's names, and no layer is put there."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import isthmus

pytestmark = [pytest.mark.torch, pytest.mark.onnxruntime]
pytest.importorskip("torch")


def branch(last: str) -> onnx.GraphProto:
    nodes = [
        helper.make_node("Conv", ["x", "enc.conv.weight", "enc.conv.bias"], ["c"], name="/enc/conv/Conv"),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "enc.fc.weight"], ["m"], name="/enc/fc/MatMul"),
        helper.make_node("Dropout", ["m"], ["d"]),
        helper.make_node(last, ["d"], ["o"]),
    ]
    return helper.make_graph(nodes, "branch", [], [helper.make_tensor_value_info("o", TensorProto.FLOAT, ["n", 5])])


@pytest.fixture
def choice(tmp_path):
    """Both branches of an If apply the same convolution and the same matrix."""
    rng = np.random.default_rng(0)
    shapes = {"enc.conv.weight": (3, 4, 3, 3), "enc.conv.bias": (3,), "enc.fc.weight": (3, 5)}
    weights = [numpy_helper.from_array(rng.normal(size=s).astype(np.float32), n) for n, s in shapes.items()]
    zero = numpy_helper.from_array(np.float32(0), "zero")
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
        helper.make_node("Greater", ["s", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], then_branch=branch("Identity"), else_branch=branch("Neg")),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 6, 6])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5])
    graph = helper.make_graph(nodes, "choice", [x], [y], [*weights, zero])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, tmp_path / "choice.onnx")
    return tmp_path / "choice.onnx"


@pytest.mark.parametrize("name", ["net.py", "net.pt2"])
def test_layers_of_a_body_keep_their_weights_in_the_model(name, choice, tmp_path) -> None:
    conversion = isthmus.convert(choice, tmp_path / name, options=isthmus.Options(samples=4))
    assert conversion
    assert set(conversion.model.state_dict()) == {"enc.conv.weight", "enc.conv.bias", "enc.fc.weight"}
