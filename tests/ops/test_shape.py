"""Shapes, padding and generated tensors against ONNX Runtime."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from matrix import FORMS, Node, agrees

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

R = np.random.default_rng(0)
X = R.normal(size=(2, 3, 4)).astype(np.float32)
WORDS = np.array([["a", "bé"], ["", "d d"]], object)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


CASES = {
    "shape": Node("Shape", [X]),
    "shape-part": Node("Shape", [X], {"start": -2, "end": 7}),
    "shape-none": Node("Shape", [X], {"start": 2, "end": 1}),
    "shape-text": Node("Shape", [WORDS]),
    "size": Node("Size", [X]),
    "size-empty": Node("Size", [X[:0]]),
    "reshape": Node("Reshape", [X, ints(4, -1)]),
    "reshape-zeros": Node("Reshape", [X, ints(0, 0, 2, 2)]),
    "reshape-zero-rest": Node("Reshape", [X, ints(0, -1)]),
    "reshape-one-zero": Node("Reshape", [X, ints(-1, 3, 0)]),
    "reshape-allowzero": Node("Reshape", [X[:0], ints(3, 0, 4)], {"allowzero": 1}),
    "reshape-empty": Node("Reshape", [X[:0], ints(0, 12)]),
    "reshape-scalar": Node("Reshape", [X[:1, :1, :1], ints()]),
    "reshape-of-scalar": Node("Reshape", [np.float32(3), ints(1, 1)]),
    "reshape-text": Node("Reshape", [WORDS, ints(-1)]),
    "flatten": Node("Flatten", [X]),
    "flatten-0": Node("Flatten", [X], {"axis": 0}),
    "flatten-negative": Node("Flatten", [X], {"axis": -1}),
    "flatten-rank": Node("Flatten", [X], {"axis": 3}),
    "squeeze": Node("Squeeze", [X[:1, :, :1], ints(0, -1)]),
    "squeeze-one": Node("Squeeze", [X[:1, :, :1], ints(2)]),
    "unsqueeze": Node("Unsqueeze", [X, ints(0, -1)]),
    "unsqueeze-unsorted": Node("Unsqueeze", [X, ints(4, 1)]),
    "unsqueeze-scalar": Node("Unsqueeze", [np.float32(2), ints(0)]),
    "unsqueeze-one": Node("Unsqueeze", [X, ints(-2)]),
    "expand": Node("Expand", [X[:, :1], ints(2, 5, 4)]),
    "expand-both": Node("Expand", [X, ints(3, 1)]),
    "expand-longer": Node("Expand", [X[:, :1], ints(2, 1, 3, 1)]),
    "expand-shorter": Node("Expand", [X, ints(1)]),
    "expand-to-none": Node("Expand", [X[:, :, :1], ints(2, 3, 0)]),
    "expand-half": Node("Expand", [X[:, :1].astype(np.float16), ints(2, 4)]),
    "transpose": Node("Transpose", [X]),
    "transpose-perm": Node("Transpose", [X], {"perm": [1, 2, 0]}),
    "transpose-vector": Node("Transpose", [X[0, 0]], {"perm": [0]}),
    "transpose-scalar": Node("Transpose", [np.float32(2)]),
    "transpose-text": Node("Transpose", [WORDS]),
    "concat": Node("Concat", [X, X[:, :1], X], {"axis": 1}),
    "concat-negative": Node("Concat", [X, X[..., :2]], {"axis": -1}),
    "concat-one": Node("Concat", [X], {"axis": 0}),
    "concat-text": Node("Concat", [WORDS, WORDS], {"axis": 0}),
    "split-sizes": Node("Split", [X, ints(1, 0, 3)], {"axis": 2}, 3),
    "split-even": Node("Split", [X], {"axis": -1, "num_outputs": 2}, 2),
    "split-uneven": Node("Split", [np.arange(7)], {"num_outputs": 4}, 4),
    "split-text": Node("Split", [WORDS], {"axis": 1, "num_outputs": 2}, 2),
    "tile": Node("Tile", [X, ints(2, 1, 3)]),
    "tile-none": Node("Tile", [X, ints(2, 0, 3)]),
    "tile-uint8": Node("Tile", [np.arange(6, dtype=np.uint8).reshape(2, 3), ints(1, 2)]),
    "tile-text": Node("Tile", [WORDS, ints(2, 1)]),
    "identity": Node("Identity", [X]),
    "identity-text": Node("Identity", [WORDS]),
    "constant-of-shape": Node("ConstantOfShape", [ints(2, 3)]),
    "constant-of-shape-none": Node("ConstantOfShape", [ints()]),
    "eye-like": Node("EyeLike", [X[0]], {"k": 1}),
    "eye-like-below": Node("EyeLike", [X[0].T], {"k": -2, "dtype": 7}),
    "range": Node("Range", [np.int64(3), np.int64(-8), np.int64(-3)]),
    "range-none": Node("Range", [np.int32(3), np.int32(3), np.int32(1)]),
    "range-backwards-none": Node("Range", [np.int64(3), np.int64(5), np.int64(-1)]),
    "range-float": Node("Range", [np.float32(0.1), np.float32(1.0), np.float32(0.1)]),
    "range-double": Node("Range", [np.float64(1), np.float64(-1), np.float64(-0.3)]),
    "range-int16": Node("Range", [np.int16(-3), np.int16(9), np.int16(5)]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CASES)
def test_as_onnxruntime(name: str, form: str) -> None:
    agrees(CASES[name], form)


PADS = {
    "none": (0, 0, 0, 0, 0, 0),
    "some": (1, 0, 2, 0, 1, 1),
    "crop": (0, -1, 0, 0, -1, 0),
    "crop-and-pad": (0, -1, 1, 1, 1, -1),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pads", PADS)
@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap"])
def test_pad(mode: str, pads: str, form: str) -> None:
    agrees(Node("Pad", [X, ints(*PADS[pads])], {"mode": mode}), form)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", ["edge", "reflect", "wrap"])
def test_pad_beyond_the_tensor(mode: str, form: str) -> None:
    """As numpy pads, which ONNX's own definition calls."""
    pairs = [(4, 5), (0, 7), (9, 0)]
    pads = ints(*(p[0] for p in pairs), *(p[1] for p in pairs))
    agrees(Node("Pad", [X, pads], {"mode": mode}), form, expected=[np.pad(X, pairs, mode=mode)])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "node",
    [
        Node("Pad", [X, ints(1, 2, 3, 0), np.float32(7), ints(-1, 0)]),
        Node("Pad", [X, ints(1, 2), None, ints(1)], {"mode": "edge"}),
        Node("Pad", [X.astype(np.int8), ints(1, 0, 0, 0, 0, 1), np.int8(-3)]),
        Node("Pad", [X > 0, ints(1, 0, 0, 0, 0, 1), np.bool_(True)]),
        Node("Pad", [X.astype(np.float64), ints(0, 0, 1, 0, 0, 1)], {"mode": "reflect"}),
        Node("Pad", [X[:, :0], ints(0, 1, 0, 0, 1, 0)]),
    ],
    ids=["axes", "axes-edge", "int8", "bool", "double", "empty"],
)
def test_pad_operands(node: Node, form: str) -> None:
    agrees(node, form)


NARROW = ["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "int4", "uint4", "bfloat16"]


@pytest.mark.parametrize("form", ["frozen", "plain"])
@pytest.mark.parametrize("dtype", NARROW)
def test_narrow_types_move(dtype: str, form: str) -> None:
    """ONNX Runtime has few of them, so numpy says what is right."""
    x = (np.arange(12).reshape(3, 4) % 7).astype(getattr(ml_dtypes, dtype))
    nodes = [
        (Node("Transpose", [x]), x.T),
        (Node("Reshape", [x, ints(2, -1)]), x.reshape(2, -1)),
        (Node("Unsqueeze", [x, ints(0)]), x[None]),
        (Node("Squeeze", [x[None], ints(0)]), x),
        (Node("Pad", [x, ints(1, 0, 0, 2)]), np.pad(x, ((1, 0), (0, 2)))),
    ]
    for node, expected in nodes:
        agrees(node, form, expected=[expected])
