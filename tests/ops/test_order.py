"""TopK, ArgMax, Unique and NonMaxSuppression against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matrix import FORMS, Node, agrees

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

R = np.random.default_rng(2)
TIES = R.integers(0, 4, (3, 7, 5))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int64, np.int32])
@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("axis", [-1, 1])
def test_top_k(axis: int, largest: int, dtype: Any, form: str) -> None:
    node = Node("TopK", [TIES.astype(dtype), np.array([4])], {"axis": axis, "largest": largest}, 2)
    x = node.inputs[0]
    order = np.argsort(-x if largest else x, axis=axis, kind="stable")
    order = np.take(order, range(4), axis=axis)
    agrees(node, form, expected=[np.take_along_axis(x, order, axis), order])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint64, np.int64, np.uint16, np.uint32])
def test_top_k_at_the_ends_of_a_type(dtype: Any, form: str) -> None:
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    x = np.array([5, high, low, 5, high - 1], dtype)
    agrees(Node("TopK", [x, np.array([3])], {"largest": 0}, 2), form, expected=[x[[2, 0, 3]], [2, 0, 3]])
    agrees(Node("TopK", [x, np.array([3])], {}, 2), form, expected=[x[[1, 4, 0]], [1, 4, 0]])


@pytest.mark.parametrize("form", ["plain", "free"])
@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("axis", [0, -1, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int8, np.uint8])
def test_arg(op: str, last: int, axis: int, dtype: Any, form: str) -> None:
    attributes = {"axis": axis, "select_last_index": last, "keepdims": last}
    agrees(Node(op, [TIES.astype(dtype)], attributes), form)


@pytest.mark.parametrize("form", ["plain", "free"])
def test_arg_of_many_ties(form: str) -> None:
    x = R.integers(0, 3, (4, 1000)).astype(np.float32)
    agrees(Node("ArgMax", [x], {"axis": 1}), form, expected=[np.argmax(x, 1)[:, None]])
    agrees(Node("ArgMin", [x], {"axis": 1}), form, expected=[np.argmin(x, 1)[:, None]])


@pytest.mark.parametrize("form", ["plain", "free"])
@pytest.mark.parametrize("sort", [0, 1])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.int8, np.float64])
def test_unique(dtype: Any, axis: int | None, sort: int, form: str) -> None:
    x = (R.integers(0, 2, (4, 5, 2)) - 1).astype(dtype)
    attributes = {"sorted": sort} | ({} if axis is None else {"axis": axis})
    agrees(Node("Unique", [x], attributes, 4), form)


@pytest.mark.parametrize("form", ["plain", "free"])
@pytest.mark.parametrize("sort", [0, 1])
def test_unique_strings(sort: int, form: str) -> None:
    x = np.array(["b", "a", "", "ab", "é", "b", "a", "z" * 9, "é"], object)
    agrees(Node("Unique", [x], {"sorted": sort}, 4), form)


def test_unique_one_output() -> None:
    agrees(Node("Unique", [TIES], {}, 1), "plain")


def boxes(batch: int, count: int) -> np.ndarray:
    corner = R.random((batch, count, 2)) * 4
    return np.concatenate([corner, corner + R.random((batch, count, 2)) * 3], -1).astype(np.float32)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("center", [0, 1])
@pytest.mark.parametrize("thresholds", [(3, 0.3, 0.2), (50, 0.5, None), (2, None, 0.6), (0, 0.5, 0.1), (9, 0.0, 2.0)])
@pytest.mark.parametrize("size", [(1, 1, 6), (2, 3, 20)])
def test_non_max_suppression(size: Any, thresholds: Any, center: int, form: str) -> None:
    batch, classes, count = size
    most, overlap, score = thresholds
    scores = R.integers(0, 8, (batch, classes, count)).astype(np.float32) / 8  # with ties
    inputs = [
        boxes(batch, count),
        scores,
        np.array([most]),
        None if overlap is None else np.array([overlap], np.float32),
        None if score is None else np.array([score], np.float32),
    ]
    inputs = inputs[: 5 if score is not None else 4 if overlap is not None else 3]
    agrees(Node("NonMaxSuppression", inputs, {"center_point_box": center}), form)


@pytest.mark.parametrize("form", ["plain", "free"])
def test_non_max_suppression_without_limits(form: str) -> None:
    """Nothing is kept where no number is given."""
    scores = R.random((1, 2, 5)).astype(np.float32)
    agrees(Node("NonMaxSuppression", [boxes(1, 5), scores]), form, expected=[np.zeros((0, 3), np.int64)])
