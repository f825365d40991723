"""Sliding windows of convolutions and pools: their sizes and paddings, which no framework has a say in.

A size is an int where it is known at conversion, else whatever the target calculates with; how it takes the larger or
the smaller of two is handed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Size = Any
"""An int where the size is known at conversion, else the target's own: a scalar tensor, a symbolic int."""
Padding = tuple[Size, Size]
"""How much is added before and after, along one axis; negative where the axis is cut."""
Choice = Callable[[Size, Size], Size]
"""The larger or the smaller of two sizes."""


@dataclass(frozen=True)
class Window:
    """A window: kernel sizes, strides and dilations, one a spatial axis."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]

    @classmethod
    def of(cls, kernel: Sequence[int], strides: Sequence[int] | None, dilations: Sequence[int] | None) -> Window:
        """The window with the attributes' defaults filled in: 1 along every axis."""
        ones = (1,) * len(kernel)
        return cls(tuple(kernel), tuple(strides or ones), tuple(dilations or ones))

    @property
    def rank(self) -> int:
        return len(self.kernel)

    @property
    def extents(self) -> tuple[int, ...]:
        """How many elements a window spans, its holes included."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def dilated(self) -> bool:
        return any(d > 1 for d in self.dilations)

    @property
    def taps(self) -> int:
        """How many elements a window has."""
        return math.prod(self.kernel)


def known(sizes: Sequence[Size]) -> bool:
    """Whether every size is known at conversion."""
    return all(isinstance(size, int) for size in sizes)


def outputs_of(size: Size, extent: int, stride: int) -> Size:
    """How many whole windows fit."""
    return (size - extent) // stride + 1


def paddings_of(
    auto_pad: str, pads: Sequence[int] | None, window: Window, sizes: Sequence[Size], *, larger: Choice
) -> list[Padding]:
    """What is added around the spatial axes (attributes ``auto_pad`` and ``pads`` of convolutions and pools)."""
    n = window.rank
    if auto_pad == "VALID":
        return [(0, 0)] * n
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        return [
            same_padding(size, extent, stride, upper=auto_pad == "SAME_UPPER", larger=larger)
            for size, extent, stride in zip(sizes, window.extents, window.strides, strict=True)
        ]
    begins_ends = tuple(pads or (0,) * (2 * n))
    return list(zip(begins_ends[:n], begins_ends[n:], strict=True))


def same_padding(size: Size, extent: int, stride: int, *, upper: bool, larger: Choice) -> Padding:
    """The padding of one axis with which there are size / stride windows, rounded up.

    Where it is odd, ``upper`` puts the rest at the end."""
    if stride == 1:  # the sizes cancel: nothing unknown is left
        total: Size = extent - 1
    else:
        total = (size + stride - 1) // stride * stride - size + (extent - stride)
        if not (isinstance(extent, int) and extent >= stride):  # else it is not negative, and what is symbolic short
            total = larger(total, 0)
    less = total // 2
    return (less, total - less) if upper else (total - less, less)


def ceiled(paddings: Sequence[Padding], window: Window, sizes: Sequence[Size], *, smaller: Choice) -> list[Padding]:
    """Paddings under ``ceil_mode``: the end is widened so that a last, partial window fits.

    A window that would start in the padding at the end does not count.
    """
    return [
        _ceiled(padding, size, extent, stride, smaller)
        for padding, size, extent, stride in zip(paddings, sizes, window.extents, window.strides, strict=True)
    ]


def _ceiled(padding: Padding, size: Size, extent: int, stride: int, smaller: Choice) -> Padding:
    begin, end = padding
    last = (size + begin + end - extent + stride - 1) // stride  # the index of the last window, rounded up
    last = smaller(last, (size + begin - 1) // stride)
    return begin, last * stride + extent - size - begin
