"""Sequences without a step: a free length that a run finds to be 0."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

torch = pytest.importorskip("torch")

from isthmus.readers.onnx import read_onnx  # noqa: E402
from isthmus.types import Options  # noqa: E402
from isthmus.writers.torch.record import Recorded, record  # noqa: E402

pytestmark = pytest.mark.torch

RNG = np.random.default_rng(11)
HIDDEN, BATCH, INPUT = 3, 2, 4
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def recorded(model: onnx.ModelProto) -> Recorded:
    return record(read_onnx(model, options=Options(verify=False)))


def layer(op: str, direction: str) -> tuple[onnx.ModelProto, np.ndarray]:
    """A recurrent layer of free length with an activation that PyTorch's own layers have not."""
    ways = 2 if direction == "bidirectional" else 1
    shapes = {
        "w": (ways, GATES[op] * HIDDEN, INPUT),
        "r": (ways, GATES[op] * HIDDEN, HIDDEN),
        "h": (ways, BATCH, HIDDEN),
    }
    weights = {name: RNG.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    activations = {"RNN": ["Softsign"], "GRU": ["Sigmoid", "Softsign"], "LSTM": ["Sigmoid", "Softsign", "Tanh"]}[op]
    names = ["y", "y_h", "y_c"][: 3 if op == "LSTM" else 2]
    node = helper.make_node(
        op,
        ["x", "w", "r", "", "", "h"],
        names,
        hidden_size=HIDDEN,
        direction=direction,
        activations=activations * ways,
    )
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["time", BATCH, INPUT])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10), weights["h"]


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("op", GATES)
def test_a_layer_without_steps_ends_as_it_begins(op: str, direction: str) -> None:
    model, initial = layer(op, direction)
    made = recorded(model)
    for steps in (0, 1, 20):
        x = torch.from_numpy(RNG.standard_normal((steps, BATCH, INPUT)).astype(np.float32))
        by_graph, by_hand = made.call({"x": x}), made.eager({"x": x})
        assert by_graph["y"].shape == (steps, len(initial), BATCH, HIDDEN)
        for name, value in by_graph.items():
            torch.testing.assert_close(value, by_hand[name])
        if steps == 0:
            np.testing.assert_array_equal(by_graph["y_h"].detach().numpy(), initial)


def test_a_scan_without_steps_ends_as_it_begins() -> None:
    body = helper.make_graph(
        [helper.make_node("Add", ["s", "e"], ["t"]), helper.make_node("Concat", ["t", "e"], ["row"], axis=0)],
        "body",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("s", "e")],
        [
            helper.make_tensor_value_info("t", TensorProto.FLOAT, [2]),
            helper.make_tensor_value_info("row", TensorProto.FLOAT, [4]),
        ],
    )
    node = helper.make_node("Scan", ["s0", "x"], ["last", "rows"], num_scan_inputs=1, body=body)
    graph = helper.make_graph(
        [node],
        "running",
        [
            helper.make_tensor_value_info("s0", TensorProto.FLOAT, [2]),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2]),
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("last", "rows")],
    )
    made = recorded(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10))
    start = torch.tensor([1.0, 2.0])
    for length in (0, 1, 5):
        x = torch.arange(2.0 * length).reshape(length, 2)
        sums = start + x.cumsum(0)
        outputs = made.call({"s0": start, "x": x})
        torch.testing.assert_close(outputs["last"], sums[-1] if length else start)
        torch.testing.assert_close(outputs["rows"], torch.cat([sums, x], 1))


def test_nothing_may_become_any_size() -> None:
    """``[0, 6, 3]`` as ``[0, 3]`` keeps the first axis, and yet joins no others."""
    model = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["": 21]> agraph (float[0, 6, 3] x) => (float[0, 3] y)
        <int64[2] shape = {-1, 3}> { y = Reshape(x, shape) }"""
    )
    assert recorded(model).module(torch.ones(0, 6, 3)).shape == (0, 3)
