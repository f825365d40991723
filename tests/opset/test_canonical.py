"""The hub's invariants: made once, stable when made again, and each missed one is named."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from opset_cases import ON_ONNXRUNTIME, Case

from isthmus.errors import InvalidModel
from isthmus.hub.canonical import canonicalize, check_canonical, require_canonical
from isthmus.readers.onnx import read_onnx


def _model(body: str, head: str = "float[N,4] x) => (float[N,4] y", opset: int = 18) -> ir.Model:
    text = f'<ir_version: 10, opset_import: ["": {opset}]> g ({head}) {body}'
    return read_onnx(onnx.parser.parse_model(text)).model


@pytest.mark.parametrize("case", ON_ONNXRUNTIME[::4], ids=lambda case: case.id)
def test_making_it_again_changes_nothing(case: Case) -> None:
    model = read_onnx(case.model()).model
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    canonicalize(model)
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before


def _constant_node(model: ir.Model) -> None:
    node = ir.node("Constant", [], {"value_float": 1.0}, name="late")
    node.outputs[0].name, node.outputs[0].type, node.outputs[0].shape = (
        "c",
        ir.TensorType(ir.DataType.FLOAT),
        ir.Shape([]),
    )
    model.graph.append(node)


def _unsorted(model: ir.Model) -> None:
    first = model.graph.node(0)
    model.graph.remove(first)
    model.graph.append(first)


def _input_too(model: ir.Model) -> None:
    model.graph.inputs.append(next(iter(model.graph.initializers.values())))


def _anonymous(model: ir.Model) -> None:
    model.graph.node(0).outputs[0].shape = ir.Shape([None, 4])


def _rankless(model: ir.Model) -> None:
    model.graph.node(0).outputs[0].shape = None


def _typeless(model: ir.Model) -> None:
    model.graph.node(0).outputs[0].type = None


def _same_name(model: ir.Model) -> None:
    model.graph.node(1).name = model.graph.node(0).name


def _old(model: ir.Model) -> None:
    model.graph.opset_imports[""] = 18


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_constant_node, "is a Constant node"),
        (_unsorted, "before it is defined"),
        (_input_too, "is also an input"),
        (_anonymous, "without a name"),
        (_rankless, "no known rank"),
        (_typeless, "no type"),
        (_same_name, "not unique"),
        (_old, "at opset 18"),
    ],
)
def test_what_is_missed_is_named(spoil: Callable[[ir.Model], None], says: str) -> None:
    model = _model("<float[4] w = {1.0,2.0,3.0,4.0}> { h = Add(x, w) y = Relu(h) }")
    require_canonical(model)
    spoil(model)
    assert any(says in problem for problem in check_canonical(model))
    with pytest.raises(InvalidModel, match=says):
        require_canonical(model)


def test_names_of_free_dimensions_flow_through() -> None:
    model = _model(
        "{ s = Shape(x) n = Slice(s, a, b) t = Concat<axis=0>(n, c) h = Reshape(x, t) y = Relu(h) }".replace(
            "{ s", "<int64[1] a={0}, int64[1] b={1}, int64[1] c={-1}> { s"
        ),
        head="float[batch,3,4] x) => (float[?,?] y",
    )
    shape = model.graph.outputs[0].shape
    assert shape is not None and shape[0] == ir.SymbolicDim("batch") and shape[1] == 12


def test_a_name_passes_through_a_reshape_to_an_open_size() -> None:
    model = _model(
        "<int64[4] heads = {-1,6,2,4}, int64[3] joined = {-1,6,8}>"
        " { a = Reshape<allowzero=1>(x, heads) b = Add(a, a) c = Reshape(b, joined) y = Add(c, x) }",
        head="float[batch,6,8] x) => (float[?,6,8] y",
    )
    assert {str(node.outputs[0].shape) for node in model.graph} == {"[batch,6,2,4]", "[batch,6,8]"}
    assert model.graph.node(0).attributes["allowzero"].as_int() == 1
    held = {name: value.const_value for name, value in model.graph.initializers.items()}
    assert {name: tensor and tensor.numpy().tolist() for name, tensor in held.items()} == {
        "heads": [-1, 6, 2, 4],
        "joined": [-1, 6, 8],
    }


def test_a_made_up_name_gives_way_to_one_that_is_found_later() -> None:
    model = _model("{ y = Relu(x) }", head="float[batch,4] x) => (float[?,4] y")
    (node,) = model.graph
    unknown = ir.Value(name="z", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([None, 4]))
    model.graph.inputs.append(unknown)
    node.replace_input_with(0, unknown)
    model.graph.outputs[0].shape = ir.Shape([None, 4])
    canonicalize(model)
    assert str(model.graph.outputs[0].shape) == "[d0,4]"
    node.replace_input_with(0, model.graph.inputs[0])
    canonicalize(model)
    assert str(model.graph.outputs[0].shape) == "[batch,4]"


def test_a_stale_declared_shape_does_not_win() -> None:
    proto = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["": 18]> g (float[batch,4] x) => (float[batch,4] y) <float[1,4] h>'
        " { h = Relu(x) y = Relu(h) }"
    )
    (hidden,) = (v for node in read_onnx(proto).graph for v in node.outputs if v.name == "h")
    assert str(hidden.shape) == "[batch,4]"


@pytest.mark.parametrize(
    ("op", "dtype"),
    [
        ('Normalizer<norm = "L1">', ir.DataType.FLOAT),
        ("Imputer<imputed_value_floats = [1.0], replaced_value_float = 0.0>", ir.DataType.DOUBLE),
        ("LinearRegressor<coefficients = [1.0, 2.0, 3.0]>", ir.DataType.FLOAT),
    ],
)
def test_classical_operators_that_onnx_says_nothing_of_have_type_and_rank(op: str, dtype: ir.DataType) -> None:
    text = (
        '<ir_version: 10, opset_import: ["": 18, "ai.onnx.ml": 3]> g (double[N, 3] x) => (float[N, 3] y) '
        f"{{ z = ai.onnx.ml.{op}(x)  y = Cast<to = 1>(z) }}"
    )
    (made,) = read_onnx(onnx.parser.parse_model(text)).model.graph.node(0).outputs
    assert made.dtype == dtype and made.shape is not None and len(made.shape) == 2


def test_what_a_loop_carries_has_the_rank_that_its_body_proves() -> None:
    body = """{{ y = Loop<body = b (int64 i, bool c, float[] s) => (bool d, float[] t) {{ d = Identity(c) t = {op} }}>
                 (n, k, x) }}"""
    head = "float[2,3] x, int64 n, bool k) => (float[] y"
    for op, shape in (("Add(s, s)", "[2,3]"), ("Concat<axis=0>(s, s)", "rank 2")):
        proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 18]> g ({head}) {body.format(op=op)}')
        for graph in (proto.graph, proto.graph.node[0].attribute[0].g):
            for info in (*graph.input, *graph.output):
                if info.name in ("s", "t", "y"):
                    info.type.tensor_type.ClearField("shape")
        model = read_onnx(proto).model
        assert check_canonical(model) == []
        state = model.graph.node(0).attributes["body"].as_graph().inputs[2]
        assert state.shape is not None
        assert shape in (str(state.shape), f"rank {len(state.shape)}")


def test_weights_are_not_copied() -> None:
    array = np.zeros((512, 512), np.float32)
    x = ir.val("x", ir.DataType.FLOAT, ["b", 512])
    weight = ir.val("w", ir.DataType.FLOAT, [512, 512], const_value=ir.tensor(array, name="w"))
    node = ir.node("MatMul", [x, weight])
    node.outputs[0].name = "y"
    graph = ir.Graph([x], node.outputs, nodes=[node], initializers=[weight], opset_imports={"": 18}, name="g")
    hub = read_onnx(ir.Model(graph, ir_version=10))
    assert np.shares_memory(hub.graph.initializers["w"].const_value.numpy(), array)


@pytest.mark.parametrize("policy", ["stretch", "not_larger"])
def test_what_is_resized_by_sizes_keeps_its_batch(policy: str) -> None:
    model = _model(
        f"<int64[2] size = {{8, 8}}> {{ s = Shape<end = 2>(x) t = Concat<axis = 0>(s, size)"
        f' a = Resize<keep_aspect_ratio_policy = "{policy}">(x, , , t) b = Relu(a) y = Relu(b) }}',
        head="float[batch,3,h,w] x) => (float[?,?,?,?] y",
    )
    names = [
        str(node.outputs[0].shape[0]) for node in model.graph if node.op_type == "Relu" and node.outputs[0].shape
    ]
    assert (names[0] == "batch") is (policy == "stretch")
    assert (names[-1] == "batch") is (policy == "stretch")
