"""Operators of com.microsoft, decomposed, against ONNX Runtime's own kernels."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from contrib_cases import CASES, DEFINED, HEADS, Case, real
from evaluate import run

from isthmus.hub.canonical import check_canonical
from isthmus.passes.contrib.build import MICROSOFT
from isthmus.passes.contrib.decompose import RULES, DecomposeContrib
from isthmus.readers.onnx import read_onnx
from isthmus.types import Options


def model_of(case: Case, *, free: bool = False) -> onnx.ModelProto:
    names, inputs, weights = [], [], []
    for index, operand in enumerate(case.operands):
        names.append("" if operand is None else f"i{index}")
        if operand is None:
            continue
        array = np.asarray(operand)
        if index in case.fixed:
            weights.append(onnx.numpy_helper.from_array(array, f"i{index}"))
        else:
            dtype = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
            shape = ["batch" if free and axis == 0 and d == 2 else d for axis, d in enumerate(array.shape)]
            inputs.append(onnx.helper.make_tensor_value_info(f"i{index}", dtype, shape))
    outputs = ["" if i in case.unused else f"o{i}" for i in range(case.outputs)]
    node = onnx.helper.make_node(case.op, names, outputs, domain=case.domain, name="node", **case.attributes)
    prop = node.metadata_props.add()
    prop.key, prop.value = "isthmus.module", "net"
    declared = [onnx.ValueInfoProto(name=name) for name in outputs if name]
    graph = onnx.helper.make_graph([node], "net", inputs, declared, weights)
    opsets = [onnx.helper.make_opsetid("", 21), onnx.helper.make_opsetid(MICROSOFT, 1)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)


def golden_of(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(
        None, feeds
    )


@pytest.mark.onnxruntime
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_same_numbers(case: Case) -> None:
    model = model_of(case)
    feeds = {f"i{i}": np.asarray(a) for i, a in enumerate(case.operands) if a is not None and i not in case.fixed}
    golden = golden_of(model, feeds)
    for value, array in zip(model.graph.output, golden, strict=True):
        value.CopyFrom(
            onnx.helper.make_tensor_value_info(
                value.name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
            )
        )
    hub = read_onnx(model, options=Options(verify=False))
    result = DecomposeContrib({})(hub)
    assert result.modified and not result.declined, result.declined
    assert {node.domain for node in hub.graph} == {""}
    assert not check_canonical(hub.model)
    for ours, theirs in zip(run(hub.model, feeds), golden, strict=True):
        assert ours.dtype == theirs.dtype
        if case.close:
            assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1
        else:
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-5)


@pytest.mark.onnxruntime
@pytest.mark.parametrize("packed", ["all", "keys"])
def test_packed_heads_are_the_separate_ones(packed: str) -> None:
    """ONNX Runtime has no packed kernel on CPUs, so its separate one is the measure."""
    q, k, v = real(2, 3, 2, 4), real(2, 3, 2, 4), real(2, 3, 2, 4)
    flat = {f"i{i}": a.reshape(2, 3, 8) for i, a in enumerate((q, k, v))}
    separate = model_of(Case("separate", "MultiHeadAttention", tuple(flat.values()), HEADS))
    operands = (np.stack([q, k, v], axis=3),) if packed == "all" else (flat["i0"], np.stack([k, v], axis=3))
    model = model_of(Case("packed", "MultiHeadAttention", operands, HEADS))
    declared = onnx.helper.make_tensor_value_info("o0", onnx.TensorProto.FLOAT, (2, 3, 8))
    model.graph.output[0].CopyFrom(declared)
    hub = DecomposeContrib({})(read_onnx(model)).hub
    ours = run(hub.model, {f"i{i}": a for i, a in enumerate(operands)})
    np.testing.assert_allclose(ours[0], golden_of(separate, flat)[0], rtol=1e-4, atol=1e-5)


FREE = ("attention", "attention_mask", "attention_causal", "heads", "heads_past", "rotary", "rotary_offset", "embed")


@pytest.mark.onnxruntime
@pytest.mark.parametrize("case", [case for case in CASES if case.name in FREE], ids=lambda case: case.name)
def test_with_a_free_batch(case: Case) -> None:
    """The batch is free, and the rank of the outputs is left to inference."""
    feeds = {f"i{i}": np.asarray(a) for i, a in enumerate(case.operands) if a is not None}
    golden = golden_of(model_of(case), feeds)
    model = model_of(case, free=True)
    for value, array in zip(model.graph.output, golden, strict=True):
        dtype = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, dtype, None))
    result = DecomposeContrib({})(read_onnx(model))
    assert not result.declined
    assert all(value.shape is not None for node in result.hub.graph for value in node.outputs)
    for ours, theirs in zip(run(result.hub.model, feeds), golden, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-5)


def test_what_is_left_says_why() -> None:
    case = Case("sixteen", "FusedConv", (real(1, 3, 5, 5), real(4, 3, 3, 3)), {"activation": "Softmax"})
    hub = read_onnx(model_of(case))
    before = hub.graph.num_nodes()
    result = DecomposeContrib({})(hub)
    assert [d.reason for d in result.declined] == ["activation 'Softmax' is none that can be split off"]
    assert result.declined[0].where.node == "node"
    assert hub.graph.num_nodes() == before and not result.modified


def test_a_target_that_has_the_operator_keeps_it() -> None:
    hub = read_onnx(model_of(Case("kept", "QuickGelu", (real(3, 4),))))
    assert not DecomposeContrib({(MICROSOFT, "QuickGelu"): None})(hub).modified


@pytest.mark.onnxruntime
@pytest.mark.parametrize(("case", "golden"), DEFINED, ids=lambda value: value.name if isinstance(value, Case) else "")
def test_by_definition(case: Case, golden: tuple[np.ndarray, ...]) -> None:
    model = model_of(case)
    for value, array in zip(model.graph.output, golden, strict=True):
        dtype = onnx.TensorProto.UINT8 if case.close else onnx.TensorProto.FLOAT
        value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, dtype, array.shape))
    hub = DecomposeContrib({})(read_onnx(model)).hub
    feeds = {f"i{i}": np.asarray(a) for i, a in enumerate(case.operands)}
    for ours, theirs in zip(run(hub.model, feeds), golden, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1.001 if case.close else 1e-4)


def test_every_rule_has_a_case() -> None:
    assert set(RULES) == {case.op for case in (*CASES, *(case for case, _ in DEFINED))}
