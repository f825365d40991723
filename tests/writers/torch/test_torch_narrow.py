"""Element types that PyTorch computes nothing in: a wider one carries them, and the judge knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import isthmus
from isthmus.verify.runners import onnx as onnx_runner
from isthmus.verify.runners.torch import as_declared, to_torch

pytestmark = [pytest.mark.torch, pytest.mark.onnxruntime]

CARRIED = {"INT4": "int8", "UINT4": "uint8", "INT2": "int8", "UINT2": "uint8", "FLOAT4E2M1": "float8_e4m3fn"}


def scaled(element: int) -> onnx.ModelProto:
    """Takes [n, 3] of an element type, gives it times 2, -2 and 1 in that type, as far as the type goes."""
    weights = {"w": np.float32([2.0, -2.0, 1.0]), "s": np.float32(0.5)}
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "s"], ["wide"]),
        helper.make_node("Mul", ["wide", "w"], ["times"]),
        helper.make_node("QuantizeLinear", ["times", "s"], ["y"], output_dtype=element),
    ]
    graph = helper.make_graph(
        nodes,
        "scaled",
        [helper.make_tensor_value_info("x", element, ["n", 3])],
        [helper.make_tensor_value_info("y", element, ["n", 3])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)], ir_version=12)


@pytest.mark.parametrize("name", CARRIED)
def test_the_judge_knows_what_carries_a_type(name: str, tmp_path: Path) -> None:
    source = tmp_path / "scaled.onnx"
    onnx.save(scaled(TensorProto.DataType.Value(name)), source)
    made = isthmus.convert(source, tmp_path / "scaled.py")
    assert made.verdict is not None
    assert [(c.dtype, c.grade) for c in made.verdict.comparisons] == [(name.lower(), "exact")]
    told = [note.text for note in made.report.notes if note.topic in ("input", "output")]
    assert len(told) == 2
    assert all(name.lower() in text and CARRIED[name] in text for text in told)
    assert "'x'" in told[0] and "'y'" in told[1]


def test_a_value_that_the_type_has_not_is_no_such_value() -> None:
    wide = np.array([7, -8, 8], np.int8)
    assert as_declared(wide[:2], "int4").dtype == ml_dtypes.int4
    assert as_declared(wide, "int4").dtype == np.int8
    assert as_declared(wide.astype(np.int32), "int4").dtype == np.int32
    assert as_declared(np.array([5.0], ml_dtypes.float8_e4m3fn), "float4e2m1").dtype == ml_dtypes.float8_e4m3fn


@pytest.mark.parametrize("dtype", [ml_dtypes.int4, ml_dtypes.uint2, ml_dtypes.float4_e2m1fn])
def test_values_are_carried_exactly(dtype: Any) -> None:
    values = np.arange(2 ** (4 if dtype is not ml_dtypes.uint2 else 2), dtype=np.uint8).view(dtype)
    assert as_declared(to_torch(values).float().numpy().astype(dtype), "").tolist() == values.tolist()


PACKED = [(ml_dtypes.int4, TensorProto.INT4, -8, 7), (ml_dtypes.uint2, TensorProto.UINT2, 0, 3)]


@pytest.mark.parametrize("dtype, element, low, high", PACKED, ids=["int4", "uint2"])
@pytest.mark.parametrize("rows", [0, 1, 3])
def test_onnxruntime_is_fed_packed_elements(
    dtype: Any, element: int, low: int, high: int, rows: int, tmp_path: Path
) -> None:
    onnx.save(scaled(element), tmp_path / "scaled.onnx")
    x = np.random.default_rng(rows).integers(low, high + 1, (rows, 3))
    y = onnx_runner.load(str(tmp_path / "scaled.onnx"), {}).run({"x": x.astype(dtype)})["y"]
    assert isinstance(y, np.ndarray)
    np.testing.assert_array_equal(y, np.clip(x * [2, -2, 1], low, high).astype(dtype))
