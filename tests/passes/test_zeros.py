"""Pads of zeros before a MaxPool, in ONNX Runtime with all its optimizations."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from layout_nets import hub_of

from isthmus.passes.zeros import KeepZeros
from isthmus.types import Options
from isthmus.writers.onnx import write_onnx

POOL = "MaxPool <kernel_shape = [3, 3], strides = [2, 2]>"
HEAD = (
    "net (float[n, 1, 4, 4] x) => (float[n, 1, 2, 2] y) <int64[8] pads = {0, 0, 1, 1, 0, 0, 1, 1}, float zero = {0}>"
)
LINES = {
    "bare": f"p = Pad (x, pads) y = {POOL} (p)",
    "zero": f"p = Pad (x, pads, zero) y = {POOL} (p)",
    "twice": f"p = Pad (x, pads) a = {POOL} (p) b = {POOL} (p) y = Max (a, b)",
}


def optimized(hub, opset: int | None, array: np.ndarray) -> np.ndarray:
    import onnxruntime

    proto = ir.to_proto(write_onnx(hub, None, options=Options(opset=opset)).model)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": array})[0]


@pytest.mark.onnxruntime
@pytest.mark.parametrize("opset", [None, 16, 18, 21])
@pytest.mark.parametrize("name", LINES)
def test_zeros_are_larger_than_negative_numbers(name: str, opset: int | None) -> None:
    array = np.full((2, 1, 4, 4), -3, np.float32)
    made = optimized(hub_of(f"{HEAD} {{ {LINES[name]} }}", {}), opset, array)
    np.testing.assert_array_equal(made, np.broadcast_to([[0, 0], [0, -3]], (2, 1, 2, 2)))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f'p = Pad <mode = "edge"> (x, pads) y = {POOL} (p)', "it is not a Pad that would be fused"),
        (f"p = Pad (x, pads, two) y = {POOL} (p)", "it pads with something else"),
    ],
)
def test_other_pads_are_left(line: str, reason: str) -> None:
    result = KeepZeros()(hub_of(f"{HEAD.replace('float zero = {0}', 'float two = {2}')} {{ {line} }}", {}))
    assert not result.modified
    assert [declined.reason for declined in result.declined] == [reason]
