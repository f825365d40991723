"""Sliding windows over images: sizes, paddings, and padding where a kernel of PyTorch does not pad so by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import dims
from isthmus.writers.torch.ops._dims import larger, smaller

Size = Any
"""An int where the size is known at conversion, else a symbolic one."""
Padding = tuple[Size, Size]
"""How much is added before and after, along one axis; negative where the axis is cut."""


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


def spatial_of(c: Context, x: Any, index: int = 0) -> list[Size]:
    """The sizes of the axes behind batch and channels of ``x``, which is input ``index``."""
    return dims(c, x, index)[2:]


def kernel_of(c: Context, kernel_shape: Sequence[int] | None, w: Any) -> list[Size]:
    """The spatial sizes of a filter: the attribute's, else those of the operand, which is input 1 or 3."""
    if kernel_shape:
        return list(kernel_shape)
    return spatial_of(c, w, 3 if c.op == "QLinearConv" else 1)


def known(sizes: Sequence[Size]) -> bool:
    """Whether every size is known at conversion."""
    return all(isinstance(size, int) for size in sizes)


def paddings_of(auto_pad: str, pads: Sequence[int] | None, window: Window, sizes: Sequence[Size]) -> list[Padding]:
    """What is added around the spatial axes (attributes ``auto_pad`` and ``pads`` of convolutions and pools)."""
    n = window.rank
    if auto_pad == "VALID":
        return [(0, 0)] * n
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        return [
            _same(size, extent, stride, upper=auto_pad == "SAME_UPPER")
            for size, extent, stride in zip(sizes, window.extents, window.strides, strict=True)
        ]
    begins_ends = tuple(pads or (0,) * (2 * n))
    return list(zip(begins_ends[:n], begins_ends[n:], strict=True))


def _same(size: Size, extent: Size, stride: int, *, upper: bool) -> Padding:
    # of stride 1, the sizes cancel: nothing symbolic is left
    total = extent - 1 if stride == 1 else larger(((size + stride - 1) // stride - 1) * stride + extent - size, 0)
    less = total // 2
    return (less, total - less) if upper else (total - less, less)


def ceiled(paddings: Sequence[Padding], window: Window, sizes: Sequence[Size]) -> list[Padding]:
    """Paddings under ``ceil_mode``: the end is widened so that a last, partial window fits.

    A window that would start in the padding at the end does not count.
    """
    return [
        _ceiled(padding, size, extent, stride)
        for padding, size, extent, stride in zip(paddings, sizes, window.extents, window.strides, strict=True)
    ]


def _ceiled(padding: Padding, size: Size, extent: int, stride: int) -> Padding:
    begin, end = padding
    last = (size + begin + end - extent + stride - 1) // stride  # the index of the last window, rounded up
    last = smaller(last, (size + begin - 1) // stride)
    return begin, last * stride + extent - size - begin


def equal_ends(paddings: Sequence[Padding]) -> list[int] | None:
    """The margin of each axis, where it is known, the same at both ends and not negative; else None."""
    if not known([p for pair in paddings for p in pair]) or any(b != e or b < 0 for b, e in paddings):
        return None
    return [begin for begin, _ in paddings]


def padded(x: Any, paddings: Sequence[Padding], value: float = 0) -> Any:
    """``x`` with its last axes padded by ``value``, or cut where a padding is negative."""
    flat = [p for pair in reversed(paddings) for p in pair]
    if known(flat) and not any(flat):
        return x
    return F.pad(x, flat) if value == 0 else F.pad(x, flat, value=value)


def outputs_of(size: Size, extent: int, stride: int) -> Size:
    """How many whole windows fit."""
    return (size - extent) // stride + 1


def seen(x: Any, axis: int, kernel: int, stride: int, dilation: int) -> Any:
    """The windows along one axis of ``x``: the axis counts them, a new last axis their elements."""
    windows = x.unfold(axis, (kernel - 1) * dilation + 1, stride)
    return windows if dilation == 1 else windows[..., ::dilation]


def short(values: Sequence[float]) -> Any:
    """One number where all are equal, as a person writes it."""
    return values[0] if len(set(values)) == 1 else tuple(values)


def steps(count: Size, like: Any) -> Any:
    """``0 … count-1``: a constant where the count is known, else on the device of ``like``."""
    return torch.arange(count) if isinstance(count, int) else torch.arange(count, device=like.device)


def counts(window: Window, paddings: Sequence[Padding], sizes: Sequence[int], within: Sequence[Padding]) -> Any:
    """How many elements of each window fall on the input widened by ``within``: float32, of the windows' shape.

    All sizes are known.
    """
    total: Any = None
    for axis, (size, (begin, end), (more, most)) in enumerate(zip(sizes, paddings, within, strict=True)):
        windows = outputs_of(size + begin + end, window.extents[axis], window.strides[axis])
        starts = torch.arange(windows) * window.strides[axis] - begin
        taps = torch.arange(window.kernel[axis]) * window.dilations[axis]
        at = starts.unsqueeze(1) + taps
        inside = ((at >= -more) & (at < size + most)).sum(1)
        inside = inside.to(torch.float32).reshape([-1, *[1] * (window.rank - 1 - axis)])
        total = inside if total is None else total * inside
    return total
