"""Pooling: maxima, averages and norms over windows or whole images, and MaxUnpool."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from isthmus.lower.contract import Host, Lowerings
from isthmus.lower.walk import Context
from isthmus.lower.windows import Padding, Size, Window, known
from isthmus.writers.torch.ops._common import dims, dtype_of, host_list
from isthmus.writers.torch.ops._dims import larger, product
from isthmus.writers.torch.ops._numeric import in_float32
from isthmus.writers.torch.ops._windows import (
    ceiled,
    counts,
    equal_ends,
    padded,
    paddings_of,
    seen,
    short,
    spatial_of,
    steps,
)

table = Lowerings()
lower, alias = table.lower, table.alias

MAX_POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVG_POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def _window(c: Context, kernel_shape: Any, strides: Any, dilations: Any) -> Window:
    window = Window.of(kernel_shape, strides, dilations)
    if window.rank not in MAX_POOL:
        c.refuse(f"PyTorch pools over one to three axes, not over {window.rank}")
    return window


def _paddings(c: Context, x: Any, window: Window, auto_pad: str, pads: Any, ceil_mode: int) -> list[Padding]:
    sizes = spatial_of(c, x)
    paddings = paddings_of(auto_pad, pads, window, sizes)
    return ceiled(paddings, window, sizes) if ceil_mode and not auto_pad.startswith("SAME") else paddings


def _margins(window: Window, paddings: Sequence[Padding]) -> list[int] | None:
    """Paddings as PyTorch's pools take them: the same at both ends, and at most half a window."""
    margins = equal_ends(paddings)
    if margins is None or any(m > k // 2 for m, k in zip(margins, window.kernel, strict=True)):
        return None
    return margins


def _pooled(pool: Any, x: Any, window: Window, margins: Sequence[int] = (), **options: Any) -> Any:
    """A call of a pool, without the options that are as usual."""
    if any(margins):
        options["padding"] = short(margins)
    if window.dilated:
        options["dilation"] = short(window.dilations)
    return pool(x, short(window.kernel), short(window.strides), **options)


# ---------------------------------------------------------------------------------------------- maximum


@lower("MaxPool")
def max_pool(c, x, *, auto_pad, ceil_mode, dilations, kernel_shape, pads, storage_order, strides):
    window = _window(c, kernel_shape, strides, dilations)
    sizes = within = spatial_of(c, x)
    ceil_mode = bool(ceil_mode) and not auto_pad.startswith("SAME")
    paddings = paddings_of(auto_pad, pads, window, sizes)
    margins = _margins(window, paddings)
    options: dict[str, Any] = {"ceil_mode": True} if ceil_mode and margins is not None else {}
    image = x.float() if c.dtype().is_integer() else x  # not every kernel takes bytes
    if margins is None:
        paddings = ceiled(paddings, window, sizes) if ceil_mode else paddings
        image, margins = padded(image, paddings, -math.inf), []
        within = [size + begin + end for size, (begin, end) in zip(sizes, paddings, strict=True)]
    if not c.wants(1):
        if window.rank == 1 and not isinstance(sizes[0], int):
            # max_pool1d would fix a free length when it is exported; N, C, L is an image of channels N, too
            window, margins = _of_rows(window), [0, *margins] if margins else []
        y = _pooled(MAX_POOL[window.rank], image, window, margins, **options)
        return y.to(dtype_of(c.dtype())) if c.dtype().is_integer() else y
    made = _pooled(MAX_POOL[window.rank], image, window, margins, **options, return_indices=True)
    begins = [0] * window.rank if within is sizes else [begin for begin, _ in paddings]
    places = _replaced(made[1], within, begins, sizes, column_major=bool(storage_order))
    best = made[0].to(dtype_of(c.dtype())) if c.dtype().is_integer() else made[0]
    return best, places + _planes(c, x, sizes)


def _of_rows(window: Window) -> Window:
    """A window along a line as one along the rows of an image."""
    return Window((1, *window.kernel), (1, *window.strides), (1, *window.dilations))


def _replaced(
    index: Any, within: Sequence[Size], begins: Sequence[Size], sizes: Sequence[Size], *, column_major: bool
) -> Any:
    """Indices in a padded plane, row by row, as indices in the plane itself, row by row or column by column."""
    if within is sizes and not column_major:
        return index
    coordinates: list[Any] = []
    for length, begin in zip(reversed(within), reversed(begins), strict=True):
        coordinates.insert(0, index % length - begin)
        index = index // length
    pairs = list(zip(coordinates, sizes, strict=True))
    pairs = pairs[::-1] if column_major else pairs
    place = pairs[0][0]
    for coordinate, size in pairs[1:]:
        place = place * size + coordinate
    return place


def _planes(c: Context, x: Any, sizes: Sequence[Size]) -> Any:
    """Where the plane of each channel of each image begins in the flat tensor: (N, C, 1…)."""
    batch, channels = dims(c, x)[:2]
    return (steps(batch * channels, x) * product(sizes)).reshape([batch, channels, *[1] * len(sizes)])


@lower("MaxUnpool")
def max_unpool(c, x, indices, output_shape: Host = None, *, kernel_shape, pads, strides):
    window = Window.of(kernel_shape, strides, None)
    sizes = dims(c, x)
    paddings = paddings_of("NOTSET", pads, window, sizes[2:])
    inferred = [
        (size - 1) * s + k - begin - end
        for size, s, k, (begin, end) in zip(sizes[2:], window.strides, window.kernel, paddings, strict=True)
    ]
    whole = [*sizes[:2], *inferred]
    y = x.new_zeros([product(whole)]).scatter(0, indices.flatten(), x.flatten()).reshape(whole)
    if output_shape is None:
        return y
    # the indices count in the inferred shape; what output_shape has beyond it is 0
    wanted = host_list(c, output_shape, len(whole))
    return padded(y, [(0, larger(w - size, 0)) for w, size in zip(wanted, whole, strict=True)])


# ---------------------------------------------------------------------------------------------- averages, norms


@lower("AveragePool")
def average_pool(c, x, *, auto_pad, ceil_mode, count_include_pad, dilations, kernel_shape, pads, strides):
    window = _window(c, kernel_shape, strides, dilations)
    sizes = spatial_of(c, x)
    plain = paddings_of(auto_pad, pads, window, sizes)
    margins = None if window.dilated else _margins(window, plain)
    if margins is not None:
        options = {"ceil_mode": True} if ceil_mode and not auto_pad.startswith("SAME") else {}
        options |= {"count_include_pad": False} if any(margins) and not count_include_pad else {}
        return in_float32(lambda x: _pooled(AVG_POOL[window.rank], x, window, margins, **options), x, dtype=c.dtype())
    paddings = _paddings(c, x, window, auto_pad, pads, ceil_mode)
    counted = plain if count_include_pad else [(0, 0)] * window.rank
    if equal_ends(paddings) == [0] * window.rank:
        return in_float32(lambda x: _mean(x, window), x, dtype=c.dtype())
    if known(sizes):
        share = window.taps / counts(window, paddings, sizes, counted)
        return in_float32(lambda x: _mean(padded(x, paddings), window) * share, x, dtype=c.dtype())

    def shared(x: Any) -> Any:
        """The sums over how many elements count, which are seen by pooling ones."""
        ones = padded(torch.ones_like(x[:1, :1]), counted, 1)
        missing = [(b - m, e - n) for (b, e), (m, n) in zip(paddings, counted, strict=True)]
        return _mean(padded(x, paddings), window) / _mean(padded(ones, missing), window)

    return in_float32(shared, x, dtype=c.dtype())


def _mean(x: Any, window: Window) -> Any:
    """The mean of every whole window."""
    if not window.dilated:
        return _pooled(AVG_POOL[window.rank], x, window)
    for axis, one in enumerate(zip(window.kernel, window.strides, window.dilations, strict=True), start=2):
        x = seen(x, axis, *one).mean(-1)
    return x


@lower("LpPool")
def lp_pool(c, x, *, auto_pad, ceil_mode, dilations, kernel_shape, p, pads, strides):
    window = _window(c, kernel_shape, strides, dilations)
    paddings = _paddings(c, x, window, auto_pad, pads, ceil_mode)

    def norm(x: Any) -> Any:
        powers = {1: x.abs, 2: x.square}.get(p, lambda: x.abs() ** p)()
        total = _mean(padded(powers, paddings), window) * window.taps
        return {1: lambda: total, 2: total.sqrt}.get(p, lambda: total ** (1 / p))()

    return in_float32(norm, x, dtype=c.dtype())


def _spatial(c: Context) -> list[int]:
    return list(range(2, c.rank()))


@lower("GlobalAveragePool")
def global_average_pool(c, x):
    return in_float32(lambda x: x.mean(_spatial(c), keepdim=True), x, dtype=c.dtype())


@lower("GlobalMaxPool")
def global_max_pool(c, x):
    return x.amax(_spatial(c), keepdim=True)


@lower("GlobalLpPool")
def global_lp_pool(c, x, *, p):
    return in_float32(lambda x: torch.linalg.vector_norm(x, p, _spatial(c), keepdim=True), x, dtype=c.dtype())
