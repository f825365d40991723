"""Operators of com.microsoft that have a standard twin, or became standard later."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import onnx_ir as ir

from isthmus.passes.contrib.build import Build, Decompose, Left
from isthmus.passes.contrib.dense import activated

_CONV = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")


def _fused_conv(b: Build) -> list[ir.Value | None]:
    """Conv, then the sum with Z where there is one, then the activation."""
    made = b.op("Conv", b.input(0), b.input(1), b.optional(2), **{name: b.attr(name) for name in _CONV})
    summand = b.optional(3)
    if summand is not None:
        made = b.op("Add", made, summand)
    return [activated(b, made, b.attr("activation"), list(b.attr("activation_params") or ()))]


def _max_pool_last(b: Build) -> list[ir.Value | None]:
    """NhwcMaxPool."""
    x = b.input(0)
    axes = b.rank(x)
    names = ("auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "strides")
    image = b.op("Transpose", x, perm=[0, axes - 1, *range(1, axes - 1)])
    made = b.op("MaxPool", image, **{name: b.attr(name) for name in names})
    return [b.op("Transpose", made, perm=[0, *range(2, axes), 1])]


def _trilu(b: Build) -> list[ir.Value | None]:
    return [b.op("Trilu", b.input(0), b.optional(1), upper=b.attr("upper", 1))]


def _pad(b: Build) -> list[ir.Value | None]:
    """Pads may be (1, 2n) there; the value may be a list of one."""
    pads, value = b.input(1), b.optional(2)
    if b.rank(pads) != 1:
        pads = b.op("Reshape", pads, b.ints(-1))
    if value is not None and b.rank(value) != 0:
        value = b.op("Squeeze", value)
    return [b.op("Pad", b.input(0), pads, value, mode=b.attr("mode", "constant"))]


def _unique(b: Build) -> list[ir.Value | None]:
    """In order of first appearance: values, the place of each element among them, counts."""
    values, _, places, counts = b.several("Unique", [b.input(0)], 4, sorted=0)
    for value in (places, counts):
        value.type = ir.TensorType(ir.DataType.INT64)
    return [values, places, counts]


def _expand_dims(b: Build) -> list[ir.Value | None]:
    axis = b.op("Reshape", b.cast(b.input(1), ir.DataType.INT64), b.ints(1))
    return [b.op("Unsqueeze", b.input(0), axis)]


def _range(b: Build) -> list[ir.Value | None]:
    start = b.input(0)
    delta = b.optional(2)
    scalars = [start, b.input(1), b.scalar(1, start) if delta is None else delta]
    return [b.op("Range", *[v if b.rank(v) == 0 else b.op("Squeeze", v) for v in scalars])]


def _gather_nd(b: Build) -> list[ir.Value | None]:
    return [b.op("GatherND", b.input(0), b.cast(b.input(1), ir.DataType.INT64))]


def _grid_sample(b: Build) -> list[ir.Value | None]:
    modes = {"bilinear": "linear", "bicubic": "cubic", "nearest": "nearest"}
    mode = modes[b.attr("mode", "bilinear")]
    padding, corners = b.attr("padding_mode", "zeros"), b.attr("align_corners", 0)
    return [b.op("GridSample", b.input(0), b.input(1), mode=mode, padding_mode=padding, align_corners=corners)]


def _rfft(b: Build) -> list[ir.Value | None]:
    """One-sided, over one axis; real and imaginary parts are the last axis of the result."""
    if b.attr("signal_ndim", 1) != 1 or not b.attr("onesided", 1) or b.attr("normalized", 0):
        raise Left("it is over several axes, two-sided or normalized")
    signal = b.op("Unsqueeze", b.input(0), b.ints(-1))
    return [b.op("DFT", signal, None, b.index(-2), onesided=1)]


def _rotary(b: Build) -> list[ir.Value | None]:
    """Positions are given a token, or as the first of a run."""
    x, positions, cos, sin = (b.input(i) for i in range(4))
    if b.attr("is_packed_batching", 0) or b.attr("scale", 1.0) != 1.0:
        raise Left("it is packed or scaled")
    heads, width = b.attr("num_heads", 0), b.attr("rotary_embedding_dim", 0)
    axes = b.rank(x)
    if axes == 3 and not heads:
        if width:
            raise Left("part of a head is rotated, and the number of heads is not given")
        heads = b.size(x, -1) // (2 * b.size(cos, -1))
    if b.rank(positions) == 1:
        length = b.axis_size(x, -2 if axes == 4 else 1)
        run = b.op("Range", b.index(0), b.op("Squeeze", length, b.ints(0)), b.index(1))
        places = b.op("Unsqueeze", b.op("Add", run, positions), b.ints(0))
        positions = b.op("Expand", places, b.shape(b.axis_size(x, 0), length))
    made = b.op(
        "RotaryEmbedding",
        x,
        cos,
        sin,
        positions,
        interleaved=b.attr("interleaved", 0),
        num_heads=heads or None,
        rotary_embedding_dim=width or None,
    )
    return [made]


RULES: Mapping[str, Decompose] = MappingProxyType(
    {
        "ExpandDims": _expand_dims,
        "FusedConv": _fused_conv,
        "GatherND": _gather_nd,
        "GridSample": _grid_sample,
        "NhwcMaxPool": _max_pool_last,
        "Pad": _pad,
        "Range": _range,
        "Rfft": _rfft,
        "RotaryEmbedding": _rotary,
        "Trilu": _trilu,
        "Unique": _unique,
    }
)
