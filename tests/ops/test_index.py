"""Gathering, slicing and scattering against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matrix import FORMS, Node, agrees

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

R = np.random.default_rng(1)
X = R.normal(size=(3, 4, 5)).astype(np.float32)
WORDS = np.array([["a", "bé"], ["", "d d"]], object)
FAR = np.iinfo(np.int64).max


def ints(*values: Any, dtype: Any = np.int64) -> np.ndarray:
    return np.array(values, dtype)


CASES = {
    "gather": Node("Gather", [X, ints(2, 0, -1)], {"axis": 1}),
    "gather-scalar": Node("Gather", [X, np.int64(-2)], {"axis": -1}),
    "gather-matrix": Node("Gather", [X, ints([0, 1], [-3, 2], dtype=np.int32)]),
    "gather-none": Node("Gather", [X, np.zeros([0], np.int64)], {"axis": 1}),
    "gather-text": Node("Gather", [WORDS, ints(1, 0)], {"axis": 1}),
    "gather-vector": Node("Gather", [ints(5, 6, 7), np.int64(-1)]),
    "gather-bool": Node("Gather", [X > 0, ints(1)]),
    "elements": Node("GatherElements", [X, R.integers(-4, 4, (2, 6, 3))], {"axis": 1}),
    "elements-last": Node("GatherElements", [X, R.integers(-5, 5, (3, 4, 2))], {"axis": -1}),
    "elements-int32": Node("GatherElements", [X, R.integers(0, 3, (1, 4, 5), dtype=np.int32)]),
    "elements-text": Node("GatherElements", [WORDS, ints([1, 0])], {"axis": 1}),
    "nd": Node("GatherND", [X, ints([0, 1], [-1, -2])]),
    "nd-full": Node("GatherND", [X, ints([[0, 1, 2]], [[2, 3, -1]])]),
    "nd-batch": Node("GatherND", [X, ints([[1], [0]], [[-1], [3]], [[2], [2]])], {"batch_dims": 1}),
    "nd-batch-2": Node("GatherND", [X, R.integers(-5, 5, (3, 4, 1))], {"batch_dims": 2}),
    "nd-text": Node("GatherND", [WORDS, ints([0, 1])]),
    "slice": Node("Slice", [X, ints(0, 1), ints(2, 4)]),
    "slice-axes": Node("Slice", [X, ints(1, 0), ints(FAR, -1), ints(2, -2)]),
    "slice-steps": Node("Slice", [X, ints(-1, 4), ints(-FAR, 0), ints(1, 2), ints(-1, -2)]),
    "slice-far": Node("Slice", [X, ints(-100), ints(100), ints(1), ints(2)]),
    "slice-backwards-far": Node("Slice", [X, ints(100), ints(-100), ints(2), ints(-3)]),
    "slice-backwards-max": Node("Slice", [X, ints(FAR), ints(-FAR - 1), ints(2), ints(-1)]),
    "slice-backwards-from-before": Node("Slice", [X, ints(-9, -FAR), ints(-FAR, -9), ints(1, 2), ints(-1, -2)]),
    "slice-none": Node("Slice", [X, ints(3), ints(1), ints(1)]),
    "slice-int32": Node(
        "Slice", [X, ints(1, dtype=np.int32), ints(2**31 - 1, dtype=np.int32), ints(-1, dtype=np.int32)]
    ),
    "slice-int32-lowest": Node(
        "Slice",
        [X, *(ints(v, dtype=np.int32) for v in (-1, -(2**31), 1, -1))],
    ),
    "slice-text": Node("Slice", [WORDS, ints(1), ints(0), ints(1), ints(-1)]),
    "where": Node("Where", [X[:, :1] > 0, X, X[0]]),
    "where-text": Node("Where", [np.array([[True], [False]]), WORDS, np.array("z", object)]),
    "where-uint8": Node("Where", [np.array([True, False]), ints(1, 2, dtype=np.uint8), ints(3, 4, dtype=np.uint8)]),
    "compress": Node("Compress", [X, np.array([True, False, True])], {"axis": 1}),
    "compress-flat": Node("Compress", [X, np.array([False, True, False, True])]),
    "compress-none": Node("Compress", [X, np.array([False])], {"axis": -1}),
    "compress-text": Node("Compress", [WORDS, np.array([False, True])], {"axis": 0}),
    "non-zero": Node("NonZero", [(X > 0).astype(np.float32)]),
    "non-zero-bool": Node("NonZero", [X > 0]),
    "non-zero-int64": Node("NonZero", [ints([0, 3], [-1, 0])]),
    "non-zero-scalar": Node("NonZero", [np.float32(3)]),
    "one-hot": Node("OneHot", [ints(1, -1, 5, 9, -9), np.int64(5), np.array([2, 7], np.float32)]),
    "one-hot-axis": Node("OneHot", [ints([1, 0]), ints(3), ints(0, 1)], {"axis": 0}),
    "one-hot-middle": Node("OneHot", [ints([1, 0]), ints(3), ints(0, 1)], {"axis": -2}),
    "one-hot-float": Node("OneHot", [np.array([1.0, 3.0], np.float32), np.float32(4), np.array([2, 7], np.float32)]),
    "trilu": Node("Trilu", [X]),
    "trilu-k": Node("Trilu", [X, np.int64(2)]),
    "tril-k": Node("Trilu", [X, np.int64(-1)], {"upper": 0}),
    "tril-inf": Node("Trilu", [np.full((3, 3), -np.inf, np.float32), np.int64(0)], {"upper": 0}),
    "trilu-int64": Node("Trilu", [R.integers(-9, 9, (3, 2)), np.int64(-1)]),
    "reverse-sequence": Node("ReverseSequence", [X, ints(1, 2, 0, 3)]),
    "reverse-sequence-batch": Node("ReverseSequence", [X, ints(1, 4, 2)], {"batch_axis": 0, "time_axis": 1}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CASES)
def test_as_onnxruntime(name: str, form: str) -> None:
    agrees(CASES[name], form)


REDUCTIONS = ("none", "add", "mul", "max", "min")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.float64, np.int8])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_scatter_elements(reduction: str, dtype: Any, form: str) -> None:
    once = np.argsort(R.random((3, 4, 5)), axis=1)[:, :2]
    at = once if reduction == "none" else R.integers(-4, 4, (3, 2, 5))
    x, updates = (X * 5).astype(dtype), (R.normal(size=at.shape) * 3).astype(dtype)
    agrees(Node("ScatterElements", [x, at, updates], {"axis": 1, "reduction": reduction}), form)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.float64, np.uint8])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_scatter_nd(depth: int, reduction: str, dtype: Any, form: str) -> None:
    at = ints([0, 0, 1], [-1, 2, 3], [1, -1, -2])[:, :depth]
    at = at if reduction == "none" else np.concatenate([at, at[:1]])
    x = (np.abs(X) * 5).astype(dtype)
    updates = (R.random((len(at), *X.shape[depth:])) * 3).astype(dtype)
    agrees(Node("ScatterND", [x, at, updates], {"reduction": reduction}), form)


@pytest.mark.parametrize("form", FORMS)
def test_the_last_of_equal_places_is_written(form: str) -> None:
    places, updates = ints([1, 1, 0]), np.array([[7, 8, 9]], np.float32)
    agrees(Node("ScatterElements", [X[0, :1], places, updates], {"axis": 1}), form)
    agrees(Node("ScatterND", [X[0, 0], ints([1], [1]), np.array([7, 8], np.float32)]), form)


@pytest.mark.parametrize("form", FORMS)
def test_scatter_strings(form: str) -> None:
    agrees(Node("ScatterElements", [WORDS, ints([1, 0]), np.array([["x", "y"]], object)], {"axis": 1}), form)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", ["linear", "circular"])
@pytest.mark.parametrize("axis", [-2, 1, 3])
def test_tensor_scatter(mode: str, axis: int, form: str) -> None:
    past = R.normal(size=(2, 5, 5, 5)).astype(np.float32)
    at = ints(1, 3)
    update = np.take(R.normal(size=past.shape).astype(np.float32), range(2), axis=axis)
    golden = past.copy()
    for row, first in enumerate(at):
        target, source = np.moveaxis(golden[row], axis % 4 - 1, 0), np.moveaxis(update[row], axis % 4 - 1, 0)
        for i in range(2):
            target[(first + i) % 5] = source[i]
    agrees(Node("TensorScatter", [past, update, at], {"mode": mode, "axis": axis}), form, expected=[golden])


def test_what_indices_may_not_do_is_seen() -> None:
    """An index out of bounds fails the run; it does not give a wrong element."""
    import tensorflow as tf

    with pytest.raises(tf.errors.InvalidArgumentError):
        agrees(Node("Gather", [X, ints(5)]), "plain", expected=[X[:1]])
