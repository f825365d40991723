"""How a weight came to lie as it does: many permutations and reshapes, said as one of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

Step = tuple[Literal["perm", "shape"], Sequence[int]]
"""Axes permuted, or a new shape for the elements in their order."""

Ints = tuple[int, ...]

_Run = tuple[int, int]
"""Elements that lie evenly in memory: the distance between them, and how many they are."""


def permuted_first(sizes: Sequence[int], steps: Sequence[Step]) -> tuple[Ints | None, Ints | None] | None:
    """``(perm, shape)``: permuting an array of ``sizes``, then reshaping it, does what ``steps`` do one by one.

    Either is None where it would change nothing. The whole is None where the steps cut an axis and move its parts.
    """
    followed = _followed(sizes, steps)
    if followed is None:
        return None
    perm, axes = followed
    if perm is None:
        order: list[int] = []
        for run in _joined([run for axis in axes for run in axis]):
            whole = _whole_axes(run, sizes)
            if whole is None:
                return None
            order += whole
        ones = [axis for axis, size in enumerate(sizes) if size == 1]
        perm = tuple(range(len(sizes))) if order == sorted(order) else (*order, *ones)
    shape = tuple(math.prod(count for _, count in axis) for axis in axes)
    same = perm == tuple(range(len(sizes)))
    return None if same else perm, None if shape == tuple(sizes[axis] for axis in perm) else shape


def reshaped_first(sizes: Sequence[int], steps: Sequence[Step]) -> tuple[Ints, Ints] | None:
    """``(shape, perm)``: reshaping an array of ``sizes``, then permuting it, does what ``steps`` do one by one.

    None where the steps put elements side by side that did not lie so.
    """
    followed = _followed(sizes, steps)
    if followed is None:
        return None
    axes = [_joined(axis) for axis in followed[1]]
    if any(len(axis) > 1 for axis in axes):
        return None
    starts = [axis[0][0] if axis else 0 for axis in axes]
    order = sorted(range(len(axes)), key=lambda axis: -starts[axis])
    return tuple(axes[axis][0][1] if axes[axis] else 1 for axis in order), tuple(map(order.index, range(len(axes))))


def _followed(sizes: Sequence[int], steps: Sequence[Step]) -> tuple[Ints | None, list[list[_Run]]] | None:
    """The permutation, where the steps are nothing else; and the runs of memory that each resulting axis is.

    None where an axis is none of whole runs, and where there are no elements.
    """
    if 0 in sizes:
        return None
    perm: Ints | None = tuple(range(len(sizes)))
    axes = [[(stride, size)] if size != 1 else [] for stride, size in zip(_strides(sizes), sizes, strict=True)]
    for kind, values in steps:
        if kind == "perm":
            axes = [axes[axis] for axis in values]
            perm = None if perm is None else tuple(perm[axis] for axis in values)
        elif list(values) != [math.prod(count for _, count in axis) for axis in axes]:
            dealt = _regrouped([run for axis in axes for run in axis], values)
            if dealt is None:
                return None
            axes, perm = dealt, None
    return perm, axes


def _strides(sizes: Sequence[int]) -> list[int]:
    return [math.prod(sizes[axis + 1 :]) for axis in range(len(sizes))]


def _regrouped(runs: list[_Run], shape: Sequence[int]) -> list[list[_Run]] | None:
    """``runs``, the outermost first, dealt out to axes of ``shape``, the innermost first; long ones are cut.

    None where an axis ends within a run that cannot be cut there.
    """
    left = _joined(runs)
    axes: list[list[_Run]] = []
    for size in reversed(shape):
        axis: list[_Run] = []
        while size > 1:
            stride, count = left.pop()
            taken = math.gcd(count, size)
            if taken == 1:
                return None
            if taken < count:
                left.append((stride * taken, count // taken))
            axis.insert(0, (stride, taken))
            size //= taken
        axes.insert(0, axis)
    return axes


def _joined(runs: Sequence[_Run]) -> list[_Run]:
    """Runs of which one continues another as one."""
    joined: list[_Run] = []
    for stride, count in runs:
        if joined and joined[-1][0] == stride * count:
            joined[-1] = stride, joined[-1][1] * count
        else:
            joined.append((stride, count))
    return joined


def _whole_axes(run: _Run, sizes: Sequence[int]) -> list[int] | None:
    """The axes of an array of ``sizes``, side by side in it, that a run goes along; None where it cuts one."""
    stride, count = run
    strides = _strides(sizes)
    inner = next((axis for axis, size in enumerate(sizes) if size != 1 and strides[axis] == stride), None)
    if inner is None:
        return None
    found = [inner]
    while math.prod(sizes[axis] for axis in found) < count and found[0]:
        found.insert(0, found[0] - 1)
    whole = math.prod(sizes[axis] for axis in found) == count
    return [axis for axis in found if sizes[axis] != 1] if whole else None
