"""Where the diagonals of matrices lie, and where they stand in a matrix of diagonals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from isthmus.readers.tensorflow.builder import Builder
from isthmus.readers.tensorflow.ops._sizes import counted


@dataclass(frozen=True)
class Band:
    """Diagonals ``low`` to ``high`` of a ``rows`` × ``columns`` matrix, the highest first, padded to the longest.

    ``align`` says for superdiagonals and subdiagonals on which side a shorter one stands: ``RIGHT_LEFT``…
    """

    rows: int
    columns: int
    low: int
    high: int
    align: str

    @property
    def count(self) -> int:
        return self.high - self.low + 1

    def length(self, k: int) -> int:
        """The number of elements of one diagonal."""
        return max(min(self.rows + min(k, 0), self.columns - max(k, 0)), 0)

    @property
    def longest(self) -> int:
        return max(self.length(k) for k in range(self.low, self.high + 1))

    def offset(self, k: int) -> int:
        """How much padding stands before the elements of one diagonal."""
        above, below = self.align.split("_")
        return self.longest - self.length(k) if (above if k >= 0 else below) == "RIGHT" else 0

    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """For each entry [diagonal, element]: its place in the flat matrix, and whether there is one."""
        place = np.zeros((self.count, self.longest), np.int64)
        there = np.zeros((self.count, self.longest), bool)
        for number, k in enumerate(range(self.high, self.low - 1, -1)):
            start = self.offset(k)
            for j in range(self.length(k)):
                place[number, start + j] = (j + max(-k, 0)) * self.columns + j + max(k, 0)
                there[number, start + j] = True
        return place, there

    def sources(self) -> tuple[np.ndarray, np.ndarray]:
        """For each element of the matrix: its place in the flat diagonals, and whether it lies on one of them."""
        place, there = self.places()
        source = np.zeros(self.rows * self.columns, np.int64)
        on = np.zeros(self.rows * self.columns, bool)
        source[place[there]] = np.arange(place.size).reshape(place.shape)[there]
        on[place[there]] = True
        return source.reshape(self.rows, self.columns), on.reshape(self.rows, self.columns)


@dataclass(frozen=True)
class FreeBand:
    """The same where bounds or sizes are known at run time only: all are int64 vectors of one element."""

    op: Builder
    rows: ir.Value
    columns: ir.Value
    low: ir.Value
    high: ir.Value
    align: str

    @property
    def longest(self) -> ir.Value:
        return self._spanned(self.high, self.low)

    def places(self) -> tuple[ir.Value, ir.Value]:
        """As those of a ``Band``: int64 and bool of [diagonal, element]."""
        op, longest = self.op, self.longest
        count = op.Add(op.Sub(self.high, self.low), 1)
        k = op.Unsqueeze(op.Sub(self.high, counted(op, count)), [1])
        element = op.Sub(op.Unsqueeze(counted(op, longest), [0]), self._offset(k, longest))
        there = op.And(op.GreaterOrEqual(element, 0), op.Less(element, self._spanned(k, k)))
        row, column = op.Add(element, op.Max(op.Neg(k), 0)), op.Add(element, op.Max(k, 0))
        return op.Where(there, op.Add(op.Mul(row, self.columns), column), 0), there

    def sources(self) -> tuple[ir.Value, ir.Value]:
        """As those of a ``Band``: int64 and bool of [row, column]."""
        op, longest = self.op, self.longest
        row, column = op.Unsqueeze(counted(op, self.rows), [1]), op.Unsqueeze(counted(op, self.columns), [0])
        k = op.Sub(column, row)
        on = op.And(op.GreaterOrEqual(k, self.low), op.LessOrEqual(k, self.high))
        element = op.Add(op.Min(row, column), self._offset(k, longest))
        return op.Where(on, op.Add(op.Mul(op.Sub(self.high, k), longest), element), 0), on

    def _spanned(self, above: ir.Value, below: ir.Value) -> ir.Value:
        """The length of the longest diagonal of these bounds."""
        op = self.op
        rows, columns = op.Add(self.rows, op.Min(above, 0)), op.Sub(self.columns, op.Max(below, 0))
        found: ir.Value = op.Max(op.Min(rows, columns), 0)
        return found

    def _offset(self, k: ir.Value, longest: ir.Value) -> ir.Value:
        op = self.op
        above, below = (side == "RIGHT" for side in self.align.split("_"))
        missing: ir.Value = op.Sub(longest, self._spanned(k, k))
        if above and below:
            return missing
        if not above and not below:
            return op.constant(np.int64(0))
        moved = op.GreaterOrEqual(k, 0) if above else op.Less(k, 0)
        found: ir.Value = op.Where(moved, missing, 0)
        return found
