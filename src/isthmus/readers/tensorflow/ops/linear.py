"""Linear algebra that has one answer: determinants, inverses, systems of equations, Cholesky, QR and LU.

What TensorFlow raises for, matrices that are singular or not positive definite, comes out as NaN or infinity.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from isthmus.readers.tensorflow.contract import Reads
from isthmus.readers.tensorflow.ops._elimination import Columns, repeated, transposed, zero
from isthmus.readers.tensorflow.ops._sizes import size

table = Reads()
read = table.read


@read("MatrixDeterminant")
def determinant(op, c, x):
    if x.dtype == ir.DataType.FLOAT:
        return op.Det(x)
    sign, diagonal = _signs_and_pivots(op, x, c.rank())
    return op.Mul(sign, op.ReduceProd(diagonal, [c.rank() - 2], keepdims=0))


@read("LogMatrixDeterminant")
def log_determinant(op, c, x):
    """Its sign, and the logarithm of its size."""
    sign, diagonal = _signs_and_pivots(op, x, c.rank())
    axis = [c.rank() - 2]
    signs = op.Mul(sign, op.ReduceProd(op.Sign(diagonal), axis, keepdims=0))
    return signs, op.ReduceSum(op.Log(op.Abs(diagonal)), axis, keepdims=0)


def _signs_and_pivots(op, x, rank):
    """Whether the rows were exchanged an odd number of times, and the diagonal of the upper factor."""
    upper, _, sign = _lu(op, x, rank)
    diagonal = op.Where(Columns(op, x, rank).on_diagonal(), upper, zero(op, x))
    return op.Squeeze(sign, [-1]), op.ReduceSum(diagonal, [rank - 1], keepdims=0)


def _lu(op, x, rank):
    """Both factors in one matrix, the order of the rows, and the sign of that permutation, a vector of one."""
    at = Columns(op, x, rank)
    lead = op.Shape(x, end=rank - 2)
    order = op.Expand(at.rows, op.Concat(lead, size(op, x, rank - 2), axis=0))
    sign = op.Expand(op.constant(1, x.dtype), op.Concat(lead, [1], axis=0))

    def step(number, matrix, order, sign):
        matrix, largest, exchanged = at.brought_up(matrix, number)
        order = op.GatherElements(order, exchanged, axis=rank - 2)
        one = op.constant(1, x.dtype)
        sign = op.Where(op.Equal(largest, number), sign, op.Neg(sign))
        pivot_row, column = at.row(matrix, number), at.column(matrix, number)
        pivot = at.entry(column, number)
        pivot = op.Where(op.Equal(pivot, zero(op, x)), one, pivot)
        below = op.Greater(at.rows, number)
        factors = op.Where(below, op.Div(column, pivot), zero(op, x))
        behind = op.Where(op.Greater(at.columns, number), pivot_row, zero(op, x))
        reduced = op.Sub(matrix, at.outer(factors, behind))
        here = op.And(at.upright(below), at.flat(op.Equal(at.columns, number)))
        return op.Where(here, at.upright(factors), reduced), order, sign

    trips = size(op, x, rank - 2)
    return repeated(op, trips, [op.Identity(x), order, sign], [rank, rank - 1, rank - 1], step)


@read("Lu")
def lu(op, c, x, *, output_idx_type):
    factors, order, _ = _lu(op, x, c.rank())
    return factors, op.Cast(order, to=c.output_dtype(1))


@read("MatrixInverse")
def inverse(op, c, x, *, adjoint):
    c.note("checks", "matrices that have no inverse give infinity or NaN where TensorFlow raises")
    rank = c.rank()
    x = transposed(op, x, rank) if adjoint else x
    eye = op.Cast(Columns(op, x, rank).on_diagonal(), to=x.dtype)
    return _solved(op, x, op.Expand(eye, op.Shape(x)), rank)


@read("MatrixSolve")
def solve(op, c, matrix, rhs, *, adjoint):
    c.note("checks", "matrices that have no inverse give infinity or NaN where TensorFlow raises")
    return _solved(op, transposed(op, matrix, c.rank()) if adjoint else matrix, rhs, c.rank())


def _solved(op, matrix, rhs, rank):
    """Gauss and Jordan: the matrix becomes one, and what stands beside it the answer."""
    at = Columns(op, matrix, rank)

    def step(number, whole):
        whole, _, _ = at.brought_up(whole, number)
        pivot_row, column = at.row(whole, number), at.column(whole, number)
        pivot_row = op.Div(pivot_row, at.entry(column, number))
        reduced = op.Sub(whole, at.outer(column, pivot_row))
        return [op.Where(at.upright(op.Equal(at.rows, number)), at.flat(pivot_row), reduced)]

    count = size(op, matrix, rank - 1)
    (whole,) = repeated(op, count, [op.Concat(matrix, rhs, axis=rank - 1)], [rank], step)
    return op.Slice(whole, count, [np.iinfo(np.int64).max], [rank - 1])


@read("MatrixTriangularSolve")
def solve_triangular(op, c, matrix, rhs, *, lower, adjoint):
    rank = max(c.rank(0), c.rank(1))
    matrix, rhs = (_raised(op, x, c.rank(i), rank) for i, x in enumerate((matrix, rhs)))
    if adjoint:
        matrix, lower = transposed(op, matrix, rank), not lower
    at = Columns(op, matrix, rank)
    count = size(op, matrix, rank - 1)
    last = op.Squeeze(op.Sub(count, 1), [0])

    def step(number, held):
        number = number if lower else op.Sub(last, number)
        column = at.column(matrix, number)
        solved = op.Div(at.row(held, number), at.entry(column, number))
        to_come = op.Greater(at.rows, number) if lower else op.Less(at.rows, number)
        reduced = op.Sub(held, at.outer(op.Where(to_come, column, zero(op, column)), solved))
        return [op.Where(at.upright(op.Equal(at.rows, number)), at.flat(solved), reduced)]

    if c.shape(0)[:-2] != c.shape(1)[:-2]:
        rhs = op.Expand(rhs, op.Concat(op.Shape(matrix, end=rank - 2), [1, 1], axis=0))
    return repeated(op, count, [op.Identity(rhs)], [rank], step)[0]


@read("Cholesky")
def cholesky(op, c, x):
    c.note("checks", "matrices that are not positive definite give NaN where TensorFlow raises")
    rank = c.rank()
    at = Columns(op, x, rank)

    def step(number, rest, factor):
        column = at.column(rest, number)
        below = op.GreaterOrEqual(at.rows, number)
        column = op.Where(below, op.Div(column, op.Sqrt(at.entry(column, number))), zero(op, x))
        here = at.flat(op.Equal(at.columns, number))
        return op.Sub(rest, at.outer(column, column)), op.Where(here, at.upright(column), factor)

    nothing = op.Expand(zero(op, x), op.Shape(x))
    return repeated(op, size(op, x, rank - 1), [op.Identity(x), nothing], [rank, rank], step)[1]


@read("Qr")
def qr(op, c, x, *, full_matrices):
    """By Householder's reflections, which leave the signs of the diagonal as TensorFlow's do."""
    rank = c.rank()
    at = Columns(op, x, rank)
    high, wide = size(op, x, rank - 2), size(op, x, rank - 1)
    square = op.Concat(op.Shape(x, end=rank - 2), high, high, axis=0)
    eye = op.Cast(op.Equal(at.upright(at.rows), at.flat(at.rows)), to=x.dtype)
    one = op.constant(1, x.dtype)

    def step(number, r, q):
        column = at.column(r, number)
        first = at.entry(column, number)
        tail = op.Where(op.Greater(at.rows, number), column, zero(op, x))
        square_of_tail = op.ReduceSum(op.Mul(tail, tail), [rank - 2], keepdims=1)
        alone = op.LessOrEqual(square_of_tail, float(np.finfo(x.dtype.numpy()).tiny))
        length = op.Sqrt(op.Add(op.Mul(first, first), square_of_tail))
        to = op.Where(op.Less(first, 0.0), length, op.Neg(length))
        apart = op.Where(alone, one, op.Sub(first, to))
        mirror = op.Where(op.Equal(at.rows, number), one, op.Div(tail, apart))
        weight = op.Where(alone, zero(op, x), op.Div(op.Sub(to, first), op.Where(alone, one, to)))
        weighted = op.Mul(mirror, weight)
        of_r = op.Squeeze(op.MatMul(at.flat(mirror), r), [-2])
        of_q = op.Squeeze(op.MatMul(q, at.upright(mirror)), [-1])
        return op.Sub(r, at.outer(weighted, of_r)), op.Sub(q, at.outer(of_q, weighted))

    shorter = op.Min(high, wide)
    r, q = repeated(op, shorter, [op.Identity(x), op.Expand(eye, square)], [rank, rank], step)
    upper = op.LessOrEqual(at.upright(at.rows), at.flat(at.columns))
    r = op.Where(upper, r, zero(op, x))
    if full_matrices:
        return q, r
    return op.Slice(q, [0], shorter, [rank - 1]), op.Slice(r, [0], shorter, [rank - 2])


def _raised(op, x, own, rank):
    """Axes of 1 in front, up to a rank."""
    return op.Unsqueeze(x, list(range(rank - own))) if rank > own else x


@read("Eig", ignore=("compute_v",))
def eig(op, c, x):
    c.refuse("its eigenvalues are complex, for which ONNX has no type")
