"""Weights whose names an exporter lost stand where their nodes' scopes say, or stay where they are."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from isthmus.hub.model import Hub
from isthmus.hub.state import PLACE
from isthmus.passes.linear import FuseLinear
from isthmus.passes.places import PlaceWeights
from isthmus.readers.onnx import read_onnx


def product(*, node: str, weight: str = "onnx::MatMul_12", bias: str = "", other: str = "") -> Hub:
    """``x @ weight (+ bias)``, and another initializer that is read as well."""
    nodes = [helper.make_node("MatMul", ["x", weight], ["p"], name=node)]
    nodes.append(helper.make_node("Add", ["p", bias], ["q"]) if bias else helper.make_node("Relu", ["p"], ["q"]))
    nodes.append(helper.make_node("Add", ["q", other], ["y"]) if other else helper.make_node("Neg", ["q"], ["y"]))
    arrays = {weight: np.ones((3, 2)), bias: np.arange(2), other: np.arange(2) + 5}
    tensors = [onnx.numpy_helper.from_array(a.astype(np.float32), n) for n, a in arrays.items() if n]
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", s]) for n, s in (("x", 3), ("y", 2))]
    graph = helper.make_graph(nodes, "g", info[:1], info[1:], tensors)
    hub = read_onnx(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10))
    return FuseLinear().call(hub).hub


def places(hub: Hub) -> dict[str, str]:
    held = hub.graph.initializers.items()
    return {str(name): value.metadata_props[PLACE] for name, value in held if PLACE in value.metadata_props}


@pytest.mark.parametrize(
    ("node", "bias", "expected"),
    [
        ("/layer.0/attention/self/query/MatMul", "", "layer.0.attention.self.query.weight"),
        ("/features/features.0/features.0.1/MatMul", "", "features.0.1.weight"),
        ("/stem/down/down.1/MatMul", "", "stem.down.1.weight"),
        ("/somewhere/MatMul", "head.fc.bias", "head.fc.weight"),
    ],
)
def test_a_lost_key_is_read_from_the_scope_or_the_bias(node: str, bias: str, expected: str) -> None:
    result = PlaceWeights().call(product(node=node, bias=bias))
    assert result.modified and places(result.hub) == {"onnx::MatMul_12": expected}


def test_names_that_say_something_stay() -> None:
    result = PlaceWeights().call(product(node="/fc/MatMul", weight="table"))
    assert not result.modified and not places(result.hub)


@pytest.mark.parametrize("given", [{"node": "MatMul_3"}, {"node": "/fc/MatMul", "other": "fc.weight"}])
def test_no_key_is_made_up_or_given_twice(given: dict[str, str]) -> None:
    result = PlaceWeights().call(product(**given))
    assert not result.modified and not places(result.hub)
    assert [one.reason for one in result.declined] == ["no key is free for its weights"]
