"""Branches and rounds that make tensors of numbers and sizes: exported programs hold them."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

import isthmus

pytestmark = [pytest.mark.torch, pytest.mark.onnxruntime]
pytest.importorskip("torch")

NUMBER = """
<ir_version: 9, opset_import: ["" : 18]>
net (int64[n, 4] x) => (int64 y) <int64 zero = {0}> {
  s = ReduceSum<keepdims = 0>(x)
  positive = Greater(s, zero)
  y = If(positive) <
    then_branch = then () => (int64 a) { a = Constant<value = int64 {3}>() },
    else_branch = otherwise () => (int64 b) { b = Constant<value = int64 {4}>() }>
}"""

SIZES = """
<ir_version: 9, opset_import: ["" : 18]>
net (int64[n, 4] x) => (int64[2] y) <int64 zero = {0}, int64 two = {2}> {
  s = ReduceSum<keepdims = 0>(x)
  positive = Greater(s, zero)
  y = If(positive) <
    then_branch = then () => (int64[2] a) { size = Shape(x)  a = Mul(size, two) },
    else_branch = otherwise () => (int64[2] b) { size = Shape(x)  b = Sub(size, two) }>
}"""

ROUNDS = """
<ir_version: 9, opset_import: ["" : 18]>
net (int64[n, 4] x) => (int64 y) <int64 start = {1}> {
  s = Shape<start = 0, end = 1>(x)
  axes = Constant<value = int64[1] {0}>()
  trips = Squeeze(s, axes)
  y = Loop(trips, , start) <
    body = round (int64 i, bool going, int64 held) => (bool goes, int64 next) {
      goes = Identity(going)
      size = Size(x)
      more = Add(held, size)
      next = Sub(more, i)
    }>
}"""


@pytest.mark.parametrize("text", [NUMBER, SIZES, ROUNDS], ids=["number", "sizes", "rounds"])
def test_a_body_makes_tensors_of_numbers(text: str, tmp_path: Path) -> None:
    model = onnx.parser.parse_model(text)
    onnx.checker.check_model(model)
    onnx.save(model, tmp_path / "net.onnx")
    assert isthmus.convert(tmp_path / "net.onnx", tmp_path / "net.pt2", options=isthmus.Options(samples=4))
