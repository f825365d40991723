"""Eigenvalues of symmetric matrices and singular values, by Jacobi's rotations.

As many disjoint pairs of columns are turned at once as there are, in the order of a tournament in which every column
meets every other once a sweep (Brent and Luk, 1985); symmetric matrices from both sides, others from one (Hestenes,
1958), all in float64. After twelve sweeps nothing moves any more, for a sweep squares what is left.

Nothing says which sign a vector has, and TensorFlow's may be the other.
"""

from __future__ import annotations

import onnx_ir as ir

from isthmus.readers.tensorflow.contract import Reads
from isthmus.readers.tensorflow.ops._elimination import Columns, repeated, transposed
from isthmus.readers.tensorflow.ops._sizes import size

table = Reads()
read = table.read

DOUBLE = ir.DataType.DOUBLE
_SWEEPS = 12
_SIGNS = "vectors have the sign that Jacobi's rotations give them, where TensorFlow's may have the other"


@read("SelfAdjointEigV2")
def eigh(op, c, x, *, compute_v):
    """Eigenvalues in ascending order, and a vector of each in a column."""
    rank, own = c.rank(), x.dtype
    # TensorFlow looks at the lower half only.
    lower = op.Trilu(op.Cast(x, to=DOUBLE), upper=0)
    strictly = op.Trilu(lower, op.constant(-1, ir.DataType.INT64), upper=0)
    matrix = op.Add(lower, transposed(op, strictly, rank))
    pairs = _Tournament(op, x, rank)

    def step(number, matrix, vectors):
        turn = pairs.rotation(number, matrix)
        return op.MatMul(op.MatMul(transposed(op, turn, rank), matrix), turn), op.MatMul(vectors, turn)

    start = op.Expand(pairs.eye, op.Shape(x))
    matrix, vectors = repeated(op, pairs.steps, [matrix, start], [rank, rank], step)
    values, order = op.TopK(pairs.diagonal(matrix), pairs.count, axis=-1, largest=0, outputs=2)
    if not compute_v:
        return op.Cast(values, to=own), op.constant(0, own)
    c.note("signs", _SIGNS)
    return op.Cast(values, to=own), op.Cast(_chosen(op, vectors, order), to=own)


@read("Svd")
def svd(op, c, x, *, compute_uv, full_matrices):
    """Singular values in descending order, and the vectors of both sides in columns."""
    rank, own = c.rank(), x.dtype
    high, wide = c.shape()[-2:]
    fixed = isinstance(high, int) and isinstance(wide, int)
    turned = fixed and high > wide
    if compute_uv and full_matrices and high != wide and not fixed:
        c.refuse("which side has vectors beyond the singular values depends on sizes that are free")
    given = op.Cast(transposed(op, x, rank) if turned else x, to=DOUBLE)
    pairs = _Tournament(op, given, rank)

    def step(number, matrix, vectors):
        turn = pairs.rotation(number, op.MatMul(transposed(op, matrix, rank), matrix))
        return op.MatMul(matrix, turn), op.MatMul(vectors, turn)

    start = op.Expand(pairs.eye, op.Concat(op.Shape(x, end=rank - 2), pairs.count, pairs.count, axis=0))
    matrix, right = repeated(op, pairs.steps, [given, start], [rank, rank], step)
    lengths = op.ReduceL2(matrix, [rank - 2], keepdims=0)
    values, order = op.TopK(lengths, pairs.count, axis=-1, outputs=2)
    fewer = op.Min(size(op, x, rank - 2), size(op, x, rank - 1))
    kept = op.Slice(values, [0], fewer, [rank - 2])
    if not compute_uv:
        return op.Cast(kept, to=own), op.constant(0, own), op.constant(0, own)
    c.note("signs", _SIGNS)
    right = _chosen(op, right, order)
    divisor = op.Unsqueeze(op.Where(op.Equal(values, 0.0), op.constant(1, DOUBLE), values), [-2])
    left = op.Slice(op.Div(_chosen(op, matrix, order), divisor), [0], fewer, [rank - 1])
    right = right if full_matrices else op.Slice(right, [0], fewer, [rank - 1])
    u, v = (right, left) if turned else (left, right)
    return op.Cast(kept, to=own), op.Cast(u, to=own), op.Cast(v, to=own)


class _Tournament:
    """Who meets whom among the columns of a stack of matrices, step by step, and how the pairs are turned."""

    def __init__(self, op, matrix, rank):
        self.op, self.rank = op, rank
        self.at = Columns(op, matrix, rank)
        self.columns = self.at.columns
        self.count = size(op, matrix, rank - 1)
        self.even = op.Add(self.count, op.Mod(self.count, 2))  # with one who pauses where they are odd
        self.rounds = op.Max(op.Sub(self.even, 1), [1])
        self.steps = op.Mul(self.rounds, _SWEEPS)
        self.eye = op.Cast(op.Equal(self.at.upright(self.columns), self.at.flat(self.columns)), to=DOUBLE)

    def partner(self, number):
        """Whom each column meets: all but the last are seated in a ring, and the last meets who would meet itself."""
        op = self.op
        last = op.Sub(self.even, 1)
        turn = op.Mod(number, self.rounds)
        opposite = op.Mod(op.Sub(turn, self.columns), self.rounds)
        alone = op.Equal(opposite, self.columns)
        met_by_last = op.Mod(op.Mul(turn, op.Div(self.even, 2)), self.rounds)
        ring = op.Where(alone, last, opposite)
        partner = op.Where(op.Equal(self.columns, last), met_by_last, ring)
        return op.Where(op.Less(partner, self.count), partner, self.columns)

    def diagonal(self, matrix):
        return self.op.ReduceSum(self.op.Mul(matrix, self.eye), [self.rank - 1], keepdims=0)

    def rotation(self, number, matrix):
        """The rotation after which a symmetric matrix has zeros where each column meets its partner."""
        op, at, rank = self.op, self.at, self.rank
        partner = self.partner(number)
        first = op.Less(self.columns, partner)
        paired = op.Cast(op.Equal(at.upright(partner), at.flat(self.columns)), to=DOUBLE)
        paired = op.Sub(paired, op.Mul(paired, self.eye))  # who pauses is turned with nobody
        off = op.ReduceSum(op.Mul(matrix, paired), [rank - 1], keepdims=0)
        own = self.diagonal(matrix)
        other = op.Gather(own, partner, axis=rank - 2)
        none = op.Equal(off, 0.0)
        one = op.constant(1, DOUBLE)
        theta = op.Div(op.Sub(other, own), op.Where(none, one, op.Mul(off, 2.0)))
        way = op.Where(op.Equal(theta, 0.0), op.Where(first, one, op.Neg(one)), op.Sign(theta))
        tangent = op.Div(way, op.Add(op.Abs(theta), op.Sqrt(op.Add(op.Mul(theta, theta), 1.0))))
        tangent = op.Where(none, op.constant(0, DOUBLE), tangent)
        cosine = op.Reciprocal(op.Sqrt(op.Add(op.Mul(tangent, tangent), 1.0)))
        sine = op.Mul(tangent, cosine)
        return op.Add(op.Mul(self.eye, at.upright(cosine)), op.Mul(paired, at.upright(sine)))


def _chosen(op, matrix, order):
    """The columns in another order, of each matrix its own."""
    return op.GatherElements(matrix, op.Expand(op.Unsqueeze(order, [-2]), op.Shape(matrix)), axis=-1)
