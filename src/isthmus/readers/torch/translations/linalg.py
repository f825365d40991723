"""Small dense linear algebra written out: elimination with partial pivoting, Cholesky, substitution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from onnxscript import opset23 as op

import isthmus.readers.torch.whole  # noqa: F401 - defines the operators of torch.ops.isthmus
from isthmus.readers.torch.translations.build import Value, cut, ints, number, rank, static_size, swapped

aten = torch.ops.aten

_LARGEST = 64
"""Matrices beyond this would give graphs of thousands of nodes; ONNX has no factorisation to hold them."""


def _order(a: Value) -> int:
    n = static_size(a, rank(a) - 1)
    if n is None or n > _LARGEST:
        raise ValueError(f"ONNX has no matrix factorisation; written out only for fixed sizes up to {_LARGEST}")
    return n


def _row(k: int, n: int) -> Value:
    """bool[n, 1]: the k-th row."""
    return op.Constant(value=ir.tensor((np.arange(n) == k)[:, None]))


@dataclass(frozen=True)
class _Eliminated:
    right: Value
    pivots: list[Value]
    swaps: list[Value]
    info: Value


def _eliminate(a: Value, right: Value, n: int) -> _Eliminated:
    """Gauss-Jordan on ``[a | right]``: what ``right`` becomes, the pivots [..., 1, 1], and which steps swapped."""
    m = op.Concat(a, right, axis=-1)
    pivots, swaps = [], []
    zero = number(0, a)
    info = op.Constant(value=ir.tensor(0, dtype=ir.DataType.INT32))
    rows = op.Constant(value=ir.tensor(np.arange(n, dtype=np.int64)[:, None]))
    for k in range(n):
        column = op.Slice(m, ints(k), ints(k + 1), ints(-1))
        eligible = op.Constant(value=ir.tensor((np.arange(n) >= k)[:, None]))
        sizes = op.Where(eligible, op.Abs(column), number(-1, a))
        best = op.ArgMax(sizes, axis=-2, keepdims=1)
        chosen = op.Equal(rows, best)
        here = _row(k, n)
        top = op.ReduceSum(op.Where(chosen, m, zero), ints(-2))
        current = op.Slice(m, ints(k), ints(k + 1), ints(-2))
        m = op.Where(here, top, op.Where(chosen, current, m))
        pivot = op.Slice(top, ints(k), ints(k + 1), ints(-1))
        failed = op.And(op.Equal(pivot, zero), op.Equal(info, _int32(0)))
        info = op.Where(failed, _int32(k + 1), info)
        pivots.append(pivot)
        swaps.append(op.Not(op.Equal(best, ints(k))))
        scaled = op.Div(top, pivot)
        factor = op.Where(here, zero, op.Slice(m, ints(k), ints(k + 1), ints(-1)))
        m = op.Where(here, scaled, op.Sub(m, op.Mul(factor, scaled)))
    result = op.Slice(m, ints(n), ints(2**31 - 1), ints(-1))
    return _Eliminated(result, pivots, swaps, op.Squeeze(info, ints(-2, -1)))


def _int32(value: int) -> Value:
    return op.Constant(value=ir.tensor(value, dtype=ir.DataType.INT32))


def _identity(a: Value, n: int) -> Value:
    eye = op.Constant(value=ir.tensor(np.eye(n).astype(a.dtype.numpy())))
    return op.Expand(eye, op.Shape(a))


def inv_ex(A: Value, *, check_errors: bool = False) -> tuple[Value, Value]:
    """The inverse, and the first vanishing pivot or 0."""
    n = _order(A)
    done = _eliminate(A, _identity(A, n), n)
    return done.right, done.info


def solve_ex(A: Value, B: Value, *, left: bool = True, check_errors: bool = False) -> tuple[Value, ...]:
    """X with AX = B. ATen's further outputs (LU, pivots) serve its gradient alone; no public function shows them."""
    n = _order(A)
    vector = rank(B) == rank(A) - 1
    a, right = A, op.Unsqueeze(B, ints(-1)) if vector else B
    if not left:
        a, right = _like(swapped(A, rank(A)), A), swapped(right, rank(B))
    done = _eliminate(a, right, n)
    x = done.right if left else swapped(done.right, rank(B))
    x = op.Squeeze(x, ints(-1)) if vector else x
    return x, op.Identity(A), op.Identity(done.info), op.Identity(done.info)


def _like(value: Value, x: Value) -> Value:
    value.dtype, value.shape = x.dtype, x.shape
    return value


def inv(A: Value) -> Value:
    """The inverse alone. A singular matrix gives infinities and NaN, where ATen raises."""
    return inv_ex(A)[0]


def solve(A: Value, B: Value, *, left: bool = True) -> Value:
    """X with AX = B, or XA = B."""
    return solve_ex(A, B, left=left)[0]


def linalg_cholesky(self: Value, *, upper: bool = False) -> Value:
    """The factor alone."""
    return cholesky_ex(self, upper=upper)[0]


def slogdet(A: Value) -> tuple[Value, ...]:
    """Sign and logarithm of the determinant; ATen's LU and pivots serve its gradient alone."""
    n = _order(A)
    done = _eliminate(A, A, n)
    sign, log = number(1, A), number(0, A)
    for pivot, swap in zip(done.pivots, done.swaps, strict=True):
        flip = op.Where(swap, number(-1, A), number(1, A))
        sign = op.Mul(op.Mul(sign, flip), op.Sign(pivot))
        log = op.Add(log, op.Log(op.Abs(pivot)))
    outer = ints(-2, -1)
    return op.Squeeze(sign, outer), op.Squeeze(log, outer), op.Identity(A), op.Identity(done.info)


def cholesky_ex(self: Value, *, upper: bool = False, check_errors: bool = False) -> tuple[Value, Value]:
    """The lower factor, column by column; info is 0 as for every matrix that has one."""
    n = _order(self)
    rest, columns = self, []
    zero = number(0, self)
    for k in range(n):
        below = op.Constant(value=ir.tensor((np.arange(n) >= k)[:, None]))
        column = op.Slice(rest, ints(k), ints(k + 1), ints(-1))
        pivot = op.Slice(column, ints(k), ints(k + 1), ints(-2))
        column = op.Where(below, op.Div(column, op.Sqrt(pivot)), zero)
        columns.append(column)
        rest = op.Sub(rest, op.Mul(column, swapped(column, rank(self))))
    factor = op.Concat(*columns, axis=-1)
    info = op.Cast(op.Mul(op.ReduceSum(op.Shape(self), keepdims=0), ints(0)), to=ir.DataType.INT32)
    shape = op.Shape(self, end=-2)
    info = op.Expand(op.Squeeze(info, ints(0)), shape)
    return (swapped(factor, rank(self)) if upper else factor), info


def cholesky(self: Value, upper: bool = False) -> Value:
    """The factor alone."""
    return cholesky_ex(self, upper=upper)[0]


def solve_triangular(self: Value, B: Value, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Value:
    """Substitution, row by row, from the corner where the triangle is thin."""
    n = _order(self)
    a, b = self, B
    if not left:
        a, b, upper = swapped(self, rank(self)), swapped(B, rank(B)), not upper
    rows: dict[int, Value] = {}
    for i in reversed(range(n)) if upper else range(n):
        row = op.Slice(b, ints(i), ints(i + 1), ints(-2))
        line = op.Slice(a, ints(i), ints(i + 1), ints(-2))
        for j, known in rows.items():
            row = op.Sub(row, op.Mul(op.Slice(line, ints(j), ints(j + 1), ints(-1)), known))
        rows[i] = row if unitriangular else op.Div(row, op.Slice(line, ints(i), ints(i + 1), ints(-1)))
    result = op.Concat(*[rows[i] for i in range(n)], axis=-2)
    return result if left else swapped(result, rank(B))


def grouped_mm(
    self: Value, mat2: Value, offs: Value = None, bias: Value = None, out_dtype: int | None = None
) -> Value:
    """Matrix products of groups of rows (or of the inner axis) that end at ``offs``, as in mixtures of experts.

    Every group is multiplied under its mask; rows of no group give zeros, where ATen leaves them undefined.
    """
    if offs is None:
        result = op.MatMul(self, mat2)
    else:
        ends = op.Unsqueeze(op.Cast(offs, to=ir.DataType.INT64), ints(1))
        starts = op.Concat(op.Constant(value=ir.tensor(np.zeros((1, 1), np.int64))), cut(ends, 0, 0, -1), axis=0)
        inner = rank(mat2) == 2
        along = -1 if inner or rank(self) == 3 else 0
        length = (
            op.Shape(mat2, start=-1) if rank(self) == 3 else op.Shape(self, start=along, end=None if along else 1)
        )
        steps = op.Unsqueeze(op.Range(_zero(), op.Squeeze(length, ints(0)), _one()), ints(0))
        member = op.And(op.GreaterOrEqual(steps, starts), op.Less(steps, ends))
        if rank(self) == 3:
            # [g, m, k] with columns of [k, n] in groups: each column meets its own matrix.
            member = op.CastLike(op.Unsqueeze(member, ints(1)), self)
            result = op.ReduceSum(op.Mul(op.MatMul(self, mat2), member), ints(0), keepdims=0)
        else:
            member = op.CastLike(op.Unsqueeze(member, ints(1 if inner else 2)), self)
            product = op.MatMul(op.Mul(op.Unsqueeze(self, ints(0)), member), mat2)
            result = product if inner else op.ReduceSum(product, ints(0), keepdims=0)
    if bias is not None:
        result = op.Add(result, bias)
    return op.Cast(result, to=out_dtype) if out_dtype not in (None, -1) else result


def _zero() -> Value:
    return op.Constant(value=ir.tensor(np.array(0, np.int64)))


def _one() -> Value:
    return op.Constant(value=ir.tensor(np.array(1, np.int64)))


TRANSLATIONS: dict[Any, Any] = {
    aten.linalg_inv.default: inv,
    aten.inverse.default: inv,
    aten.linalg_inv_ex.default: inv_ex,
    aten.linalg_solve.default: solve,
    aten.linalg_cholesky.default: linalg_cholesky,
    aten._linalg_solve_ex.default: solve_ex,
    aten._linalg_slogdet.default: slogdet,
    aten.linalg_cholesky_ex.default: cholesky_ex,
    aten.cholesky.default: cholesky,
    aten.linalg_solve_triangular.default: solve_triangular,
    aten._grouped_mm.default: grouped_mm,
    torch.ops.isthmus.grouped_mm.default: grouped_mm,
}
