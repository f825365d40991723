"""Diagonals taken out of matrices, put into them, and matrices made of them; bands and triangles."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from isthmus.readers.tensorflow.contract import Host, Reads, Static
from isthmus.readers.tensorflow.ops._diagonals import Band
from isthmus.readers.tensorflow.ops._sizes import counted, size

table = Reads()
read = table.read


# ---- the main diagonal, of any size -----------------------------------------------------------------
@read("MatrixDiag")
def matrix_of_diagonal(op, c, diagonal):
    return _spread(op, diagonal, c.rank(0))


def _spread(op, diagonal, rank, filling=None):
    """The last axis along the diagonal of a square matrix."""
    on = _on_diagonal(op, size(op, diagonal, rank - 1), size(op, diagonal, rank - 1))
    return op.Where(on, op.Unsqueeze(diagonal, [-1]), _zero(op, diagonal) if filling is None else filling)


def _on_diagonal(op, rows, columns):
    return op.Equal(op.Unsqueeze(counted(op, rows), [1]), op.Unsqueeze(counted(op, columns), [0]))


@read("MatrixDiagPart")
def diagonal_of_matrix(op, c, x):
    return _diagonal(op, x, c.rank(0))


def _diagonal(op, x, rank):
    rows, columns = size(op, x, rank - 2), size(op, x, rank - 1)
    flat = op.Reshape(x, op.Concat(op.Shape(x, end=rank - 2), op.Mul(rows, columns), axis=0), allowzero=1)
    places = op.Mul(counted(op, op.Min(rows, columns)), op.Add(columns, 1))
    return op.Gather(flat, places, axis=-1)


@read("MatrixSetDiag")
def with_diagonal(op, c, x, diagonal):
    return _with_main(op, c, x, diagonal)


def _with_main(op, c, x, diagonal):
    rank = c.rank(0)
    on = _on_diagonal(op, size(op, x, rank - 2), size(op, x, rank - 1))
    shape = c.shape(0)
    if shape[-1] == shape[-2] and isinstance(shape[-1], int):
        return op.Where(on, op.Unsqueeze(diagonal, [-1]), x)
    # Row i takes element i of the diagonal, which ends before the rows where these are more than the columns.
    row = op.Min(counted(op, size(op, x, rank - 2)), op.Sub(size(op, diagonal, rank - 2), 1))
    return op.Where(on, op.Unsqueeze(op.Gather(diagonal, row, axis=-1), [-1]), x)


@read("Diag")
def tensor_of_diagonal(op, c, diagonal):
    """The shape twice over; the elements where both halves of the index are the same."""
    if c.rank(0) == 1:
        return _spread(op, diagonal, 1)
    shape = op.Shape(diagonal)
    return op.Reshape(_spread(op, op.Reshape(diagonal, [-1]), 1), op.Concat(shape, shape, axis=0), allowzero=1)


@read("DiagPart")
def diagonal_of_tensor(op, c, x):
    half = c.rank(0) // 2
    if half == 1:
        return _diagonal(op, x, 2)
    shape = op.Shape(x, end=half)
    count = op.ReduceProd(shape, keepdims=1)
    return op.Reshape(_diagonal(op, op.Reshape(x, op.Concat(count, count, axis=0)), 2), shape, allowzero=1)


# ---- several diagonals, whose number and length are known -------------------------------------------
@read("MatrixDiagV2")
def matrix_of_diagonals_left(op, c, diagonal, k: Static, num_rows: Static, num_cols: Static, padding_value: Host):
    return _matrix(op, c, diagonal, k, num_rows, num_cols, padding_value, "LEFT_LEFT")


@read("MatrixDiagV3")
def matrix_of_diagonals(
    op, c, diagonal, k: Static, num_rows: Static, num_cols: Static, padding_value: Host, *, align
):
    return _matrix(op, c, diagonal, k, num_rows, num_cols, padding_value, align)


def _matrix(op, c, diagonal, k, num_rows, num_cols, padding, align):
    low, high = _range(k)
    rows, columns, shape = int(num_rows), int(num_cols), c.shape(0)
    if (low, high) == (0, 0) and rows < 0 and columns < 0:
        return _spread(op, diagonal, len(shape), _like(op, padding, diagonal))
    if not isinstance(shape[-1], int):
        c.refuse("diagonals of a free length, other than the main one")
    least_rows = shape[-1] + max(-high, 0)
    least_columns = shape[-1] + max(low, 0)
    if rows < 0 and columns < 0:
        rows = columns = max(least_rows, least_columns)
    band = Band(rows if rows >= 0 else least_rows, columns if columns >= 0 else least_columns, low, high, align)
    source, on = band.sources()
    return op.Where(on, _entries(op, diagonal, band, source), _like(op, padding, diagonal))


def _entries(op, diagonal, band, source):
    """The diagonals' elements at the places that a matrix takes them from."""
    if band.count > 1:
        lead = op.Shape(diagonal, end=-2)
        diagonal = op.Reshape(diagonal, op.Concat(lead, [band.count * band.longest], axis=0), allowzero=1)
    return op.Gather(diagonal, source, axis=-1)


@read("MatrixDiagPartV2")
def diagonals_of_matrix_left(op, c, x, k: Static, padding_value: Host):
    return _parts(op, c, x, k, padding_value, "LEFT_LEFT")


@read("MatrixDiagPartV3")
def diagonals_of_matrix(op, c, x, k: Static, padding_value: Host, *, align):
    return _parts(op, c, x, k, padding_value, align)


def _parts(op, c, x, k, padding, align):
    low, high = _range(k)
    if (low, high) == (0, 0):
        return _diagonal(op, x, c.rank(0))
    band = _band(c, low, high, align)
    place, there = band.places()
    if band.count == 1:
        place, there = place[0], there[0]
    flat = op.Reshape(x, op.Concat(op.Shape(x, end=-2), [band.rows * band.columns], axis=0), allowzero=1)
    found = op.Gather(flat, place, axis=-1)
    return found if there.all() else op.Where(there, found, _like(op, padding, x))


@read("MatrixSetDiagV2")
def with_diagonals_left(op, c, x, diagonal, k: Static):
    return _with(op, c, x, diagonal, k, "LEFT_LEFT")


@read("MatrixSetDiagV3")
def with_diagonals(op, c, x, diagonal, k: Static, *, align):
    return _with(op, c, x, diagonal, k, align)


def _with(op, c, x, diagonal, k, align):
    low, high = _range(k)
    if (low, high) == (0, 0) and c.rank(1) == c.rank(0) - 1:
        return _with_main(op, c, x, diagonal)
    band = _band(c, low, high, align)
    if band.count == 1 and c.rank(1) == c.rank(0):
        diagonal = op.Squeeze(diagonal, [-2])
    source, on = band.sources()
    return op.Where(on, _entries(op, diagonal, band, source), x)


def _range(k):
    numbers = np.asarray(k).reshape(-1)
    return int(numbers[0]), int(numbers[-1])


def _band(c, low, high, align):
    rows, columns = c.shape(0)[-2:]
    if not (isinstance(rows, int) and isinstance(columns, int)):
        c.refuse("diagonals of matrices of a free size, other than the main one")
    return Band(rows, columns, low, high, align)


def _like(op, padding, x):
    return op.constant(padding, x.dtype) if isinstance(padding, np.ndarray) else padding


def _zero(op, x):
    return op.constant(0, x.dtype)


# ---- bands ------------------------------------------------------------------------------------------
@read("MatrixBandPart")
def band_part(op, x, num_lower: Static, num_upper: Static):
    """A negative number keeps the whole triangle."""
    lower, upper = int(num_lower), int(num_upper)
    x = x if lower < 0 else op.Trilu(x, np.int64(-lower), upper=1)
    x = x if upper < 0 else op.Trilu(x, np.int64(upper), upper=0)
    return x if isinstance(x.producer(), ir.Node) else op.Identity(x)
