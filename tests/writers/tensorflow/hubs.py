"""Small hubs for the tests of the TensorFlow writer, and a process that has only TensorFlow."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from isthmus.hub.model import Hub
from isthmus.readers.onnx import read_onnx


def hub(text: str) -> Hub:
    """A model in ONNX's textual form, read."""
    return read_onnx(onnx.parser.parse_model(textwrap.dedent(text)))


def scaled_difference(first: str, second: str, output: str) -> Hub:
    """``output = 2 * first - second``, float32[batch, 2] and int32[batch, 2]: inputs that are swapped are seen."""
    nodes = [
        helper.make_node("Mul", [first, "isthmus.two"], ["isthmus.doubled"]),
        helper.make_node("Cast", [second], ["isthmus.cast"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["isthmus.doubled", "isthmus.cast"], [output]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info(first, TensorProto.FLOAT, ["batch", 2]),
            helper.make_tensor_value_info(second, TensorProto.INT32, ["batch", 2]),
        ],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(np.float32(2), "isthmus.two")],
    )
    return read_onnx(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))


def lazy_chain(sizes: Sequence[int], made: Callable[[int], np.ndarray]) -> Hub:
    """MatMul by ``made(index)`` of shape (sizes[index], sizes[index + 1]) in turn; made when the writer reads it."""
    kind = ir.TensorType(ir.DataType.FLOAT)
    x = ir.val("x", ir.DataType.FLOAT, ir.Shape(["batch", sizes[0]]))
    value, nodes, weights = x, [], []
    for index, pair in enumerate(itertools.pairwise(sizes)):
        name, shape, unread = f"layers.{index}.weight", ir.Shape(pair), ir.tensor(np.zeros(pair, np.float32))
        weights.append(ir.Value(name=name, shape=shape, type=kind, const_value=unread))
        nodes.append(ir.node("MatMul", [value, weights[-1]]))
        value = nodes[-1].outputs[0]
    value.name, value.type, value.shape = "y", kind, ir.Shape(["batch", sizes[-1]])
    graph = ir.Graph([x], [value], nodes=nodes, initializers=weights, opset_imports={"": 20}, name="chain")
    chain = read_onnx(ir.Model(graph, ir_version=10))
    for index, weight in enumerate(chain.graph.initializers.values()):
        assert weight.const_value is not None
        weight.const_value = ir.LazyTensor(
            lambda index=index: ir.tensor(made(index)),
            dtype=ir.DataType.FLOAT,
            shape=ir.Shape(weight.const_value.shape),
            name=weight.name,
            cache=False,
        )
    return chain


def run_alone(code: str, folder: Path) -> str:
    """Run ``code`` in a process that cannot see Isthmus; return what it printed. ``folder`` is its argument."""
    guard = "import sys\nassert 'isthmus' not in sys.modules\nsys.modules['isthmus'] = None\nfolder = sys.argv[1]\n"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", guard + textwrap.dedent(code), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
