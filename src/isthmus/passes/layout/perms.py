"""Permutations between channels first (N, C, spatial…) and channels last (N, spatial…, C)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
Perm = tuple[int, ...]


def last_perm(rank: int) -> Perm:
    """The permutation that moves channels last: (0, 2, …, n-1, 1)."""
    return (0, *range(2, rank), 1)


def first_perm(rank: int) -> Perm:
    """The permutation that moves channels from the end to their place behind the batch: (0, n-1, 1, …, n-2)."""
    return (0, rank - 1, *range(1, rank - 1))


@dataclass(frozen=True)
class Move:
    """The layout that values may take besides the source's: where its channels are, and where they would be.

    ``word`` and ``back`` end the names of what is moved there, and of what is moved back.
    """

    channels: int
    word: str
    back: str

    def perm(self, rank: int) -> Perm:
        """The permutation of a value of ``rank`` axes."""
        return last_perm(rank) if self.channels == 1 else first_perm(rank)


TO_LAST = Move(1, "last", "first")
TO_FIRST = Move(-1, "first", "last")


def weight_perm(rank: int) -> Perm:
    """The permutation of convolution weights: (2, …, n-1, 1, 0)."""
    return (*range(2, rank), 1, 0)


def inverse(perm: Sequence[int]) -> Perm:
    """The permutation that undoes ``perm``."""
    return tuple(sorted(range(len(perm)), key=perm.__getitem__))


def is_identity(perm: Sequence[int]) -> bool:
    return list(perm) == list(range(len(perm)))


def moved(items: Sequence[T], perm: Sequence[int]) -> tuple[T, ...]:
    """Items listed by source axis, listed by permuted axis."""
    return tuple(items[axis] for axis in perm)


def axis_after(axis: int, perm: Sequence[int]) -> int:
    """Where the source's ``axis`` (negative allowed) stands after ``perm``."""
    return list(perm).index(axis % len(perm))


def spelled(perm: Sequence[int]) -> str:
    """As it is written in metadata: ``0,2,3,1``."""
    return ",".join(map(str, perm))
