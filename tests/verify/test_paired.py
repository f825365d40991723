"""Models that name their inputs and outputs otherwise are judged by place, and wrong pairs show."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

import isthmus

pytestmark = pytest.mark.onnxruntime

MODEL = """
<ir_version: 10, opset_import: ["" : 18]>
g (float[n, 3] {a}, float[n, 3] {b}) => (float[n, 3] {c}, float[n, 3] {d})
{{
   {c} = Sub ({a}, {b})
   {d} = Mul ({a}, {b})
}}
"""


def model(path: Path, *names: str) -> Path:
    onnx.save(onnx.parser.parse_model(MODEL.format(**dict(zip("abcd", names, strict=True)))), path)
    return path


def test_other_names_are_paired_by_place(tmp_path: Path) -> None:
    one = model(tmp_path / "one.onnx", "left", "right", "difference", "product")
    other = model(tmp_path / "other.onnx", "x0", "right", "difference", "y1")
    verdict = isthmus.verify(one, other)
    assert verdict
    assert [c.output for c in verdict.comparisons] == ["difference", "product"]
    assert {(note.topic, note.text.partition(": ")[2]) for note in verdict.notes} == {
        ("inputs", "left ↔ x0"),
        ("outputs", "product ↔ y1"),
    }


def test_a_wrong_pair_shows(tmp_path: Path) -> None:
    one = model(tmp_path / "one.onnx", "left", "right", "difference", "product")
    assert not isthmus.verify(one, model(tmp_path / "swapped.onnx", "a", "b", "product", "difference"))
    assert isthmus.verify(one, model(tmp_path / "same.onnx", "left", "right", "difference", "product")).notes == ()


def test_more_outputs_than_the_reference_has_are_no_pairs(tmp_path: Path) -> None:
    one = model(tmp_path / "one.onnx", "left", "right", "difference", "product")
    proto = onnx.load(model(tmp_path / "more.onnx", "left", "right", "y0", "y1"))
    proto.graph.output.append(onnx.helper.make_tensor_value_info("y2", onnx.TensorProto.FLOAT, ["n", 3]))
    proto.graph.node.add(op_type="Neg", input=["left"], output=["y2"])
    onnx.save(proto, tmp_path / "more.onnx")
    verdict = isthmus.verify(one, tmp_path / "more.onnx")
    assert not verdict
    assert "no such output" in " ".join(c.detail for c in verdict.comparisons)
