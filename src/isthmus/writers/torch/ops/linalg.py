"""Matrix products, general contractions, determinants."""

from __future__ import annotations

import operator

import torch
import torch.nn.functional as F

from isthmus.lower.contract import Lowerings
from isthmus.writers.torch.ops._common import FLOATS, HALVES, dtype_of
from isthmus.writers.torch.ops._numeric import in_float32, in_int64, written

table = Lowerings()
lower, alias = table.lower, table.alias


@lower("MatMul")
def mat_mul(c, a, b):
    return in_int64(operator.matmul, a, b, dtype=c.dtype())


@lower("Gemm")
def gemm(c, a, b, c_=None, *, alpha, beta, transA, transB):
    floating = c.dtype() in FLOATS | HALVES
    if floating and alpha == 1 and not transA and transB and (c_ is None or (beta == 1 and c.rank(2) == 1)):
        return F.linear(a, b) if c_ is None else F.linear(a, b, c_)

    def general(a, b, bias=None):
        y = (a.T if transA else a) @ (b.T if transB else b)
        y = y if alpha == 1 else written(alpha) * y
        if bias is None:
            return y
        return y + (bias if beta == 1 else written(beta) * bias)

    operands = (a, b) if c_ is None else (a, b, c_)
    if not floating and (alpha != 1 or beta != 1):
        return general(*(t.double() for t in operands)).to(dtype_of(c.dtype()))
    return in_int64(general, *operands, dtype=c.dtype())


@lower("Einsum")
def einsum(c, *xs, equation):
    equation = equation.replace(" ", "")
    return in_int64(lambda *wide: torch.einsum(equation, *wide), *xs, dtype=c.dtype())


@lower("Det")
def det(c, x):
    return in_float32(torch.linalg.det, x, dtype=c.dtype())
