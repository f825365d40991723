"""Values whose rank only a run tells: a Squeeze of every axis of size 1, some of which are free."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

torch = pytest.importorskip("torch")

from isthmus.readers.onnx import read_onnx  # noqa: E402
from isthmus.types import Options  # noqa: E402
from isthmus.writers.torch.record import record  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.onnxruntime]

NODES: dict[str, tuple[str, dict[str, Any], dict[str, list[int]]]] = {
    "slice": ("Slice", {}, {"starts": [1], "ends": [3], "axes": [0]}),
    "slice-from-the-front": ("Slice", {}, {"starts": [0, -2], "ends": [2, 9]}),
    "gather": ("Gather", {"axis": 1}, {"at": [1, 0, -1]}),
    "unsqueeze": ("Unsqueeze", {}, {"axes": [-1]}),
    "unsqueeze-twice": ("Unsqueeze", {}, {"axes": [2, 0]}),
    "squeeze": ("Squeeze", {}, {}),
    "reshape": ("Reshape", {}, {"shape": [0, -1]}),
    "flat": ("Reshape", {}, {"shape": [-1]}),
    "expand": ("Expand", {}, {"shape": [2, 1, 1, 1, 1]}),
    "shape": ("Shape", {}, {}),
    "shape-from": ("Shape", {"start": 1}, {}),
    "size": ("Size", {}, {}),
    "sum": ("ReduceSum", {"keepdims": 0}, {"axes": [-1]}),
    "max": ("ReduceMax", {}, {"axes": [1]}),
    "softmax": ("Softmax", {"axis": 1}, {}),
}


def model(name: str) -> onnx.ModelProto:
    op, attributes, operands = NODES[name]
    weights = [numpy_helper.from_array(np.array(value, np.int64), key) for key, value in operands.items()]
    nodes = [
        helper.make_node("Squeeze", ["x"], ["v"]),
        helper.make_node(op, ["v", *operands], ["w"], **attributes),
        helper.make_node("Concat", ["v", "v"], ["z"], axis=1),
        helper.make_node("Identity", ["w"], ["y"]),
    ]
    kind = TensorProto.INT64 if op in ("Shape", "Size") else TensorProto.FLOAT
    outputs = [helper.make_tensor_value_info("y", kind, None), helper.make_tensor_value_info("z", 1, None)]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["a", "b", 3, "c"])]
    graph = helper.make_graph(nodes, "ranks", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.mark.parametrize("name", NODES)
def test_one_module_takes_every_rank(name: str) -> None:
    source = model(name)
    session = ort.InferenceSession(source.SerializeToString(), providers=["CPUExecutionProvider"])
    recorded = record(read_onnx(source, options=Options(verify=False)))
    for shape in ((4, 2, 3, 2), (4, 1, 3, 1), (1, 5, 3, 4)):
        x = np.random.default_rng(len(name)).standard_normal(shape).astype(np.float32)
        for way in (recorded.call, recorded.eager):
            made = way({"x": torch.from_numpy(x)})
            for output, golden in zip(("y", "z"), session.run(None, {"x": x}), strict=True):
                assert made[output].shape == golden.shape
                np.testing.assert_allclose(made[output].numpy(), golden, rtol=1e-6, atol=1e-6)
