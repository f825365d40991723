"""Matrix products of every rank and type, Gemm's attributes, Einsum's notation, determinants."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from matrix import FORMS, Form, Node, agrees

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
