"""Where the diagonals of matrices lie, and where they stand in a matrix of diagonals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
