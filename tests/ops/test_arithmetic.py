"""Arithmetic, comparison and bit operators of every type: wrap-around, truncation, signs, broadcasting."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from matrix import FORMS, Form, Node, agrees

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

RNG = np.random.default_rng(11)
INTS = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
FLOATS = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64]
BINARY = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply}


def extremes(dtype: type) -> np.ndarray:
    info = np.iinfo(dtype)
    return np.array([info.min, info.max, 0, 1, 7, info.max // 2 + 1], dtype)


def divisors(dtype: type) -> np.ndarray:
    return np.array([3, 2, 7, 1, 5, 100 if np.iinfo(dtype).min == 0 else -3], dtype)


def truncated(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    quotient = [
        abs(int(x)) // abs(int(y)) * (1 if (int(x) < 0) == (int(y) < 0) else -1) for x, y in zip(a, b, strict=True)
    ]
    return np.array(quotient, a.dtype)


def case(op: str, *inputs: object, **attributes: object) -> Node:
    return Node(op, inputs, attributes)


INTEGER_CASES = {
    f"{op}_{d.__name__}": (case(op, extremes(d), extremes(d)[::-1].copy()), function(extremes(d), extremes(d)[::-1]))
    for d in INTS
    for op, function in {**BINARY, "Max": np.maximum, "Min": np.minimum}.items()
}
INTEGER_CASES |= {
    f"Div_{d.__name__}": (case("Div", extremes(d), divisors(d)), truncated(extremes(d), divisors(d))) for d in INTS
}
INTEGER_CASES |= {
    f"Mod_{d.__name__}": (case("Mod", extremes(d), divisors(d)), np.mod(extremes(d), divisors(d))) for d in INTS
}
INTEGER_CASES |= {
    f"Mod_fmod_{d.__name__}": (case("Mod", extremes(d), divisors(d), fmod=1), np.fmod(extremes(d), divisors(d)))
    for d in INTS
}
INTEGER_CASES |= {
    f"{op}_{d.__name__}": (case(op, extremes(d), extremes(d)[::-1].copy()), function(extremes(d), extremes(d)[::-1]))
    for d in INTS
    for op, function in {
        "BitwiseAnd": np.bitwise_and,
        "BitwiseOr": np.bitwise_or,
        "BitwiseXor": np.bitwise_xor,
        "Less": np.less,
        "LessOrEqual": np.less_equal,
        "Greater": np.greater,
        "GreaterOrEqual": np.greater_equal,
        "Equal": np.equal,
    }.items()
}
INTEGER_CASES |= {f"BitwiseNot_{d.__name__}": (case("BitwiseNot", extremes(d)), ~extremes(d)) for d in INTS}
INTEGER_CASES |= {
    f"BitShift_{direction}_{d.__name__}": (
        case("BitShift", extremes(d), np.array([0, 1, 2, 7, 8, np.iinfo(d).bits], d), direction=direction),
        function(extremes(d), np.array([0, 1, 2, 7, 8, np.iinfo(d).bits], d)),
    )
    for d in (np.uint8, np.uint16, np.uint32, np.uint64)
    for direction, function in {"LEFT": np.left_shift, "RIGHT": np.right_shift}.items()
}


@pytest.mark.parametrize("name", INTEGER_CASES)
def test_integers_are_exact(name: str) -> None:
    made, expected = INTEGER_CASES[name]
    agrees(made, "plain", expected=[expected])


A, B = RNG.normal(size=(2, 3, 4)).astype(np.float32), RNG.normal(size=(3, 1)).astype(np.float32)
SIGNED = np.array([5.3, -5.3, 5.3, -5.3, 0.0, 4.0], np.float32), np.array([2, 2, -2, -2, 3, 2], np.float32)
CASES = {
    **{
        op: case(op, A, B)
        for op in ("Add", "Sub", "Mul", "Div", "Less", "Greater", "Equal", "Max", "Min", "Sum", "Mean")
    },
    **{f"{op}_three": case(op, A, B, A + 1) for op in ("Sum", "Mean", "Max", "Min")},
    **{f"{op}_one": case(op, A) for op in ("Sum", "Mean", "Max", "Min")},
    **{f"{op}_scalar": case(op, A, np.float32(2)) for op in ("Add", "Sub", "Mul", "Div", "Pow", "Max")},
    **{f"{op}_up": case(op, B, A) for op in ("Add", "Div", "Pow", "Max")},
    "Add_row": case("Add", A[0], A[0, :1]),
    "Add_row_first": case("Add", A[0, :1], A[0]),
    "Add_empty": case("Add", A[:0], B),
    "Mod_fmod": case("Mod", *SIGNED, fmod=1),
    "Pow_square": case("Pow", A, np.float32([2])),
    "Pow_root": case("Pow", np.abs(A), np.float32(0.5)),
    "Pow_int": case("Pow", np.array([2, -3, 0, 1], np.int64), np.array([5, 3, 2, 0], np.int64)),
    "Pow_int32_float": case("Pow", np.array([2, 3, 4], np.int32), np.array([0.5, 2.0, 1.5], np.float32)),
    "Pow_float_int": case("Pow", A, np.array([3], np.int64)),
    "Pow_float_int32": case("Pow", A, np.array([[2], [0], [1]], np.int32)),
    "Equal_bool": case("Equal", np.array([True, False]), np.array([True, True])),
    "Equal_text": case("Equal", np.array(["a", "bé"], object), np.array(["a", "b"], object)),
    "And": case("And", np.array([[True], [False]]), np.array([True, False])),
    "Or": case("Or", np.array([[True], [False]]), np.array([True, False])),
    "Xor": case("Xor", np.array([[True], [False]]), np.array([True, False])),
    "Not": case("Not", np.array([True, False])),
    "IsNaN": case("IsNaN", np.float32([np.nan, 1, np.inf])),
    **{
        f"IsInf_{n}{p}": case("IsInf", np.float32([np.nan, -np.inf, np.inf, 1]), detect_negative=n, detect_positive=p)
        for n in (0, 1)
        for p in (0, 1)
    },
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CASES)
def test_agrees(name: str, form: Form) -> None:
    agrees(CASES[name], form)


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: d.__name__)
@pytest.mark.parametrize("op", [*BINARY, "Max", "Min"])
def test_floats(op: str, dtype: type) -> None:
    a, b = A.astype(dtype), B.astype(dtype)
    expected = {**BINARY, "Max": np.maximum, "Min": np.minimum}[op](a, b)
    agrees(Node(op, [a, b]), "plain", expected=[expected])


def test_negative_integer_exponents_are_zero_but_for_units() -> None:
    x, y = np.array([2, -1, -1, 1, 5], np.int64), np.array([-1, -1, -2, -7, 2], np.int64)
    agrees(Node("Pow", [x, y]), "plain", expected=[np.array([0, -1, 1, 1, 25], np.int64)])


def test_large_integer_exponents_keep_their_parity() -> None:
    x, y = np.float32([-1.0, -1.0]), np.array([2**24 + 1, 2**24 + 2], np.int64)
    agrees(Node("Pow", [x, y]), "plain", expected=[np.float32([-1, 1])])


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_bias_of_rank_two_survives_fusion(transposed: int) -> None:
    """TensorFlow fuses MatMul and Add, and the fused kernel fails on a bias of rank 2."""
    a, b, bias = (RNG.normal(size=s).astype(np.float32) for s in ((4, 3) if transposed else (3, 4), (4, 5), (1, 5)))
    agrees(Node("Gemm", [a, b, bias], {"transA": transposed}), "plain", rtol=1e-4, atol=1e-5)
