"""Sliding windows over images: sizes, paddings, and padding where a kernel of PyTorch does not pad so by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from isthmus.lower import windows
from isthmus.lower.walk import Context
from isthmus.lower.windows import Padding, Size, Window, known, outputs_of
from isthmus.writers.torch.ops._common import dims
from isthmus.writers.torch.ops._dims import larger, smaller


def spatial_of(c: Context, x: Any, index: int = 0) -> list[Size]:
    """The sizes of the axes behind batch and channels of ``x``, which is input ``index``."""
    return dims(c, x, index)[2:]


def kernel_of(c: Context, kernel_shape: Sequence[int] | None, w: Any) -> list[Size]:
    """The spatial sizes of a filter: the attribute's, else those of the operand, which is input 1 or 3."""
    if kernel_shape:
        return list(kernel_shape)
    return spatial_of(c, w, 3 if c.op == "QLinearConv" else 1)


def paddings_of(auto_pad: str, pads: Sequence[int] | None, window: Window, sizes: Sequence[Size]) -> list[Padding]:
    """What is added around the spatial axes (attributes ``auto_pad`` and ``pads`` of convolutions and pools)."""
    return windows.paddings_of(auto_pad, pads, window, sizes, larger=larger)


def ceiled(paddings: Sequence[Padding], window: Window, sizes: Sequence[Size]) -> list[Padding]:
    """Paddings under ``ceil_mode``: the end is widened so that a last, partial window fits."""
    return windows.ceiled(paddings, window, sizes, smaller=smaller)


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


def seen(x: Any, axis: int, kernel: int, stride: int, dilation: int) -> Any:
    """The windows along one axis of ``x``: the axis counts them, a new last axis their elements."""
    spans = x.unfold(axis, (kernel - 1) * dilation + 1, stride)
    return spans if dilation == 1 else spans[..., ::dilation]


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
        fitting = outputs_of(size + begin + end, window.extents[axis], window.strides[axis])
        starts = torch.arange(fitting) * window.strides[axis] - begin
        taps = torch.arange(window.kernel[axis]) * window.dilations[axis]
        at = starts.unsqueeze(1) + taps
        inside = ((at >= -more) & (at < size + most)).sum(1)
        inside = inside.to(torch.float32).reshape([-1, *[1] * (window.rank - 1 - axis)])
        total = inside if total is None else total * inside
    return total
