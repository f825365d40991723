"""Matrix products of every rank and type, Gemm's attributes, Einsum's notation, determinants."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from matrix import FORMS, Form, Node, agrees
from onnx import helper, numpy_helper, shape_inference

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

RNG = np.random.default_rng(5)


def real(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def ints(*shape: int) -> np.ndarray:
    return RNG.integers(-(2**40), 2**40, size=shape)


SHAPES = [
    ((2, 3), (3, 4)),
    ((3,), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3,)),
    ((5, 2, 3), (3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((5, 1, 2, 3), (6, 3, 4)),
    ((2, 3), (5, 3, 4)),
    ((3,), (5, 3, 4)),
    ((5, 2, 3), (3,)),
    ((0, 3), (3, 4)),
    ((5, 0, 3), (3, 4)),
    ((2, 0), (0, 4)),
    ((5, 2, 0), (0, 4)),
]
CASES = {f"MatMul_{a}_{b}": Node("MatMul", [real(*a), real(*b)]) for a, b in SHAPES}
BIASES = {"none": (), "scalar": ((),), "one": ((1,),), "row": ((4,),), "matrix_row": ((1, 4),), "column": ((2, 1),)}
BIASES |= {"full": ((2, 4),)}
for a_turned in (0, 1):
    for b_turned in (0, 1):
        left, right = real(*((3, 2) if a_turned else (2, 3))), real(*((4, 3) if b_turned else (3, 4)))
        for name, bias in BIASES.items():
            turned = {"transA": a_turned, "transB": b_turned}
            operands = [left, right, *(real(*b) for b in bias)]
            CASES[f"Gemm_{a_turned}{b_turned}_{name}"] = Node("Gemm", operands, turned)
            CASES[f"Gemm_{a_turned}{b_turned}_{name}_scaled"] = Node(
                "Gemm", operands, {**turned, "alpha": 0.5, "beta": -2.0}
            )
EQUATIONS = {
    "ij,jk->ik": ((2, 3), (3, 4)),
    "ij, jk": ((2, 3), (3, 4)),
    "ij->ji": ((2, 3),),
    "ji": ((2, 3),),
    "ij->": ((2, 3),),
    "ij->i": ((2, 3),),
    "ii->i": ((3, 3),),
    "...ii->...i": ((2, 3, 3),),
    "i,i": ((3,), (3,)),
    "i,j->ij": ((3,), (2,)),
    "bij,bjk->bik": ((2, 3, 4), (2, 4, 5)),
    "...ij,...jk->...ik": ((2, 3, 4), (1, 4, 5)),
    "bhid,bhjd->bhij": ((2, 3, 4, 5), (2, 3, 6, 5)),
    "ab,bc,cd->ad": ((2, 3), (3, 4), (4, 5)),
    "i...->...": ((2, 3, 4),),
    "bqhd,bkhd->bhqk": ((2, 3, 2, 4), (2, 5, 2, 4)),
}
CASES |= {
    f"Einsum_{e}": Node("Einsum", [real(*s) for s in shapes], {"equation": e}) for e, shapes in EQUATIONS.items()
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CASES)
def test_agrees(name: str, form: Form) -> None:
    agrees(CASES[name], form, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64, np.uint64], ids=lambda d: d.__name__)
def test_integer_products_wrap_around(dtype: type) -> None:
    a, b = ints(2, 3, 4).astype(dtype), ints(4, 5).astype(dtype)
    agrees(Node("MatMul", [a, b]), "plain", expected=[np.matmul(a, b)])
    agrees(Node("Gemm", [a[0], b]), "plain", expected=[np.matmul(a[0], b)])
    agrees(Node("Einsum", [a, b], {"equation": "bij,jk->bik"}), "plain", expected=[np.matmul(a, b)])


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=["float16", "bfloat16"])
def test_halves_are_summed_in_float32(dtype: type) -> None:
    a, b = real(4, 512).astype(dtype), real(512, 3).astype(dtype)
    exact = (a.astype(np.float64) @ b.astype(np.float64)).astype(dtype)
    unit = float(ml_dtypes.finfo(dtype).eps)
    agrees(Node("MatMul", [a, b]), "plain", expected=[exact], rtol=unit, atol=unit)


def test_det_of_a_stack() -> None:
    x = RNG.normal(size=(2, 3, 4, 4)).astype(np.float32)
    agrees(Node("Det", [x]), "free", rtol=1e-4)


@pytest.mark.parametrize("row", [(5,), (1, 5), (1, 1, 5), (1, 1, 1, 5), (1, 1), (1,), ()], ids=str)
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("shape", [(4, 6), (1, 6), (2, 4, 6)], ids=str)
def test_a_product_and_the_row_added_to_it(shape: tuple[int, ...], row: tuple[int, ...], first: bool) -> None:
    """TensorFlow fuses the two; its kernel fails on rows of rank 2 and returns a wrong shape from rank 3 on."""
    from conformance import run_tensorflow

    x, weight, bias = real(*shape), real(6, 5), real(*row)
    added = ["bias", "product"] if first else ["product", "bias"]
    nodes = [helper.make_node("MatMul", ["x", "weight"], ["product"]), helper.make_node("Add", added, ["sum"])]
    nodes.append(helper.make_node("Relu", ["sum"], ["y"]))
    weights = [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")]
    given, made = helper.make_tensor_value_info("x", 1, shape), helper.make_tensor_value_info("y", 1, None)
    graph = helper.make_graph(nodes, "fused", [given], [made], weights)
    model = shape_inference.infer_shapes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]))
    (y,) = run_tensorflow(model, {"x": x})
    np.testing.assert_allclose(y, np.maximum(x @ weight + bias, 0), rtol=1e-4, atol=1e-5)
