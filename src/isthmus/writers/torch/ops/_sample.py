"""Reading images between their pixels: weighted sums over the neighbours of floating coordinates."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

Size = Any
"""An int, or a symbolic one."""


@dataclass(frozen=True)
class Tap:
    """One neighbour along one axis: its index, and its weight, which is 0 where it does not count."""

    index: Any
    weight: Any


Place = Callable[[Any, int], tuple[Any, Any]]
"""What becomes of a neighbour's floating index along an axis: where it is read, and whether it counts (or None)."""


def taps_at(x: Any, axis: int, length: Size, offsets: Sequence[int], weights: Any, place: Place) -> list[Tap]:
    """The neighbours of the coordinates ``x`` at ``offsets`` from their floor, weighed by ``weights(fraction)``."""
    floor = torch.floor(x)
    made = []
    for offset, weight in zip(offsets, weights(x - floor), strict=True):
        at, counts = place(floor + offset, axis)
        index = at.long().clamp(0, length - 1)
        made.append(Tap(index, weight if counts is None else weight * counts))
    return made


def blended(flat: Any, sizes: Sequence[Size], taps: Sequence[Sequence[Tap]], batches: int) -> Any:
    """The sums over all neighbours.

    flat: (batch…, channels, product of sizes), of so many batch axes; the taps of each axis: (batch…, points).
    Result: (batch…, channels, points).
    """
    parts = []
    for corner in itertools.product(*taps):
        index, weight = corner[0].index, corner[0].weight
        for tap, size in zip(corner[1:], sizes[1:], strict=True):
            index, weight = index * size + tap.index, weight * tap.weight
        index = index.unsqueeze(-2).expand([*[-1] * batches, flat.size(batches), -1])
        parts.append(flat.gather(-1, index) * weight.unsqueeze(-2))
    return functools.reduce(operator.add, parts)


def linear_weights(t: Any) -> list[Any]:
    """Weights of the neighbours at 0 and 1 from the floor."""
    return [1 - t, t]


def cubic_weights(t: Any) -> list[Any]:
    """Weights of the neighbours at -1, 0, 1 and 2 from the floor: cubic convolution with a = -0.75."""
    a = -0.75

    def near(x: Any) -> Any:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Any) -> Any:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]
