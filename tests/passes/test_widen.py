"""The table of kernels is the runtime's, it tells what the runtime does, and what is widened gives the same."""

from __future__ import annotations

from collections.abc import Iterator

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest

pytest.importorskip("onnxruntime")

import kernel_table
import onnxruntime as ort
from evaluate import reference
from layout_nets import hub_of

from isthmus.errors import Unsupported
from isthmus.hub.model import HUB_OPSET, Hub
from isthmus.hub.schema import op_names, schema_of
from isthmus.passes.kernels import Kernels, runtime_version, types_of
from isthmus.passes.widen import WidenTypes
from isthmus.types import Options
from isthmus.writers.onnx import blockers, write_onnx

pytestmark = pytest.mark.onnxruntime

TYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
TYPES += ("float16", "bfloat16", "float", "double")
OPENS = {"Compress", "Constant", "If", "Loop", "Scan", "SequenceMap"}
"""Operators that take graphs, or whose node cannot stand alone."""


@pytest.mark.skipif(ort.__version__ != runtime_version(), reason="another ONNX Runtime has other kernels")
def test_the_table_is_what_the_runtime_says() -> None:
    assert kernel_table.PATH.read_text(encoding="utf-8") == kernel_table.text()


def nodes_alone(op: str, version: int) -> Iterator[onnx.ModelProto]:
    """The operator alone, on tensors of free shapes, once for each element type that its schema allows."""
    schema = schema_of("", op, version)
    if schema is None or any(a.required for a in schema.attributes.values()) or not schema.type_constraints:
        return
    first = schema.type_constraints[0]
    others = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints[1:]}
    for name in TYPES:
        if f"tensor({name})" not in first.allowed_type_strs:
            continue
        chosen = {first.type_param_str: f"tensor({name})"}
        for other, allowed in others.items():
            chosen[other] = next(t for t in (f"tensor({name})", "tensor(float)", *allowed) if t in allowed)
        texts = [chosen.get(formal.type_str, formal.type_str) for formal in schema.inputs[: schema.min_input]]
        results = [chosen.get(formal.type_str, formal.type_str) for formal in schema.outputs[: schema.min_output]]
        if all(text.startswith("tensor(") for text in (*texts, *results)):
            yield alone(op, version, texts, results)


def alone(op: str, version: int, inputs: list[str], outputs: list[str]) -> onnx.ModelProto:
    def infos(prefix: str, texts: list[str]) -> list[onnx.ValueInfoProto]:
        kinds = [onnx.TensorProto.DataType.Value(text[7:-1].upper()) for text in texts]
        return [onnx.helper.make_tensor_value_info(f"{prefix}{i}", kind, None) for i, kind in enumerate(kinds)]

    given, made = infos("x", inputs), infos("y", outputs)
    node = onnx.helper.make_node(op, [v.name for v in given], [v.name for v in made], name="it")
    graph = onnx.helper.make_graph([node], "net", given, made)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", version)], ir_version=10)


def loads(model: onnx.ModelProto) -> bool | None:
    """Whether the runtime has kernels for the model; None where it objects to something else."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except ort.capi.onnxruntime_pybind11_state.NotImplemented:
        return False
    except (
        ort.capi.onnxruntime_pybind11_state.Fail,
        ort.capi.onnxruntime_pybind11_state.InvalidGraph,
        ort.capi.onnxruntime_pybind11_state.RuntimeException,
    ):
        return None
    return True


@pytest.mark.skipif(ort.__version__ != runtime_version(), reason="another ONNX Runtime has other kernels")
@pytest.mark.parametrize("version", [18, HUB_OPSET])
def test_the_table_tells_what_the_runtime_does(version: int) -> None:
    kernels = Kernels(version)
    asked, wrong = 0, []
    for op in op_names():
        for proto in nodes_alone(op, version) if op not in OPENS else ():
            (node,) = ir.from_proto(proto).graph
            types = types_of(node, version)
            found = loads(proto)
            if types is None or found is None:
                continue
            asked += 1
            if kernels.run(node, types) != found:
                wrong.append((op, {k: t.name for k, t in types.items()}, found))
    assert asked > 700
    assert wrong == []


# ---- what is widened --------------------------------------------------------------------------------
RNG = np.random.default_rng(0)
DTYPES = {
    name: np.dtype({"bfloat16": ml_dtypes.bfloat16, "float": "f4", "double": "f8"}.get(name, name)) for name in TYPES
}


def values(name: str, *shape: int) -> np.ndarray:
    """Values of the whole range of an integer type, so that sums wrap; small floats; booleans."""
    dtype = DTYPES[name]
    if name == "bool":
        return RNG.integers(0, 2, shape).astype(bool)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return RNG.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    return RNG.normal(size=shape).astype(dtype)


def written(hub: Hub, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The outputs of the file that is written of a hub. bfloat16 enters and leaves as ONNX Runtime's own tensors."""
    proto = ir.to_proto(write_onnx(hub, None).model)
    onnx.checker.check_model(proto, full_check=True)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def assert_same(text: str, **feeds: np.ndarray) -> list[str]:
    """Assert that the file gives what ONNX's own evaluator gives; the operators of the file."""
    hub = hub_of(text)
    with np.errstate(all="ignore"):
        expected = reference(hub.model, feeds)
    for ours, theirs in zip(written(hub, feeds), expected, strict=True):
        assert ours.dtype == theirs.dtype
        if theirs.dtype.kind == "f":
            np.testing.assert_allclose(ours, theirs, rtol=1e-3 if theirs.dtype == np.float16 else 1e-6)
        else:
            np.testing.assert_array_equal(ours, theirs)
    return [node.op_type for node in write_onnx(hub, None).model.graph]


@pytest.mark.parametrize("name", ["bool", "int16", "uint16", "uint64", "float16"])
def test_elements_are_moved_in_any_type_that_holds_them(name: str) -> None:
    text = f"net (bool[3, 4] c, {name}[3, 4] a, {name}[4] b) => ({name}[3, 4] y) {{ y = Where (c, a, b) }}"
    assert_same(text, c=values("bool", 3, 4), a=values(name, 3, 4), b=values(name, 4))


def test_sums_wrap_as_they_did() -> None:
    text = "net (uint32[3, 4] x) => (uint32[3] y) <int64[1] axes = {1}> { y = ReduceSum <keepdims = 0> (x, axes) }"
    assert "Cast" in assert_same(text, x=values("uint32", 3, 4))


@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMin"])
def test_the_larger_is_the_larger(op: str) -> None:
    text = f"net (uint32[3, 4] x) => (uint32[3] y) <int64[1] axes = {{1}}> {{ y = {op} <keepdims = 0> (x, axes) }}"
    assert "Cast" in assert_same(text, x=values("uint32", 3, 4))


def test_order_of_uint64_has_no_wider_type() -> None:
    hub = hub_of("net (uint64[3] x) => (uint64 y) { y = ReduceMax <keepdims = 0> (x) }")
    (blocker,) = blockers(hub, Options())
    assert blocker.op == "ReduceMax"
    assert "has no kernel of it for uint64" in blocker.reason
    with pytest.raises(Unsupported, match="ReduceMax"):
        write_onnx(hub, None)


def test_indices_are_widened_apart_from_values() -> None:
    text = """net (int8[4] x) => (int8[4, 5] y) <int64 depth = {5}, int8[2] pair = {0, 1}>
              { y = OneHot (x, depth, pair) }"""
    assert_same(text, x=np.array([0, 4, -1, 2], np.int8))


@pytest.mark.parametrize("op", ["Add", "Exp", "Tanh"])
def test_bfloat16_is_computed_in_float32_and_rounded_once(op: str) -> None:
    operands = "x, x" if op == "Add" else "x"
    inner = f"x = Cast <to = 16> (a) z = {op} ({operands}) y = Cast <to = 1> (z)"
    text = f"net (float[3, 4] a) => (float[3, 4] y) {{ {inner} }}"
    assert_same(text, a=values("bfloat16", 3, 4).astype(np.float32))


@pytest.mark.parametrize("op", ["Mish", "Softplus", "HardSwish", "Elu"])
def test_a_function_body_stands_in_where_there_is_no_wider_type(op: str) -> None:
    text = f"net (double[3, 4] x) => (double[3, 4] y) {{ y = {op} (x) }}"
    hub = hub_of(text)
    assert_same(text, x=values("double", 3, 4))
    assert not blockers(hub, Options())


def test_what_is_widened_in_a_body_stays_in_the_body() -> None:
    text = """net (bool c, bool[4] a, bool[4] b) => (bool[4] y) {
        y = If (c) <
            then_branch = yes () => (bool[4] p) { p = Where (a, b, a) },
            else_branch = no () => (bool[4] q) { q = Identity (b) }
        >
    }"""
    for flag in (True, False):
        assert_same(text, c=np.array(flag), a=values("bool", 4), b=values("bool", 4))


def test_one_cast_serves_all_who_read() -> None:
    hub = hub_of("net (bool[4] c, bool[4] a) => (bool[4] y, bool[4] z) { y = Where (c, a, c) z = Where (a, a, c) }")
    result = WidenTypes()(hub)
    casts = [node.op_type for node in result.hub.graph].count("Cast")
    assert casts == 4  # a and c once each, and two results


def test_every_use_is_of_an_operator_that_exists() -> None:
    from isthmus.passes.widen import _USES

    for op, uses in _USES.items():
        schema = schema_of("", op)
        assert schema is not None, op
        assert set(uses) - {""} <= {c.type_param_str for c in schema.type_constraints}
