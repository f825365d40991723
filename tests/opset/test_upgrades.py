"""An old-opset model says the same after its steps: ONNX Runtime says so from 7 on, numpy below."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from opset_cases import BEFORE_SEVEN, FROM_ABOVE, ON_ONNXRUNTIME, Case, Expected

from isthmus.errors import Unsupported
from isthmus.hub.canonical import check_canonical
from isthmus.hub.model import HUB_OPSET
from isthmus.hub.opset import lowest_equivalent_opset
from isthmus.readers.onnx import read_onnx
from isthmus.types import Options
from isthmus.writers.onnx import write_onnx


def _run(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    ort = pytest.importorskip("onnxruntime")
    settings = ort.SessionOptions()
    settings.intra_op_num_threads, settings.log_severity_level = 1, 4
    session = ort.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    return session.run(None, {value.name: feeds[value.name] for value in session.get_inputs()})


def _same(expected: list[np.ndarray], got: list[np.ndarray]) -> None:
    assert len(expected) == len(got)
    for one, other in zip(expected, got, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def _written(case: Case, opset: int | None) -> onnx.ModelProto:
    hub = read_onnx(case.model())
    assert check_canonical(hub.model) == []
    return ir.to_proto(write_onnx(hub, None, options=Options(opset=opset)).model)


NO_KERNEL_AT_26 = ("RoiAlign",)
"""ONNX Runtime has these at an older opset only; the writer finds that one by itself."""


@pytest.mark.onnxruntime
@pytest.mark.parametrize("case", ON_ONNXRUNTIME, ids=lambda case: case.id)
def test_same_on_onnxruntime(case: Case) -> None:
    feeds = case.feeds()
    expected = _run(case.model(), feeds)
    _same(expected, _run(_written(case, None), feeds))
    if not any(op in case.body for op in NO_KERNEL_AT_26):
        _same(expected, _run(_written(case, HUB_OPSET), feeds))


@pytest.mark.onnxruntime
@pytest.mark.parametrize(("case", "expected"), (*BEFORE_SEVEN, *FROM_ABOVE), ids=lambda case: getattr(case, "id", ""))
def test_same_as_numpy(case: Case, expected: Expected) -> None:
    feeds = case.feeds()
    with np.errstate(invalid="ignore"):
        says = expected(feeds)
    _same(list(says) if isinstance(says, tuple) else [says], _run(_written(case, None), feeds))


def test_the_matrix_covers_the_traps() -> None:
    assert len(ON_ONNXRUNTIME) + len(BEFORE_SEVEN) >= 60
    text = " ".join(case.body for case in ON_ONNXRUNTIME)
    for op in (
        "Resize",
        "Upsample",
        "RoiAlign",
        "Softmax",
        "Hardmax",
        "Scatter<",
        "Scan",
        "Dropout",
        "Split",
        "TopK",
    ):
        assert op in text


def _parsed(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(text)


def test_refused_all_at_once() -> None:
    model = _parsed(
        """<ir_version: 10, opset_import: ["": 5]> g (float[2] x, float[] u, float[3] s) => (float[] y, float[] h) {
             y = Add<broadcast=1, axis=0>(u, s)
             h = Tile(x, s, s)
           }"""
    )
    model.graph.input[1].type.tensor_type.ClearField("shape")
    with pytest.raises(Unsupported) as caught:
        read_onnx(model)
    assert [blocker.op for blocker in caught.value.blockers] == ["Add", "Tile"]


def test_a_pin_below_what_a_node_needs_names_the_node() -> None:
    text = '<ir_version: 13, opset_import: ["": 26]> g (float[2] x) => (int32[2] y) { y = BitCast<to = 6>(x) }'
    hub = read_onnx(_parsed(text))
    with pytest.raises(Unsupported, match=r"BitCast.*needs opset 26"):
        write_onnx(hub, None, options=Options(opset=18))
    assert write_onnx(hub, None, options=Options(opset=26)).model.opset_imports[""] == 26


def test_a_pin_below_what_is_made_of_older_operators_spells_it_out() -> None:
    hub = read_onnx(_parsed('<ir_version: 9, opset_import: ["": 20]> g (float[2] x) => (float[2] y) { y = Gelu(x) }'))
    assert write_onnx(hub, None, options=Options(opset=20)).model.opset_imports[""] == 20
    written = write_onnx(hub, None, options=Options(opset=18)).model
    assert written.opset_imports[""] == 18
    assert "Erf" in {node.op_type for node in written.graph}


@pytest.mark.parametrize(
    ("body", "opset"),
    [
        ("y = Relu(x)", 18),
        ("y = Gelu(x)", 20),
        ('y = Pad<mode="constant">(x, p)', 18),
        ('y = Pad<mode="wrap">(x, p)', 19),
        ("y = RMSNormalization(x, s)", 23),
        ("y = Softmax<axis=1>(x)", 18),
        ("y = Swish(x)", 24),
    ],
)
def test_lowest_equivalent_opset(body: str, opset: int) -> None:
    weights = "<int64[4] p = {0,1,0,1}, float[3] s = {1.0,1.0,1.0}>"
    text = f'<ir_version: 13, opset_import: ["": 26]> g (float[2,3] x) => (float[] y) {weights} {{ {body} }}'
    assert lowest_equivalent_opset(read_onnx(_parsed(text)).model) == opset


def test_names_provenance_and_weights_survive() -> None:
    model = _parsed(
        """<ir_version: 7, opset_import: ["": 11]> g (float[N,3,4] x) => (float[] out)
           <float[4] w = {1.0,2.0,3.0,4.0}> {
             h = Mul(x, w)
             s = Softmax<axis=1>(h)
             out = Squeeze<axes=[0]>(s)
           }"""
    )
    for node in model.graph.node:
        node.name = f"the_{node.op_type}"
        node.metadata_props.add(key="isthmus.module", value="net.head")
    hub = read_onnx(model)
    graph = hub.graph
    assert [v.name for v in graph.inputs] == ["x"] and [v.name for v in graph.outputs] == ["out"]
    assert "w" in graph.initializers
    assert {node.metadata_props.get("isthmus.module") for node in graph} == {"net.head"}
    assert {"h", "s", "out"} <= {v.name for node in graph for v in node.outputs}
    assert hub.signature.inputs[0].shape == ("N", 3, 4)
