"""Pad, in every mode, with margins that may be negative or larger than the tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from isthmus.lower.contract import Host, Lowerings
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import dim, host_list, positive
from isthmus.writers.torch.ops._dims import counts, index_tensor, is_known, larger, moved

table = Lowerings()
lower, alias = table.lower, table.alias

Margin = tuple[Any, Any]
"""How much is added before and after an axis: ints, or symbolic ones."""

_NATIVE = {"reflect": "reflect", "edge": "replicate", "wrap": "circular"}


@lower("Pad")
def pad(c, x, pads: Host, constant: Host = None, axes: Host = None, *, mode):
    margins = _margins(c, pads, axes)
    if mode == "constant" and (constant is None or is_known(constant)):
        return moved(c, lambda v: _constant(v, margins, _fill(c, constant)), x)
    if mode == "constant":
        return moved(c, lambda v, fill: _filled(v, margins, fill.reshape([])), x, constant)
    return moved(c, lambda v: _continued(c, v, margins, mode), x)


def _margins(c: Context, pads: Any, axes: Any) -> list[Margin]:
    """One margin an axis of the input."""
    rank = c.rank()
    if axes is not None and not is_known(axes):
        pairs = pads if not is_known(pads) else index_tensor(pads, axes)
        full = torch.zeros([2, rank], dtype=torch.int64, device=axes.device)
        full = full.index_copy(1, axes.to(torch.int64) % rank, pairs.reshape([2, -1]))
        pads, order = full.reshape([-1]), list(range(rank))
    else:
        order = list(range(rank)) if axes is None else [positive(int(a), rank) for a in axes]
    entries = host_list(c, pads, 2 * len(order))
    margins: list[Margin] = [(0, 0)] * rank
    for i, axis in enumerate(order):
        margins[axis] = (entries[i], entries[i + len(order)])
    return margins


def _fill(c: Context, constant: Any) -> Any:
    """The number to pad with, in the type in which ``moved`` carries elements."""
    if constant is None or constant.size == 0:
        return 0
    return _carried(c, constant.reshape(-1)[0])


def _carried(c: Context, number: Any) -> Any:
    bits = {2: np.int16, 4: np.int32, 8: np.int64}
    if c.dtype(0).name in ("UINT16", "UINT32", "UINT64"):
        return int(number.view(bits[number.itemsize]))
    return int(number.view(np.uint8)) if c.dtype(0).name.startswith("FLOAT8") else number.item()


def _constant(x: Any, margins: list[Margin], fill: Any) -> Any:
    """What a negative margin takes away goes the same way as what a positive one adds."""
    flat = _from_last(margins)
    if not flat:
        return x
    if isinstance(fill, complex) or (isinstance(fill, int) and abs(fill) > 2**53):  # F.pad takes a double
        return torch.constant_pad_nd(x, flat, fill)
    return F.pad(x, flat) if isinstance(fill, int | float) and fill == 0 else F.pad(x, flat, value=fill)


def _filled(x: Any, margins: list[Margin], fill: Any) -> Any:
    """``x`` with what stands in a tensor around it; gradients reach that too."""
    flat = _from_last(margins)
    if not flat:
        return x
    inside = F.pad(torch.ones_like(x, dtype=torch.bool), flat)
    return torch.where(inside, F.pad(x, flat), fill)


def _from_last(margins: list[Margin]) -> list[Any]:
    """Margins as F.pad lists them: the last axis first, without untouched ones at the front."""
    touched = [i for i, pair in enumerate(margins) if not _is_nothing(pair)]
    return [m for pair in reversed(margins[touched[0] :]) for m in pair] if touched else []


def _is_nothing(pair: Margin) -> bool:
    return all(isinstance(m, int) and m == 0 for m in pair)


def _continued(c: Context, x: Any, margins: list[Margin], mode: str) -> Any:
    """``x`` continued over its margins by its own elements."""
    if _has_kernel(c, margins, mode):
        return F.pad(x, _from_last(margins), mode=_NATIVE[mode])
    for axis, pair in enumerate(margins):
        if not _is_nothing(pair):
            x = _continued_along(x, axis, dim(c, x, axis), pair, mode)
    return x


def _has_kernel(c: Context, margins: list[Margin], mode: str) -> bool:
    """Whether F.pad has this mode: the last one to three axes of a batch of images, margins within the tensor."""
    flat, shape = _from_last(margins), c.shape()
    spatial = len(flat) // 2
    if not flat or spatial > 3 or c.rank() not in (spatial + 1, spatial + 2):
        return False
    if c.dtype().name not in ("FLOAT", "DOUBLE"):
        return False
    return all(
        isinstance(m, int) and isinstance(length, int) and 0 <= m < length
        for length, pair in zip(shape[-spatial:], margins[-spatial:], strict=True)
        for m in pair
    )


def _continued_along(x: Any, axis: int, length: Any, pair: Margin, mode: str) -> Any:
    """Negative margins are cut off first, then the rest is continued."""
    before, after = (_positive(m) for m in pair)
    first, last = (_positive(-m) for m in pair)
    if not _is_nothing((first, last)):
        x = x.narrow(axis, first, length - first - last)
        length = length - first - last
    if _is_nothing((before, after)):
        return x
    return x.index_select(axis, _sources(x, length, before, after, mode))


def _positive(value: Any) -> Any:
    return larger(value, 0)


def _sources(x: Any, length: Any, before: Any, after: Any, mode: str) -> Any:
    """Which element of an axis stands at each place of the padded axis."""
    here = counts(-before, length + after, x)
    if mode == "edge":
        return here.clamp(0, length - 1)
    if mode == "wrap":
        return here % length
    period = larger(2 * (length - 1), 1)
    folded = here % period
    return torch.minimum(folded, period - folded)
