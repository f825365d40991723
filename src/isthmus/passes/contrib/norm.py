"""Normalizations and embeddings of com.microsoft."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import onnx_ir as ir

from isthmus.passes.contrib.build import Build, Decompose, Left

_SKIP_EPSILON = 9.999999960041972e-13
_EPSILON = 9.999999747378752e-06


def _skip_layer_norm(b: Build) -> list[ir.Value | None]:
    """input + skip (+ bias), normalized over the last axis; the sum is the fourth output."""
    total = _sum(b, 0, 1, 4)
    made = _layer_norm(b, total, b.input(2), b.optional(3), b.attr("epsilon", _SKIP_EPSILON))
    return [*made, total]


def _skip_rms_norm(b: Build) -> list[ir.Value | None]:
    if b.wants(1) or b.wants(2):
        raise Left("its statistics are used")
    total = _sum(b, 0, 1, 3)
    epsilon = b.attr("epsilon", _SKIP_EPSILON)
    return [b.op("RMSNormalization", total, b.input(2), axis=-1, epsilon=epsilon), None, None, total]


def _sum(b: Build, *operands: int) -> ir.Value:
    total = b.input(operands[0])
    for index in operands[1:]:
        if (value := b.optional(index)) is not None:
            total = b.op("Add", total, value)
    return total


def _layer_norm(
    b: Build, value: ir.Value, gamma: ir.Value, beta: ir.Value | None, epsilon: float
) -> list[ir.Value | None]:
    """(normalized, mean or None, inverse deviation or None)"""
    if not b.wants(1) and not b.wants(2):
        return [b.op("LayerNormalization", value, gamma, beta, axis=-1, epsilon=epsilon), None, None]
    return [*b.several("LayerNormalization", [value, gamma, beta], 3, axis=-1, epsilon=epsilon)]


def _rms_norm(b: Build) -> list[ir.Value | None]:
    """SimplifiedLayerNormalization; its second output is 1 / sqrt(mean(x²) + epsilon)."""
    x, axis, epsilon = b.input(0), b.attr("axis", -1), b.attr("epsilon", _EPSILON)
    made = b.op("RMSNormalization", x, b.input(1), axis=axis, epsilon=epsilon, stash_type=b.attr("stash_type", 1))
    if not b.wants(1):
        return [made, None]
    axes = b.rank(x)
    over = b.ints(*range(axis % axes, axes))
    wide = b.cast(x, ir.DataType.FLOAT)
    mean = b.op("ReduceMean", b.op("Mul", wide, wide), over, keepdims=1)
    return [made, b.op("Reciprocal", b.op("Sqrt", b.op("Add", mean, b.scalar(epsilon, wide))))]


def _embed_layer_norm(b: Build) -> list[ir.Value | None]:
    """Words + positions (+ segments), normalized; the mask's index is how many of each row are unmasked."""
    ids, segments, positions = b.input(0), b.optional(1), b.optional(8)
    total = b.op("Gather", b.input(2), ids)
    total.type = b.input(2).type
    if positions is None:
        length = b.axis_size(ids, 1)
        end = b.op("Squeeze", length, b.ints(0))
        positions = b.op("Range", b.index(0), end, b.index(1))
    total = b.op("Add", total, b.op("Gather", b.input(3), positions))
    if segments is not None:
        total = b.op("Add", total, b.op("Gather", b.input(4), segments))
    epsilon = b.attr("epsilon", _SKIP_EPSILON)
    made = b.op("LayerNormalization", total, b.input(5), b.optional(6), axis=-1, epsilon=epsilon)
    index = None
    if b.wants(1):
        mask = b.optional(7)
        if mask is None:
            raise Left("its mask's index is used, and there is no mask")
        index = b.op("ReduceSum", mask, b.ints(1), keepdims=0)
    return [made, index, total]


def _group_norm(b: Build) -> list[ir.Value | None]:
    """GroupNorm, with channels last unless told otherwise; gamma and beta have one entry a channel."""
    return [_grouped(b, b.input(0))]


def _skip_group_norm(b: Build) -> list[ir.Value | None]:
    """X + skip (+ bias), normalized by groups; skip may be (N, C), (N, 1, 1, C) or of X's shape."""
    x, skip, bias = b.input(0), b.input(3), b.optional(4)
    if not b.attr("channels_last", 1):
        raise Left("its channels are first, where skip and bias have no defined place")
    if b.rank(skip) == 2:
        skip = b.op("Unsqueeze", skip, b.ints(1, 2))
    total = b.op("Add", x, skip)
    if bias is not None:
        total = b.op("Add", total, bias)
    return [_grouped(b, total), total]


def _grouped(b: Build, x: ir.Value) -> ir.Value:
    last = b.attr("channels_last", 1)
    axes = b.rank(b.input(0))
    image = b.op("Transpose", x, perm=[0, axes - 1, *range(1, axes - 1)]) if last else x
    gamma, beta = (b.cast(b.input(i), b.dtype(b.input(0))) for i in (1, 2))
    epsilon, groups = b.attr("epsilon", _EPSILON), b.attr("groups")
    made = b.op("GroupNormalization", image, gamma, beta, epsilon=epsilon, num_groups=groups)
    if b.attr("activation", 0):
        made = b.op("Mul", made, b.op("Sigmoid", made))
    return b.op("Transpose", made, perm=[0, *range(2, axes), 1]) if last else made


RULES: Mapping[str, Decompose] = MappingProxyType(
    {
        "EmbedLayerNormalization": _embed_layer_norm,
        "GroupNorm": _group_norm,
        "SimplifiedLayerNormalization": _rms_norm,
        "SkipGroupNorm": _skip_group_norm,
        "SkipLayerNormalization": _skip_layer_norm,
        "SkipSimplifiedLayerNormalization": _skip_rms_norm,
    }
)
