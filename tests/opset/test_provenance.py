"""Provenance: read from torch's stamps and from node names, kept through canonical form, free of machine paths."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import pytest

from isthmus.hub.provenance import class_of, inherit, relative_source, stamp, where
from isthmus.readers.onnx import read_onnx
from isthmus.types import Where
from isthmus.writers.onnx import write_onnx

TRACE = (
    'File "/home/someone/secret/net.py", line 12, in forward\n    return self.conv(x)\n'
    'File "/usr/lib/python3/site-packages/torch/nn/modules/conv.py", line 5, in forward'
)
STAMPS = {
    "namespace": ": Net/layers.0: Block/conv: Conv2d",
    "pkg.torch.onnx.name_scopes": "['', 'layers.0', 'layers.0.conv', 'conv2d']",
    "pkg.torch.onnx.class_hierarchy": "['Net', 'Block', 'torch.nn.modules.conv.Conv2d', 'aten.conv2d.default']",
    "pkg.torch.onnx.fx_node": "%conv2d : call_function",
    "pkg.torch.onnx.stack_trace": TRACE,
}


def _node(name: str = "n", **props: str) -> ir.Node:
    return ir.Node("", "Relu", [], name=name, metadata_props=props)


def _model(opset: int = 11) -> onnx.ModelProto:
    model = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["": {opset}]> g (float[2,3,4] x) => (float[2,3,4] y)'
        " { h = Softmax<axis=1>(x) y = Clip<min=0.0>(h) }"
        if opset < 11
        else f'<ir_version: 10, opset_import: ["": {opset}]> g (float[2,3,4] x) => (float[2,3,4] y)'
        " { h = Softmax<axis=1>(x) y = Relu(h) }"
    )
    for node in model.graph.node:
        for key, value in STAMPS.items():
            node.metadata_props.add(key=key, value=value)
        node.doc_string = TRACE
    return model


def test_torch_stamps() -> None:
    node = _node(**STAMPS)
    assert where(node) == Where(node="n", op="Relu", module="layers.0.conv", source_line="net.py:12")
    assert class_of(node) == "torch.nn.modules.conv.Conv2d"


def test_nodes_that_torch_made_by_itself_have_no_module() -> None:
    node = _node(
        **{
            "pkg.torch.onnx.name_scopes": "['_empty_nn_module_stack_from_metadata_hook', 'sym_size']",
            "pkg.torch.onnx.stack_trace": 'File "torch/fx/passes/runtime_assert.py", line 24, in insert',
        }
    )
    assert where(node) == Where(node="n", op="Relu")


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("/layer1/layer1.0/conv/Conv", "layer1.0.conv"),
        ("/layer1/conv/Conv", "layer1.conv"),
        ("/head/MatMul", "head"),
        ("/Relu", ""),
        ("Relu_12", ""),
        ("", ""),
    ],
)
def test_paths_in_node_names(name: str, module: str) -> None:
    assert where(_node(name)).module == module


def test_our_own_stamp_comes_first() -> None:
    node = _node("/other/path/Relu", **STAMPS)
    stamp(node, module="mine", source="C:\\users\\me\\net.py:3")
    assert where(node).module == "mine" and where(node).source_line == "net.py:3"


@pytest.mark.parametrize(
    ("source", "expected"), [("/a/b/net.py:12", "net.py:12"), ("net.py", "net.py"), ("D:\\x\\n.py:1", "n.py:1")]
)
def test_relative_source(source: str, expected: str) -> None:
    assert relative_source(source) == expected


def test_inherited_where_missing() -> None:
    child = _node("c", **{"isthmus.module": "own"})
    inherit(child, _node("p", **{"isthmus.module": "parent", "isthmus.source": "a.py:1"}))
    assert child.metadata_props == {"isthmus.module": "own", "isthmus.source": "a.py:1"}


@pytest.mark.parametrize("opset", [10, 11, 18, 28])
def test_every_node_keeps_it_and_no_path_leaves_the_machine(opset: int) -> None:
    hub = read_onnx(_model(opset))
    assert {where(node).module for node in hub.graph} == {"layers.0.conv"}
    assert {where(node).source_line for node in hub.graph} == {"net.py:12"}
    data = ir.to_proto(write_onnx(hub, None).model).SerializeToString()
    for secret in (b"/home", b"someone", b"secret", b"/usr/lib", b"pkg.torch", b"namespace"):
        assert secret not in data
