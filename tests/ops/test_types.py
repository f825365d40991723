"""Every type that ONNX allows for an operator is computed: a missing kernel would only show at run time."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from matrix import Node, agrees, made_by_each
from onnx import helper, shape_inference
from onnx.reference import ReferenceEvaluator

from isthmus.hub.model import HUB_OPSET

pytestmark = [pytest.mark.tensorflow]

RNG = np.random.default_rng(29)
# fmt: off
UNARY = [
    "Abs", "Acos", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Ceil", "Celu", "Clip", "Cos", "Cosh",
    "Dropout", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Hardmax", "IsInf", "IsNaN",
    "LeakyRelu", "Log", "LogSoftmax", "Max", "Mean", "Min", "Mish", "Neg", "Reciprocal", "ReduceL1", "ReduceL2",
    "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu", "Round", "Selu",
    "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softmax", "Softplus", "Softsign", "Sqrt", "Sum", "Swish", "Tan",
    "Tanh", "ThresholdedRelu",
]
BINARY = [
    "Add", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Einsum", "Equal", "Gemm", "Greater",
    "GreaterOrEqual", "Less", "LessOrEqual", "MatMul", "Max", "Min", "Mod", "Mul", "PRelu", "Pow", "Sub",
]
# fmt: on
ATTRIBUTES = {"BitShift": {"direction": "LEFT"}, "Einsum": {"equation": "ij,jk->ik"}}
NAMED = {"float": np.float32, "double": np.float64, "float16": np.float16, "bool": np.bool_}
TOLERANCE = {np.float64: 1e-7, np.float32: 1e-5, np.float16: 4e-3, ml_dtypes.bfloat16: 4e-2}


def allowed_types(op: str) -> list[type]:
    schema = onnx.defs.get_schema(op, HUB_OPSET)
    constraint = next(c for c in schema.type_constraints if c.type_param_str == schema.inputs[0].type_str)
    names = [name.removeprefix("tensor(").removesuffix(")") for name in constraint.allowed_type_strs]
    return [_numpy_type(name) for name in names if name != "string"]


def _numpy_type(name: str) -> type:
    if name in NAMED:
        return NAMED[name]
    narrow = name.replace("float8e", "float8_e")
    return getattr(ml_dtypes, narrow, None) or getattr(np, name)


def operand(dtype: type) -> np.ndarray:
    if np.dtype(dtype).kind in "biu":
        return RNG.integers(0, 2 if dtype is np.bool_ else 5, (3, 3)).astype(dtype)
    return (RNG.random((3, 3)) * 0.9 + 0.05).astype(dtype)


@pytest.mark.parametrize("op, arity", [*((op, 1) for op in UNARY), *((op, 2) for op in BINARY)])
def test_every_type(op: str, arity: int) -> None:
    """One model with a node a type, so that one trace is enough."""
    types, nodes, feeds = allowed_types(op), [], {}
    for dtype in types:
        name = np.dtype(dtype).name
        given = [operand(dtype), operand(dtype)][:arity]
        if arity == 2 and op in ("Div", "Mod"):
            given[1] = np.maximum(given[1], np.ones((), dtype)).astype(dtype)
        operands = [f"{name}_{i}" for i in range(arity)]
        feeds |= dict(zip(operands, given, strict=True))
        extra = {"fmod": 1} if op == "Mod" and np.dtype(dtype).kind not in "iu" else {}
        nodes.append(helper.make_node(op, operands, [f"{name}_y"], **ATTRIBUTES.get(op, {}), **extra))
    inputs = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in feeds.items()
    ]
    outputs = [onnx.ValueInfoProto(name=node.output[0]) for node in nodes]
    graph = helper.make_graph(nodes, "types", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", HUB_OPSET)], ir_version=10)
    model = shape_inference.infer_shapes(model, strict_mode=True)
    with np.errstate(all="ignore"):
        expected = ReferenceEvaluator(model).run(None, feeds)
    for title, made in made_by_each(model, feeds):
        for dtype, output, golden, y in zip(types, model.graph.output, expected, made, strict=True):
            assert helper.np_dtype_to_tensor_dtype(y.dtype) == output.type.tensor_type.elem_type
            tolerance = TOLERANCE.get(dtype, 0)
            wide = np.asarray(golden).astype(np.float64)
            label = f"{op} of {dtype.__name__} by {title}"
            np.testing.assert_allclose(y.astype(np.float64), wide, tolerance, tolerance, err_msg=label)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64], ids=lambda d: d.__name__)
def test_det(dtype: type) -> None:
    """The reference has none for halves."""
    x = operand(dtype) + np.eye(3, dtype=dtype)
    agrees(
        Node("Det", [x]), "plain", expected=[np.linalg.det(x.astype(np.float64)).astype(dtype)], rtol=TOLERANCE[dtype]
    )


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64, np.uint64], ids=lambda d: d.__name__)
def test_logarithms_of_integer_sums_are_truncated(dtype: type) -> None:
    """The reference refuses integers."""
    x = np.array([[100, 50], [1, 1]], dtype)
    agrees(Node("ReduceLogSum", [x, np.array([1])]), "plain", expected=[np.array([[5], [0]], dtype)])
