"""Products of matrices, and sums over products by Einstein's convention."""

from __future__ import annotations

import string

import onnx_ir as ir

from isthmus.readers.tensorflow.contract import ComplexOrReal, Reads
from isthmus.readers.tensorflow.handles import Complex
from isthmus.readers.tensorflow.ops import _complex as cx

table = Reads()
read = table.read

_NARROW = {ir.DataType.INT8, ir.DataType.INT16, ir.DataType.UINT8, ir.DataType.UINT16}
"""Integers whose products ONNX does not have; they go through int32, and wrap on the way back."""

_BYTES = {ir.DataType.INT8, ir.DataType.UINT8}
"""Integers whose products, summed in int32, are an operator of ONNX's own."""


@read("MatMul", ignore=("grad_a", "grad_b"))
def matmul(op, c, a: ComplexOrReal, b: ComplexOrReal, *, transpose_a, transpose_b):
    a = _turned(op, a, c.rank(0)) if transpose_a else a
    b = _turned(op, b, c.rank(1)) if transpose_b else b
    return _product(op, a, b, c.output_dtype(0) if not isinstance(a, Complex) else None)


@read("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", ignore=("grad_x", "grad_y"))
def batch_matmul(op, c, x: ComplexOrReal, y: ComplexOrReal, *, adj_x, adj_y):
    x = _adjoint(op, x, c.rank(0)) if adj_x else x
    y = _adjoint(op, y, c.rank(1)) if adj_y else y
    return _product(op, x, y, c.output_dtype(0) if not isinstance(x, Complex) else None)


def _turned(op, x, rank):
    """The last two axes, that of pairs apart, exchanged."""
    perm = [*range(rank - 2), rank - 1, rank - 2]
    return (
        Complex(op.Transpose(x.pairs, perm=[*perm, rank])) if isinstance(x, Complex) else op.Transpose(x, perm=perm)
    )


def _adjoint(op, x, rank):
    x = _turned(op, x, rank)
    return cx.conjugate(op, x) if isinstance(x, Complex) else x


def _product(op, a, b, dtype):
    if isinstance(a, Complex):
        (p, q), (r, s) = ((cx.real(op, z), cx.imaginary(op, z)) for z in (a, b))
        real = op.Sub(op.MatMul(p, r), op.MatMul(q, s))
        imaginary = op.Add(op.MatMul(p, s), op.MatMul(q, r))
        return cx.joined(op, op.Unsqueeze(real, [-1]), op.Unsqueeze(imaginary, [-1]))
    if dtype == ir.DataType.INT32 and {a.dtype, b.dtype} <= _BYTES:
        return op.MatMulInteger(a, b)
    wide = ir.DataType.INT32 if dtype in _NARROW or dtype == ir.DataType.INT32 else dtype
    a, b = (x if x.dtype == wide else op.Cast(x, to=wide) for x in (a, b))
    found = op.MatMul(a, b)
    return found if wide == dtype else op.Cast(found, to=dtype)


@read("Einsum")
def einsum(op, c, inputs, *, equation):
    if "..." in equation:
        equation, inputs = _spelled_out(op, equation, inputs, [c.shape(i) for i in range(len(inputs))])
    result = equation.partition("->")[2].replace("...", "")
    if len(set(result)) < len(result):
        c.refuse(f"its result repeats an axis, {equation!r}: ONNX's Einsum has each once")
    if inputs[0].dtype in _NARROW:
        wide = [op.Cast(x, to=ir.DataType.INT32) for x in inputs]
        return op.Cast(op.Einsum(*wide, equation=equation), to=inputs[0].dtype)
    return op.Einsum(*inputs, equation=equation)


def _spelled_out(op, equation, inputs, shapes):
    """The equation with letters in the place of its ellipses, which are of one shape in ONNX; axes of size one go."""
    terms, _, result = equation.partition("->")
    terms = terms.split(",")
    counts = [len(shape) - len(term) + 3 if "..." in term else 0 for term, shape in zip(terms, shapes, strict=True)]
    letters = [letter for letter in string.ascii_letters if letter not in equation][: max(counts)]
    terms = [
        term.replace("...", "".join(letters[len(letters) - count :]))
        for term, count in zip(terms, counts, strict=True)
    ]
    sizes = [dict(zip(term, shape, strict=True)) for term, shape in zip(terms, shapes, strict=True)]
    longer = {letter for held in sizes for letter, size in held.items() if size != 1 and letter in letters}
    spread = [
        [letter for letter in term if letter in longer and held[letter] == 1]
        for term, held in zip(terms, sizes, strict=True)
    ]
    inputs = [
        op.Squeeze(x, [term.index(letter) for letter in gone]) if gone else x
        for x, term, gone in zip(inputs, terms, spread, strict=True)
    ]
    terms = ["".join(c for c in term if c not in gone) for term, gone in zip(terms, spread, strict=True)]
    return f"{','.join(terms)}->{result.replace('...', ''.join(letters))}", inputs


@read("Cross")
def cross(op, a, b):
    """aₖ₊₁ bₖ₊₂ - aₖ₊₂ bₖ₊₁ along the last axis, of size 3."""
    first, second = [1, 2, 0], [2, 0, 1]
    left = op.Mul(op.Gather(a, first, axis=-1), op.Gather(b, second, axis=-1))
    return op.Sub(left, op.Mul(op.Gather(a, second, axis=-1), op.Gather(b, first, axis=-1)))
