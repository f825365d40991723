"""Products of matrices, diagonals, bands."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from reading import agree, hub_of

from isthmus.errors import Unsupported

RNG = np.random.default_rng(0)
A = RNG.normal(size=(3, 4)).astype(np.float32)
BATCH = RNG.normal(size=(2, 3, 4)).astype(np.float32)
raw = tf.raw_ops
INTS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("second", [False, True])
def test_products(first, second):
    a, b = A.T if first else A, A if second else A.T
    agree(lambda a, b: tf.matmul(a, b, transpose_a=first, transpose_b=second), a.copy(), b.copy(), free={0: [0]})
    x = BATCH.swapaxes(1, 2) if first else BATCH
    y = BATCH if second else BATCH.swapaxes(1, 2)
    agree(lambda x, y: tf.matmul(x, y, adjoint_a=first, adjoint_b=second), x.copy(), y.copy(), free={0: [0]})
    agree(lambda x, y: tf.matmul(x, y, transpose_a=first, transpose_b=second), x[:1].copy(), y.copy())


@pytest.mark.parametrize("dtype", ["int32", "int64", "float64", "int16"])
def test_products_of_other_numbers(dtype):
    x = RNG.integers(0, 90, (3, 4)).astype(dtype)
    agree(lambda x, y: raw.BatchMatMulV3(x=x, y=y, Tout=x.dtype, adj_y=True), x, x[:2].copy())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_products_of_halves(dtype):
    def product(a, b):
        return tf.cast(tf.matmul(tf.cast(a, dtype), tf.cast(b, dtype)), tf.float32)

    agree(product, A, A.T.copy(), rtol=2e-2, atol=2e-2)


def test_products_that_widen():
    x = RNG.integers(-128, 127, (3, 4)).astype(np.int8)
    agree(lambda x, y: raw.BatchMatMulV3(x=x, y=y, Tout=tf.int32, adj_y=True), x, x[:2].copy())


@pytest.mark.parametrize("adjoint", [False, True])
def test_products_of_complex_matrices(adjoint):
    def parts(x, y):
        z = tf.complex(x, y)
        found = tf.matmul(z, z, adjoint_b=adjoint, transpose_a=not adjoint)
        return tf.math.real(found), tf.math.imag(found)

    agree(parts, BATCH, BATCH + 1, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", [(3, 4), (4, 2)]),
        ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]),
        ("...ij,jk->...ik", [(2, 3, 4), (4, 5)]),
        ("bqhd,bkhd->bhqk", [(2, 3, 2, 4), (2, 5, 2, 4)]),
        ("ij->ji", [(3, 4)]),
        ("ij->", [(3, 4)]),
        ("ii->i", [(3, 3)]),
        ("i,j->ij", [(3,), (4,)]),
        ("ab,ab->a", [(3, 4), (3, 4)]),
    ],
)
def test_einsum(equation, shapes):
    arrays = [RNG.normal(size=shape).astype(np.float32) for shape in shapes]
    agree(lambda *xs: tf.einsum(equation, *xs), *arrays, free={0: [0]} if "ii" not in equation else {}, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "int32", "int64"])
def test_tensordot_and_cross(dtype):
    x = (BATCH * 9).astype(dtype)
    agree(lambda x, y: tf.tensordot(x, y, [[2], [0]]), x, x[0].T.copy())
    agree(lambda x, y: tf.linalg.cross(x, y), x[..., :3].copy(), x[::-1, :, 1:].copy())


# ---- diagonals --------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["float32", "int32", "bool", "uint8", "float64"])
def test_the_main_diagonal(dtype):
    x = (BATCH * 3).astype(dtype)

    def function(x):
        row = x[:, 0, :]
        square = raw.MatrixDiag(diagonal=row)
        part = raw.MatrixDiagPart(input=x)
        return square, part, raw.MatrixSetDiag(input=x, diagonal=part[:, ::-1]), raw.MatrixDiagPart(input=square)

    agree(function, x, free={0: [0, 1]}, more=[[x[:1]], [np.concatenate([x, x], 1)]])


@pytest.mark.parametrize("align", ["LEFT_RIGHT", "RIGHT_LEFT", "LEFT_LEFT", "RIGHT_RIGHT"])
@pytest.mark.parametrize("k", [(0, 0), (1, 1), (-1, -1), (-1, 2), (-2, 0), (1, 2)])
def test_diagonals(align, k):
    def function(x):
        parts = tf.linalg.diag_part(x, k=k, padding_value=7.0, align=align)
        whole = tf.linalg.diag(parts, k=k, num_rows=3, num_cols=4, padding_value=5.0, align=align)
        return (
            parts,
            whole,
            tf.linalg.diag(parts, k=k, align=align),
            raw.MatrixSetDiagV3(input=x, diagonal=parts * 2, k=list(k), align=align),
        )

    agree(function, BATCH)


def test_the_second_version_aligns_to_the_left():
    def function(x):
        parts = raw.MatrixDiagPartV2(input=x, k=[-1, 1], padding_value=0.0)
        made = raw.MatrixDiagV2(diagonal=parts, k=[-1, 1], num_rows=-1, num_cols=4, padding_value=0.0)
        return parts, made, raw.MatrixSetDiagV2(input=x, diagonal=parts + 1, k=[-1, 1])

    agree(function, BATCH)


def test_diagonals_of_tensors():
    agree(lambda x: raw.Diag(diagonal=x), A)
    agree(lambda x: raw.Diag(diagonal=x), A[0], free={0: [0]})
    x = RNG.normal(size=(2, 3, 2, 3)).astype(np.float32)
    agree(lambda x: raw.DiagPart(input=x), x)
    agree(lambda x: (raw.DiagPart(input=x), tf.linalg.trace(x)), x[0, :, 0])


@pytest.mark.parametrize("align", ["LEFT_RIGHT", "RIGHT_RIGHT"])
@pytest.mark.parametrize("k", [(1, 1), (-1, 2)])
def test_diagonals_of_free_matrices(align, k):
    def function(x, row):
        single = k[0] == k[1]
        parts = tf.linalg.diag_part(x, k=k, padding_value=7.0, align=align)
        row = row if single else tf.stack([row] * 4, axis=-2)
        return (
            parts,
            tf.linalg.diag(row, k=k, align=align),
            tf.linalg.diag(row, k=k, num_rows=9, padding_value=5.0, align=align),
            tf.linalg.set_diag(x, parts * 2, k=k[0], align=align) if single else x,  # of more, it is not traced
        )

    other = RNG.normal(size=(1, 5, 6)).astype(np.float32)
    agree(function, BATCH, A, free={0: [0, 1, 2], 1: [1]}, more=[[other, A[:, :3]]])


def test_diagonals_that_a_run_tells():
    def function(x, row, k, rows):
        part = raw.MatrixDiagPartV3(input=x, k=k, padding_value=0.5)
        made = raw.MatrixDiagV3(diagonal=row, k=k, num_rows=rows, num_cols=-1, padding_value=0.25)
        return part, made, raw.MatrixSetDiagV3(input=x, diagonal=part, k=k)

    for k, rows in ((1, 6), (-2, -1), (0, -1)):
        agree(function, BATCH, A, np.int32(k), np.int32(rows))
    several = np.array([-1, 1], np.int32)
    agree(lambda x, k: raw.MatrixSetDiagV2(input=x, diagonal=tf.ones([2, 3, 3]), k=k), BATCH, several)
    with pytest.raises(Unsupported, match="two bounds are one"):
        hub_of(lambda x, k: raw.MatrixDiagPartV2(input=x, k=k, padding_value=0.0), BATCH, several)


@pytest.mark.parametrize(("lower", "upper"), [(-1, 0), (1, -1), (2, 1)])
def test_bands_that_a_run_tells(lower, upper):
    agree(tf.linalg.band_part, BATCH, np.int64(lower), np.int64(upper), free={0: [1, 2]})


@pytest.mark.parametrize("dtype", ["float32", "int32", "bool", "float64"])
@pytest.mark.parametrize(("lower", "upper"), [(-1, 0), (0, -1), (1, 1), (-1, -1), (0, 0), (2, 0)])
def test_bands(dtype, lower, upper):
    agree(lambda x: tf.linalg.band_part(x, lower, upper), (BATCH * 3).astype(dtype), free={0: [1]})
