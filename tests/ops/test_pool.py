"""Pooling by TensorFlow, attribute by attribute, against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from matrix import Form, Node, agrees

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

RNG = np.random.default_rng(1)
FORMS: tuple[Form, ...] = ("plain", "free")  # there is but one operand
IMAGES = {1: (2, 3, 11), 2: (2, 3, 9, 8), 3: (1, 2, 6, 7, 8)}
PADS = {1: [1, 0], 2: [1, 0, 1, 1], 3: [1, 0, 1, 0, 1, 1]}

WINDOWS = {
    "plain": {},
    "strides": {"strides": 2},
    "pads": {"pads": True},
    "pads_strides": {"pads": True, "strides": 2},
    "ceil": {"strides": 2, "ceil_mode": 1},
    "ceil_pads": {"strides": 2, "ceil_mode": 1, "pads": True},
    "ceil_wide_strides": {"strides": 4, "ceil_mode": 1, "pads": True},
    "dilated": {"dilations": 2, "pads": True},
    "dilated_ceil": {"dilations": 2, "strides": 3, "ceil_mode": 1},
    "same_upper": {"auto_pad": "SAME_UPPER", "strides": 2},
    "same_lower": {"auto_pad": "SAME_LOWER", "strides": 2},
    "valid": {"auto_pad": "VALID", "strides": 2},
}


def _attributes(window: str, rank: int) -> dict[str, object]:
    made: dict[str, object] = {"kernel_shape": [3, 2, 3][:rank]}
    for name, value in WINDOWS[window].items():
        if name == "pads":
            made[name] = PADS[rank]
        else:
            made[name] = [value] * rank if name in ("strides", "dilations") else value
    return made


def _image(rank: int, dtype: str = "float32") -> np.ndarray:
    return (RNG.standard_normal(IMAGES[rank]) * 4).astype(dtype)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rank", IMAGES)
@pytest.mark.parametrize("window", WINDOWS)
def test_max_pool(window: str, rank: int, form: Form) -> None:
    agrees(Node("MaxPool", [_image(rank)], _attributes(window, rank)), form)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("column_major", (0, 1))
@pytest.mark.parametrize("rank", IMAGES)
@pytest.mark.parametrize("window", ("plain", "pads_strides", "ceil", "dilated", "same_lower"))
def test_max_pool_indices(window: str, rank: int, column_major: int, form: Form) -> None:
    """Small integers as values, so that there are ties: the first in row-major order counts."""
    image = RNG.integers(0, 4, IMAGES[rank]).astype(np.float32)
    attributes = {**_attributes(window, rank), "storage_order": column_major}
    agrees(Node("MaxPool", [image], attributes, outputs=2), form)


@pytest.mark.parametrize("dtype", ("float64", "float16", "int8", "uint8"))
@pytest.mark.parametrize("window", ("pads_strides", "dilated", "ceil"))
def test_max_pool_types(window: str, dtype: str) -> None:
    agrees(Node("MaxPool", [_image(2, dtype)], _attributes(window, 2)), "free")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("include", (0, 1))
@pytest.mark.parametrize("rank", IMAGES)
@pytest.mark.parametrize("window", WINDOWS)
def test_average_pool(window: str, rank: int, include: int, form: Form) -> None:
    attributes = {**_attributes(window, rank), "count_include_pad": include}
    agrees(Node("AveragePool", [_image(rank)], attributes), form, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("p", (1, 2, 3))
@pytest.mark.parametrize("window", ("plain", "pads_strides", "dilated", "ceil_pads", "same_upper"))
@pytest.mark.parametrize("rank", IMAGES)
def test_lp_pool(rank: int, window: str, p: int, form: Form) -> None:
    agrees(Node("LpPool", [_image(rank)], {**_attributes(window, rank), "p": p}), form, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("op", ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"))
@pytest.mark.parametrize("rank", IMAGES)
def test_global_pools(rank: int, op: str, form: Form) -> None:
    # ONNX Runtime has no GlobalLpPool of opset 22
    agrees(Node(op, [_image(rank)], {"p": 3} if op == "GlobalLpPool" else {}, opset=21), form, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("attributes", ({}, {"strides": [2, 2]}, {"strides": [2, 2], "pads": [1, 0, 0, 1]}))
def test_max_unpool(attributes: dict[str, list[int]], form: Form) -> None:
    values = RNG.standard_normal((2, 3, 3, 4)).astype(np.float32)
    strides, cut = attributes.get("strides", [1, 1]), int("pads" in attributes)
    sizes = [(n - 1) * stride + 2 - cut for n, stride in zip((3, 4), strides, strict=True)]
    places = np.stack([RNG.permutation(sizes[0] * sizes[1])[:12] for _ in range(6)]).reshape(2, 3, 3, 4)
    places += np.arange(6).reshape(2, 3, 1, 1) * sizes[0] * sizes[1]
    agrees(Node("MaxUnpool", [values, places.astype(np.int64)], {"kernel_shape": [2, 2], **attributes}), form)
