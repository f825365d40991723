"""The n-grams of a TfIdfVectorizer: which there are, where each is counted, and how to find them prefix by prefix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Grams:
    """The n-grams of one length: a row of ``letters`` each, numbers in the alphabet, and the column it counts in."""

    letters: Array
    columns: Array

    @property
    def length(self) -> int:
        return int(self.letters.shape[1])

    def prefixes(self, alphabet: int) -> tuple[tuple[Array, ...], Array]:
        """What to look for letter by letter, and the column of each whole gram.

        The state after a letter is the place of ``state before * alphabet + letter`` among the sorted keys of that
        length (of ``letter`` alone for the first).
        """
        keys, before = [], np.zeros(len(self.letters), np.int64)
        for letter in self.letters.T:
            known, before = np.unique(before * alphabet + letter, return_inverse=True)
            keys.append(known)
        column = np.zeros(len(keys[-1]), np.int64)
        column[before] = self.columns
        return tuple(keys), column

    def strides(self, max_skip_count: int) -> range:
        """How far apart the items of a gram may stand."""
        return range(1, 2 + (max_skip_count if self.length > 1 else 0))


@dataclass(frozen=True)
class Vocabulary:
    """The ``alphabet`` in order, the grams that are counted, the width of the row of counts, a weight a column."""

    alphabet: Array
    grams: tuple[Grams, ...]
    width: int
    weights: Array


def vocabulary(
    pool: Sequence[Any],
    starts: Sequence[int],
    indexes: Sequence[int],
    weights: Sequence[float] | None,
    lengths: tuple[int, int],
) -> Vocabulary:
    """The attributes of a TfIdfVectorizer: ``pool_*``, ``ngram_counts``, ``ngram_indexes``, ``weights``.

    ``lengths``: the least and the largest number of items of a gram that counts.
    """
    alphabet, spelled = np.unique(np.array(pool), return_inverse=True)
    found, position = [], 0
    for n, (start, end) in enumerate(zip(starts, [*starts[1:], len(pool)], strict=True), 1):
        letters = spelled[start:end].reshape(-1, n).astype(np.int64)
        columns = np.array(indexes[position : position + len(letters)], np.int64)
        position += len(letters)
        if len(letters) and lengths[0] <= n <= lengths[1]:
            found.append(Grams(letters, columns))
    width = max(indexes) + 1
    weight = np.ones(width, np.float32)
    if weights is not None:
        weight[np.array(indexes)] = np.array(weights, np.float32)
    return Vocabulary(alphabet, tuple(found), width, weight)
