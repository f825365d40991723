"""Diagonals taken out of matrices, put into them, and matrices made of them; bands and triangles."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from isthmus.readers.tensorflow.contract import Host, Reads
from isthmus.readers.tensorflow.ops._diagonals import Band, FreeBand
from isthmus.readers.tensorflow.ops._sizes import counted, entry, size, vector

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


# ---- any diagonals ----------------------------------------------------------------------------------
@read("MatrixDiagV2")
def matrix_of_diagonals_left(op, c, diagonal, k: Host, num_rows: Host, num_cols: Host, padding_value: Host):
    return _matrix(op, c, diagonal, k, num_rows, num_cols, padding_value, "LEFT_LEFT")


@read("MatrixDiagV3")
def matrix_of_diagonals(op, c, diagonal, k: Host, num_rows: Host, num_cols: Host, padding_value: Host, *, align):
    return _matrix(op, c, diagonal, k, num_rows, num_cols, padding_value, align)


def _matrix(op, c, diagonal, k, num_rows, num_cols, padding, align):
    shape, single = c.shape(0), _is_single(c, k, 1)
    padding = _like(op, padding, diagonal)
    if all(isinstance(number, np.ndarray) for number in (k, num_rows, num_cols)):
        (low, high), rows, columns = _range(k), int(num_rows), int(num_cols)
        if (low, high) == (0, 0) and rows < 0 and columns < 0:
            return _spread(op, diagonal, len(shape), padding)
        if isinstance(shape[-1], int):
            sizes = _sizes(shape[-1] - min(high, 0), shape[-1] + max(low, 0), rows, columns)
            return _filled(op, diagonal, Band(*sizes, low, high, align), single, padding)
    low, high = entry(op, k, 0), entry(op, k, -1)
    length = size(op, diagonal, len(shape) - 1)
    least = op.Sub(length, op.Min(high, 0)), op.Add(length, op.Max(low, 0))
    sizes = _sizes_at_run_time(op, *least, entry(op, num_rows, 0), entry(op, num_cols, 0))
    return _filled(op, diagonal, _free(op, sizes, low, high, align), single, padding)


def _sizes(least_rows, least_columns, rows, columns):
    """Rows and columns; where neither is told, a square matrix, otherwise no more than the diagonals need."""
    if rows < 0 and columns < 0:
        return (max(least_rows, least_columns),) * 2
    return rows if rows >= 0 else least_rows, columns if columns >= 0 else least_columns


def _sizes_at_run_time(op, least_rows, least_columns, rows, columns):
    zero = op.constant([0])
    no_rows, no_columns = op.Less(rows, zero), op.Less(columns, zero)
    square = op.Max(least_rows, least_columns)
    return (
        op.Where(no_rows, op.Where(no_columns, square, least_rows), rows),
        op.Where(no_columns, op.Where(no_rows, square, least_columns), columns),
    )


def _filled(op, diagonal, band, single, rest):
    """The diagonals at their places in matrices, ``rest`` elsewhere."""
    source, on = band.sources()
    if not single:
        diagonal = op.Reshape(diagonal, op.Concat(op.Shape(diagonal, end=-2), [-1], axis=0))
    return op.Where(on, op.Gather(diagonal, source, axis=-1), rest)


@read("MatrixDiagPartV2")
def diagonals_of_matrix_left(op, c, x, k: Host, padding_value: Host):
    return _parts(op, c, x, k, padding_value, "LEFT_LEFT")


@read("MatrixDiagPartV3")
def diagonals_of_matrix(op, c, x, k: Host, padding_value: Host, *, align):
    return _parts(op, c, x, k, padding_value, align)


def _parts(op, c, x, k, padding, align):
    single = _is_single(c, k, 1)
    if isinstance(k, np.ndarray) and _range(k) == (0, 0):
        return _diagonal(op, x, c.rank(0))
    band = _band(op, c, x, k, align)
    place, there = band.places()
    if single:
        place, there = (part[0] if isinstance(part, np.ndarray) else op.Squeeze(part, [0]) for part in (place, there))
    elements = op.Mul(size(op, x, c.rank(0) - 2), size(op, x, c.rank(0) - 1))
    flat = op.Reshape(x, op.Concat(op.Shape(x, end=-2), elements, axis=0), allowzero=1)
    found = op.Gather(flat, place, axis=-1)
    full = isinstance(there, np.ndarray) and there.all()
    return found if full else op.Where(there, found, _like(op, padding, x))


@read("MatrixSetDiagV2")
def with_diagonals_left(op, c, x, diagonal, k: Host):
    return _with(op, c, x, diagonal, k, "LEFT_LEFT")


@read("MatrixSetDiagV3")
def with_diagonals(op, c, x, diagonal, k: Host, *, align):
    return _with(op, c, x, diagonal, k, align)


def _with(op, c, x, diagonal, k, align):
    single = c.rank(1) == c.rank(0) - 1
    if single and isinstance(k, np.ndarray) and _range(k) == (0, 0):
        return _with_main(op, c, x, diagonal)
    return _filled(op, diagonal, _band(op, c, x, k, align), single, x)


def _is_single(c, k, index):
    """Whether it is one diagonal, which has no axis of its own."""
    if isinstance(k, np.ndarray):
        low, high = _range(k)
        return low == high
    return c.shape(index) in ((), (1,)) or c.refuse(
        "the rank of its result depends on whether its two bounds are one"
    )


def _range(k):
    numbers = np.asarray(k).reshape(-1)
    return int(numbers[0]), int(numbers[-1])


def _band(op, c, x, k, align):
    """The diagonals ``k`` of the matrices ``x``, its input 0."""
    rank = c.rank(0)
    sizes = c.shape(0)[-2:]
    if isinstance(k, np.ndarray) and all(isinstance(n, int) for n in sizes):
        return Band(*sizes, *_range(k), align)
    return _free(op, (size(op, x, rank - 2), size(op, x, rank - 1)), entry(op, k, 0), entry(op, k, -1), align)


def _free(op, sizes, low, high, align):
    vectors = (op.constant(one) if isinstance(one, np.ndarray) else one for one in (*sizes, low, high))
    return FreeBand(op, *vectors, align)


def _like(op, padding, x):
    return op.constant(padding, x.dtype) if isinstance(padding, np.ndarray) else padding


def _zero(op, x):
    return op.constant(0, x.dtype)


# ---- bands ------------------------------------------------------------------------------------------
@read("MatrixBandPart")
def band_part(op, x, num_lower: Host, num_upper: Host):
    """A negative number keeps the whole triangle."""
    x = _kept(op, x, num_lower, upper=1)
    x = _kept(op, x, num_upper, upper=0)
    return x if isinstance(x.producer(), ir.Node) else op.Identity(x)


def _kept(op, x, count, *, upper):
    """What is not too far below the diagonal (``upper``), or above it."""
    if isinstance(count, np.ndarray):
        count = int(count)
        return x if count < 0 else op.Trilu(x, np.int64(-count if upper else count), upper=upper)
    count = op.Squeeze(vector(op, count), [0])
    part = op.Trilu(x, op.Neg(count) if upper else count, upper=upper)
    return op.Where(op.Less(count, 0), x, part)
