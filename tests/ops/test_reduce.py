"""Reductions and running sums: axes in every form, empty axes, empty tensors, every type; against ONNX Runtime."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from matrix import FORMS, Form, Node, agrees

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

RNG = np.random.default_rng(3)
X = RNG.normal(size=(2, 3, 4)).astype(np.float32)
OPS = ["Sum", "Mean", "Prod", "Max", "Min", "L1", "L2", "LogSum", "LogSumExp", "SumSquare"]
AXES = {"all": None, "one": [1], "last": [-1], "two": [0, -1], "every": [0, 1, 2], "none": []}


def reduction(op: str, x: np.ndarray, axes: list[int] | None, **attributes: int) -> Node:
    operands = [x] if axes is None else [x, np.array(axes, np.int64)]
    return Node(f"Reduce{op}", operands, attributes)


CASES: dict[str, Node] = {
    f"{op}_{name}_{keep}": reduction(op, np.abs(X) if op == "LogSum" else X, axes, keepdims=keep)
    for op in OPS
    for name, axes in AXES.items()
    for keep in (0, 1)
    if name in ("one", "two", "none") or op in ("Sum", "Max")
}
CASES |= {
    f"{op}_int32": reduction(op, np.arange(-6, 6, dtype=np.int32).reshape(3, 4), [1])
    for op in ("Sum", "Prod", "Max", "Min", "L1")
}
CASES |= {f"{op}_int64": reduction(op, np.arange(-6, 6).reshape(3, 4), [0]) for op in ("Sum", "Prod", "Max", "Min")}
CASES |= {f"{op}_uint8": reduction(op, np.arange(12, dtype=np.uint8).reshape(3, 4), [0]) for op in ("Max", "Min")}
CASES |= {f"{op}_bool": reduction(op, np.array([[True, False], [True, True]]), [0]) for op in ("Max", "Min")}
CASES |= {
    f"{op}_f64": reduction(op, X.astype(np.float64), [0, 2]) for op in ("Sum", "Mean", "Max", "L2", "LogSumExp")
}
CASES |= {
    f"{op}_infinite": reduction(op, np.float32([[-np.inf, 1], [np.inf, 2]]), [1])
    for op in ("Max", "Min", "LogSumExp")
}
for reverse in (0, 1):
    for exclusive in (0, 1):
        flags = {"reverse": reverse, "exclusive": exclusive}
        CASES[f"CumSum_{reverse}{exclusive}"] = Node("CumSum", [X, np.int64(1)], flags)
        CASES[f"CumSum_last_{reverse}{exclusive}"] = Node("CumSum", [X, np.int32(-1)], flags)
        CASES[f"CumSum_int_{reverse}{exclusive}"] = Node("CumSum", [np.arange(12).reshape(3, 4), np.int64(0)], flags)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CASES)
def test_agrees(name: str, form: Form) -> None:
    agrees(CASES[name], form, rtol=2e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("op", OPS)
def test_no_axes_and_no_operation(op: str, form: Form) -> None:
    """With noop_with_empty_axes nothing is reduced, and each element meets the function alone."""
    x = np.abs(X) + 1
    alone = {"L2": np.abs, "SumSquare": np.square, "LogSum": np.log}.get(op, lambda v: v)
    for axes in (None, []):
        agrees(reduction(op, x, axes, noop_with_empty_axes=1), form, expected=[alone(x)])


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize("op", ["Sum", "Mean", "Max", "L1", "LogSumExp"])
def test_halves_are_summed_in_float32(op: str, dtype: type) -> None:
    x = (np.abs(RNG.normal(size=(3, 4000))) + 0.5).astype(dtype)
    wide = x.astype(np.float64)
    function = {"Sum": np.sum, "Mean": np.mean, "Max": np.max, "L1": np.sum}.get(
        op, lambda v, axis: np.log(np.exp(v).sum(axis))
    )
    expected = np.asarray(function(wide, axis=1)).astype(dtype)
    unit = float(ml_dtypes.finfo(dtype).eps)
    agrees(reduction(op, x, [1], keepdims=0), "plain", expected=[expected], rtol=unit)


@pytest.mark.parametrize(
    "op, neutral", [("Sum", 0), ("Prod", 1), ("Max", -np.inf), ("Min", np.inf), ("LogSumExp", -np.inf)]
)
def test_nothing_reduces_to_the_neutral_element(op: str, neutral: float) -> None:
    empty = np.zeros((2, 0, 3), np.float32)
    agrees(reduction(op, empty, [1], keepdims=0), "plain", expected=[np.full((2, 3), neutral, np.float32)])


def test_unsigned_sums_wrap_around() -> None:
    for dtype in (np.uint32, np.uint64):
        x = np.array([[np.iinfo(dtype).max, 3], [5, 6]], dtype)
        agrees(reduction("Sum", x, [1], keepdims=0), "plain", expected=[x.sum(1, dtype=dtype)])


def test_the_mean_of_large_integers_does_not_overflow() -> None:
    x = np.full((4,), 2**30, np.int32)
    agrees(reduction("Mean", x, [0]), "plain", expected=[np.array([2**30], np.int32)])
