"""Convolutions: Conv, ConvTranspose, and their integer forms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from isthmus.lower.contract import Lowerings, Weight
from isthmus.lower.walk import Context
from isthmus.lower.windows import Padding, Size, Window, known
from isthmus.writers.torch.ops._common import dtype_of
from isthmus.writers.torch.ops._dims import larger
from isthmus.writers.torch.ops._windows import equal_ends, kernel_of, padded, paddings_of, short, spatial_of

table = Lowerings()
lower, alias = table.lower, table.alias

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
CONV_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def _window(c: Context, kernel_shape: Any, w: Any, strides: Any, dilations: Any) -> Window:
    kernel = kernel_of(c, kernel_shape, w)
    if len(kernel) not in CONV:
        c.refuse(f"PyTorch convolves over one to three axes, not over {len(kernel)}")
    return Window.of(kernel, strides, dilations)


@lower("Conv")
def conv(c, x, w: Weight, b: Weight = None, *, auto_pad, dilations, group, kernel_shape, pads, strides):
    window = _window(c, kernel_shape, w, strides, dilations)
    return _convolved(c, x, w, b, window, auto_pad, pads, group)


def _convolved(c: Context, x: Any, w: Any, b: Any, window: Window, auto_pad: str, pads: Any, group: int) -> Any:
    """The convolution of input 0 with ``w``; uneven or unknown margins are padded before."""
    paddings = paddings_of(auto_pad, pads, window, spatial_of(c, x))
    margins: Any = equal_ends(paddings)
    if margins is None:
        x, margins = padded(x, paddings), [0] * window.rank
    options = {
        "stride": (short(window.strides), 1),
        "padding": (short(margins), 0),
        "dilation": (short(window.dilations), 1),
        "groups": (group, 1),
    }
    return CONV[window.rank](x, w, b, **{name: given for name, (given, usual) in options.items() if given != usual})


@lower("ConvTranspose")
def conv_transpose(
    c,
    x,
    w: Weight,
    b: Weight = None,
    *,
    auto_pad,
    dilations,
    group,
    kernel_shape,
    output_padding,
    output_shape,
    pads,
    strides,
):
    window = _window(c, kernel_shape, w, strides, dilations)
    paddings = _transposed_paddings(c, x, window, auto_pad, pads, output_padding, output_shape)
    options: dict[str, Any] = {"stride": short(window.strides), "groups": group, "dilation": short(window.dilations)}
    options = {name: given for name, given in options.items() if given != 1}
    function = CONV_TRANSPOSE[window.rank]
    if _cut_by_kernel(paddings, window):
        margins, extra = [p for p, _ in paddings], [begin - end for begin, end in paddings]
        options |= {"padding": short(margins)} if any(margins) else {}
        options |= {"output_padding": short(extra)} if any(extra) else {}
        return function(x, w, b, **options)
    # what is added at an end is zero, and has its bias like everything else
    y = padded(function(x, w, **options), [(-begin, -end) for begin, end in paddings])
    return y if b is None else y + b.reshape([-1, *[1] * window.rank])


def _transposed_paddings(
    c: Context, x: Any, window: Window, auto_pad: str, pads: Any, output_padding: Any, output_shape: Any
) -> list[Padding]:
    """What is cut off the whole transposed convolution at the ends of each axis."""
    sizes = spatial_of(c, x)
    extra = tuple(output_padding or (0,) * window.rank)
    same = auto_pad in ("SAME_UPPER", "SAME_LOWER")
    if output_shape is not None:  # some exporters put batch and channels in front
        wanted = tuple(output_shape)[-window.rank :]
        free = [
            s * (size - 1) + more + extent
            for size, s, more, extent in zip(sizes, window.strides, extra, window.extents, strict=True)
        ]
        totals = [size - out for size, out in zip(free, wanted, strict=True)]
    elif same:
        # a kernel shorter than its stride leaves the end without what would make it stride times length
        totals = [larger(more + e - s, 0) for s, more, e in zip(window.strides, extra, window.extents, strict=True)]
    if output_shape is not None or same:
        paddings = [_shared_out(total, upper=auto_pad == "SAME_UPPER") for total in totals]
    else:
        paddings = paddings_of("VALID" if auto_pad == "VALID" else "NOTSET", pads, window, sizes)
    return [(begin, end - more) for (begin, end), more in zip(paddings, extra, strict=True)]


def _shared_out(total: Size, *, upper: bool) -> Padding:
    """A total padding split in two, the greater half first unless ``upper``; a lack is at the end."""
    some = larger(total, 0)
    begin = some // 2 if upper else some - some // 2
    return begin, total - begin


def _cut_by_kernel(paddings: Sequence[Padding], window: Window) -> bool:
    """Whether PyTorch cuts so by itself: the same at both ends, but for less than a stride or a dilation more."""
    return all(
        known(pair) and pair[0] >= 0 and 0 <= pair[0] - pair[1] < max(stride, dilation)
        for pair, stride, dilation in zip(paddings, window.strides, window.dilations, strict=True)
    )


@lower("ConvInteger")
def conv_integer(
    c,
    x,
    w: Weight,
    x_zero_point=None,
    w_zero_point=None,
    *,
    auto_pad,
    dilations,
    group,
    kernel_shape,
    pads,
    strides,
):
    window = _window(c, kernel_shape, w, strides, dilations)
    return _accumulated(c, 1, x, x_zero_point, w, w_zero_point, window, auto_pad, pads, group)


@lower("QLinearConv")
def qlinear_conv(
    c,
    x,
    x_scale,
    x_zero_point,
    w: Weight,
    w_scale,
    w_zero_point,
    y_scale,
    y_zero_point,
    b: Weight = None,
    *,
    auto_pad,
    dilations,
    group,
    kernel_shape,
    pads,
    strides,
):
    window = _window(c, kernel_shape, w, strides, dilations)
    sums = _accumulated(c, 3, x, x_zero_point, w, w_zero_point, window, auto_pad, pads, group)
    along = [-1, *[1] * window.rank]
    sums = sums if b is None else sums + b.reshape(along)
    scale = x_scale.reshape([]) * w_scale.reshape(along) / y_scale.reshape([])
    dtype = dtype_of(c.output_dtype())
    limits = torch.iinfo(dtype)
    return (torch.round(sums * scale) + y_zero_point.reshape([])).clamp(limits.min, limits.max).to(dtype)


def _accumulated(
    c: Context,
    index: int,
    x: Any,
    x_zero: Any,
    w: Any,
    w_zero: Any,
    window: Window,
    auto_pad: str,
    pads: Any,
    group: int,
) -> Any:
    """The int32 sums of a quantized convolution, computed in floats that hold every partial sum exactly.

    ``w`` is input ``index``. Zeros are subtracted first, so that padding counts as the zero point.
    """
    terms = window.taps if known(window.kernel) else 1 << 30
    channels = c.shape(index)[1]
    terms *= channels if isinstance(channels, int) else 1 << 30
    # a product is at most 255 · 255 in absolute value; float32 counts up to 2^24, float64 up to 2^53
    exact = torch.float32 if terms * 255 * 255 <= 1 << 24 else torch.float64
    x, w = x.to(exact), w.to(exact)
    x = x if x_zero is None else x - x_zero.reshape([])
    w = w if w_zero is None else w - w_zero.reshape([-1, 1, *[1] * window.rank])
    return _convolved(c, x, w, None, window, auto_pad, pads, group).round().to(torch.int32)
