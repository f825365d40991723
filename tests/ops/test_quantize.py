"""Quantization per tensor, per axis and in blocks, of every type; integer products; against ONNX Runtime or numpy."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from matrix import FORMS, Form, Node, agrees
from onnx.reference import ReferenceEvaluator

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

RNG = np.random.default_rng(13)
X = (RNG.normal(size=(2, 4, 6)) * 40).astype(np.float32)
TIES = np.float32([0.5, 1.5, 2.5, -0.5, -1.5, 3e9, -3e9, 127.5, 128.5, -1e30, 1e30])
INTS = [np.int8, np.uint8, np.int16, np.uint16]
SUB_BYTE = [ml_dtypes.int4, ml_dtypes.uint4, ml_dtypes.int2, ml_dtypes.uint2]
FLOAT8 = [ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e4m3fnuz, ml_dtypes.float8_e5m2, ml_dtypes.float8_e5m2fnuz]
SCALES = np.float32([0.5, 0.75, 1.25, 2.0])


def stored(dtype: type, *shape: int) -> np.ndarray:
    return (RNG.integers(0, 4, size=shape) - (2 if not np.dtype(dtype).name.startswith("u") else 0)).astype(dtype)


CASES: dict[str, Node] = {}
for dtype in INTS:
    name = dtype.__name__
    CASES[f"Q_{name}"] = Node("QuantizeLinear", [X, np.float32(0.7), dtype(3)])
    CASES[f"Q_{name}_ties"] = Node("QuantizeLinear", [TIES, np.float32(1), dtype(1)])
    CASES[f"Q_{name}_axis"] = Node("QuantizeLinear", [X, SCALES, stored(dtype, 4)], {"axis": 1})
    CASES[f"Q_{name}_axis_negative"] = Node("QuantizeLinear", [X, SCALES, stored(dtype, 4)], {"axis": -2})
    CASES[f"DQ_{name}"] = Node("DequantizeLinear", [stored(dtype, 2, 4), np.float32(0.7), dtype(3)])
    CASES[f"DQ_{name}_axis"] = Node("DequantizeLinear", [stored(dtype, 2, 4, 3), SCALES, stored(dtype, 4)])
    blocks = [X, np.abs(X[:, :, ::3]) + 0.5, stored(dtype, 2, 4, 2)]
    CASES[f"Q_{name}_blocked"] = Node("QuantizeLinear", blocks, {"axis": 2, "block_size": 3})
    blocks = [stored(dtype, 2, 4, 6), np.abs(X[:, ::2]) + 0.5, stored(dtype, 2, 2, 6)]
    CASES[f"DQ_{name}_blocked"] = Node("DequantizeLinear", blocks, {"axis": 1, "block_size": 2})
CASES["Q_default"] = Node("QuantizeLinear", [X, np.float32(0.7)])
CASES["Q_output_dtype"] = Node("QuantizeLinear", [X, np.float32(0.7)], {"output_dtype": onnx.TensorProto.INT8})
CASES["Q_vector_of_one"] = Node("QuantizeLinear", [X[0, 0], np.float32([0.7]), np.uint8([3])], {"axis": 0})
CASES["DQ_int32"] = Node("DequantizeLinear", [np.array([-70000, 5], np.int32), np.float32(0.5)])
CASES["Dynamic"] = Node("DynamicQuantizeLinear", [X], outputs=3)
CASES["Dynamic_positive"] = Node("DynamicQuantizeLinear", [np.abs(X) + 1], outputs=3)
CASES["Dynamic_negative"] = Node("DynamicQuantizeLinear", [-np.abs(X) - 1], outputs=3)
for left in (np.int8, np.uint8):
    for right in (np.int8, np.uint8):
        a = RNG.integers(np.iinfo(left).min, np.iinfo(left).max, (2, 3, 5)).astype(left)
        b = RNG.integers(np.iinfo(right).min, np.iinfo(right).max, (5, 4)).astype(right)
        pair = f"{left.__name__}_{right.__name__}"
        if left is np.uint8 or right is np.int8:
            CASES[f"MatMulInteger_{pair}"] = Node("MatMulInteger", [a, b, left(7), right(3)])
            CASES[f"MatMulInteger_{pair}_plain"] = Node("MatMulInteger", [a, b])
            scaled = [a, np.float32(0.1), left(7), b, np.float32(0.2), right(3), np.float32(9.5), left(11)]
            CASES[f"QLinearMatMul_{pair}"] = Node("QLinearMatMul", scaled)
CASES["MatMulInteger_columns"] = Node("MatMulInteger", [a, b, np.uint8(7), np.arange(4, dtype=np.uint8)])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CASES)
def test_agrees(name: str, form: Form) -> None:
    agrees(CASES[name], form)


NARROW = {
    f"Q_{d.__name__}": Node("QuantizeLinear", [X, np.float32(3.3), np.zeros((), d)]) for d in [*FLOAT8, *SUB_BYTE]
}
NARROW |= {f"Q_{d.__name__}_axis": Node("QuantizeLinear", [X, SCALES, stored(d, 4)]) for d in SUB_BYTE}
NARROW |= {
    f"DQ_{d.__name__}": Node("DequantizeLinear", [stored(d, 2, 4), np.float32(0.7)]) for d in [*FLOAT8, *SUB_BYTE]
}
NARROW |= {
    f"DQ_{d.__name__}_axis": Node("DequantizeLinear", [stored(d, 2, 4), SCALES, stored(d, 4)]) for d in SUB_BYTE
}
NARROW["Q_float4"] = Node("QuantizeLinear", [X, np.float32(9), np.zeros((), ml_dtypes.float4_e2m1fn)])
NARROW["DQ_float16"] = Node("DequantizeLinear", [stored(np.int8, 2, 4), np.float16(0.7), np.int8(1)])
NARROW["DQ_to_float16"] = Node("DequantizeLinear", [stored(np.int8, 2, 4), np.float32(0.7)], {"output_dtype": 10})
NARROW["Q_int32"] = Node("QuantizeLinear", [np.arange(-9, 9, dtype=np.int32), np.float32(1.5), np.int8(2)])
NARROW["Q_short_last_block"] = Node(
    "QuantizeLinear", [X, np.abs(X[:, :, ::4]) + 0.5, stored(np.int8, 2, 4, 2)], {"axis": -1, "block_size": 4}
)
NARROW["DQ_int4_blocked"] = Node(
    "DequantizeLinear",
    [stored(ml_dtypes.int4, 2, 4, 6), np.abs(X[:, ::2]), stored(ml_dtypes.int4, 2, 2, 6)],
    {"axis": 1, "block_size": 2},
)


@pytest.mark.parametrize("form", ["plain", "frozen"])
@pytest.mark.parametrize("name", NARROW)
def test_agrees_with_the_reference(name: str, form: Form) -> None:
    """ONNX Runtime has no kernel for most of these."""
    node = NARROW[name]
    expected = ReferenceEvaluator(node.model("plain")).run(None, node.arrays())
    agrees(node, form, expected=expected)
