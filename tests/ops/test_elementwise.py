"""Functions of one tensor and activations: every type, special values, odd attributes; against ONNX Runtime."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from matrix import FORMS, Form, Node, agrees

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

RNG = np.random.default_rng(7)
REAL = RNG.normal(size=(2, 3, 5)).astype(np.float32) * 3
EDGES = np.array([0.0, -0.0, 0.5, 1.5, 2.5, -0.5, -1.5, np.inf, -np.inf, np.nan, 100.0, -100.0, 1e-6], np.float32)
UNIT = np.linspace(-0.99, 0.99, 7, dtype=np.float32)
POSITIVE = np.array([0.0, 1e-6, 0.5, 1.0, 7.0, 1e6, np.inf], np.float32)


def node(op: str, *inputs: object, **attributes: object) -> Node:
    return Node(op, inputs, attributes)


UNARY = [
    "Abs",
    "Ceil",
    "Erf",
    "Exp",
    "Floor",
    "Neg",
    "Reciprocal",
    "Round",
    "Sigmoid",
    "Sign",
    "Softplus",
    "Softsign",
]
UNARY += ["Tanh", "Relu", "Elu", "Selu", "Celu", "LeakyRelu", "HardSigmoid", "HardSwish", "Mish", "ThresholdedRelu"]
CASES: dict[str, Node] = {
    **{op: node(op, np.concatenate([REAL.ravel(), EDGES[:7], EDGES[10:]])) for op in UNARY},
    **{f"{op}_f64": node(op, REAL.astype(np.float64)) for op in ("Abs", "Exp", "Floor", "Round", "Sigmoid")},
    **{f"{op}_unit": node(op, UNIT) for op in ("Acos", "Asin", "Atan", "Atanh", "Sin", "Cos", "Tan", "Sinh", "Cosh")},
    **{f"{op}_positive": node(op, POSITIVE) for op in ("Sqrt", "Log", "Asinh")},
    "Acosh": node("Acosh", POSITIVE + 1),
    **{f"{op}_edges": node(op, EDGES) for op in ("Abs", "Ceil", "Floor", "Neg", "Round", "Relu", "Sigmoid", "Tanh")},
    **{
        f"Abs_{d.__name__}": node("Abs", np.array([0, 5, -7]).astype(d))
        for d in (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64)
    },
    **{f"Sign_{d.__name__}": node("Sign", np.array([0, 5, -7]).astype(d)) for d in (np.int8, np.int64, np.uint64)},
    **{f"Neg_{d.__name__}": node("Neg", np.array([0, 5, -128]).astype(d)) for d in (np.int8, np.int32, np.int64)},
    "scalar": node("Exp", np.float32(0.5)),
    "empty": node("Exp", np.zeros((0, 3), np.float32)),
    "Elu_alpha": node("Elu", REAL, alpha=2.5),
    "Celu_alpha": node("Celu", REAL, alpha=0.4),
    "Selu_alpha": node("Selu", REAL, alpha=2.0, gamma=3.0),
    "LeakyRelu_large": node("LeakyRelu", REAL, alpha=1.5),
    "LeakyRelu_negative": node("LeakyRelu", REAL, alpha=-0.5),
    "HardSigmoid_torch": node("HardSigmoid", REAL, alpha=1 / 6),
    "HardSigmoid_slope": node("HardSigmoid", REAL, alpha=0.5, beta=0.6),
    "ThresholdedRelu_negative": node("ThresholdedRelu", REAL, alpha=-1.0),
    "Gelu_erf": node("Gelu", REAL),
    "Gelu_tanh": node("Gelu", REAL, approximate="tanh"),
    "Shrink": node("Shrink", REAL, lambd=1.5, bias=0.5),
    "Shrink_int": node("Shrink", np.arange(-4, 5, dtype=np.int32), lambd=1.5, bias=1.5),
    "PRelu": node("PRelu", REAL, RNG.normal(size=(3, 1)).astype(np.float32)),
    "PRelu_f16": node("PRelu", REAL.astype(np.float16), np.float16([0.25])),
    **{f"Softmax_{axis}": node("Softmax", REAL, axis=axis) for axis in (0, 1, -1)},
    **{f"LogSoftmax_{axis}": node("LogSoftmax", REAL, axis=axis) for axis in (0, 1, -1)},
    **{f"Hardmax_{axis}": node("Hardmax", np.round(REAL), axis=axis) for axis in (0, 1, -1)},
    "Softmax_large": node("Softmax", REAL * 1e4),
    "Clip": node("Clip", EDGES, np.float32(-1), np.float32(1)),
    "Clip_min": node("Clip", REAL, np.float32(-1)),
    "Clip_max": node("Clip", REAL, None, np.float32(1)),
    "Clip_inverted": node("Clip", REAL, np.float32(1), np.float32(-1)),
    "Clip_none": node("Clip", REAL),
    **{
        f"Clip_{d.__name__}": node("Clip", np.array([0, 5, 90], d), d(3), d(60))
        for d in (np.int8, np.uint8, np.int32, np.uint32, np.int64, np.uint64)
    },
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CASES)
def test_agrees(name: str, form: Form) -> None:
    agrees(CASES[name], form, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize(
    "op", ["Exp", "Tanh", "Softplus", "Elu", "Swish", "Mish", "HardSwish", "LogSoftmax", "Gelu", "Round"]
)
def test_halves_are_rounded_once(op: str, dtype: type) -> None:
    half, wide = REAL.astype(dtype), REAL.astype(dtype).astype(np.float32)
    from conformance import run_tensorflow

    (exact,) = run_tensorflow(Node(op, [wide]).model("plain"), {"x0": wide})
    unit = float(ml_dtypes.finfo(dtype).eps)
    agrees(Node(op, [half]), "plain", expected=[exact.astype(dtype)], rtol=unit, atol=unit)


@pytest.mark.parametrize("op", ["Relu", "Clip", "Max", "Min", "Abs", "Sqrt", "Tanh"])
def test_nan_goes_through(op: str) -> None:
    x = np.array([np.nan, 1.0, -1.0], np.float32)
    operands = {"Clip": [x, np.float32(-2), np.float32(2)], "Max": [x, x[1:2]], "Min": [x[1:2], x]}.get(op, [x])
    from conformance import run_tensorflow

    made = run_tensorflow(Node(op, operands).model("plain"), Node(op, operands).arrays())[0]
    assert np.isnan(made[0]) and (op == "Sqrt" or np.isfinite(made[1:]).all())
