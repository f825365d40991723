"""Attention and MultiHeadAttention of com.microsoft, in products and a softmax."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import onnx_ir as ir

from isthmus.passes.contrib.build import Build, Decompose, Left
from isthmus.passes.edit import dims

_MASKED = -10000.0
"""What com.microsoft adds to masked scores unless told otherwise."""


def _attention(b: Build) -> list[ir.Value | None]:
    """input (B, S, D) × weights (D, Q+K+V) + bias; past and present are (2, B, heads, T, head size)."""
    if b.attr("do_rotary", 0) or b.attr("past_present_share_buffer", 0) or b.optional(6) is not None:
        raise Left("it rotates, or shares the buffer of its past")
    x, weights, bias, mask, past, scores = b.input(0), b.input(1), b.optional(2), *(b.optional(i) for i in (3, 4, 5))
    width, heads = b.size(weights, 1), b.attr("num_heads")
    sizes = list(b.attr("qkv_hidden_sizes") or [width // 3] * 3)
    product = b.op("MatMul", x, weights)
    if bias is not None:
        product = b.op("Add", product, bias)
    parts = b.several("Split", [product, b.ints(*sizes)], 3, axis=-1)
    q, k, v = (_heads(b, part, heads, size // heads) for part, size in zip(parts, sizes, strict=True))
    if past is not None:
        k, v = (b.op("Concat", b.op("Gather", past, b.index(i), axis=0), new, axis=2) for i, new in enumerate((k, v)))
    made = _attend(b, (q, k, v), sizes, x, mask, scores)
    present = None
    if b.wants(1):
        present = b.op("Concat", *[b.op("Unsqueeze", value, b.ints(0)) for value in (k, v)], axis=0)
    return [made, present]


def _multi_head(b: Build) -> list[ir.Value | None]:
    """Query, key and value apart, or packed: (B, S, heads, 3, size), or the last two as (B, L, heads, 2, size)."""
    if b.wants(3) or any(b.optional(i) is not None for i in (8, 9)):
        raise Left("its scores are used, or it shares the buffer of its past")
    heads, query = b.attr("num_heads"), b.input(0)
    separate, sizes = _separate(b, query, heads)
    biases: list[ir.Value | None] = [None, None, None]
    bias = b.optional(3)
    if bias is not None:
        if any(axes == 4 for _, axes in separate[1:]):
            raise Left("it has a bias for keys that are split in heads already")
        biases = [*b.several("Split", [bias, b.ints(*sizes)], 3, axis=0)]
    q, k, v = (
        _prepared(b, value, axes, heads, size, own)
        for (value, axes), size, own in zip(separate, sizes, biases, strict=True)
    )
    for index, name in ((6, "k"), (7, "v")):
        past = b.optional(index)
        if past is not None and name == "k":
            k = b.op("Concat", past, k, axis=2)
        elif past is not None:
            v = b.op("Concat", past, v, axis=2)
    return [_attend(b, (q, k, v), sizes, query, b.optional(4), b.optional(5)), k, v]


def _separate(b: Build, query: ir.Value, heads: int) -> tuple[list[tuple[ir.Value, int]], list[int]]:
    """The three operands with their ranks, and how wide each is over all heads."""
    if b.rank(query) == 5:
        width = heads * b.size(query, -1)
        return [(b.op("Gather", query, b.index(i), axis=3), 5) for i in range(3)], [width] * 3
    key, value, width = b.input(1), b.optional(2), b.size(query, -1)
    if b.rank(key) == 5:
        packed = [(b.op("Gather", key, b.index(i), axis=3), 5) for i in range(2)]
        return [(query, 3), *packed], [width] * 3
    if value is None:
        raise Left("it has no value")
    last = b.size(value, -1)
    return [(query, 3), (key, b.rank(key)), (value, b.rank(value))], [
        width,
        width,
        last * heads if b.rank(value) == 4 else last,
    ]


def _prepared(b: Build, value: ir.Value, axes: int, heads: int, width: int, bias: ir.Value | None) -> ir.Value:
    """(B, heads, length, size). Rank 5 stands for one of a packed operand: (B, length, heads, size) by now."""
    if axes == 4:
        return value
    if axes == 5:
        if bias is not None:
            value = b.op("Add", value, b.op("Reshape", bias, b.ints(heads, width // heads)))
        return b.op("Transpose", value, perm=[0, 2, 1, 3])
    if bias is not None:
        value = b.op("Add", value, bias)
    return _heads(b, value, heads, width // heads)


def _heads(b: Build, value: ir.Value, heads: int, size: int) -> ir.Value:
    split = b.op("Reshape", value, b.ints(0, 0, heads, size))
    return b.op("Transpose", split, perm=[0, 2, 1, 3])


def _attend(
    b: Build,
    operands: tuple[ir.Value, ir.Value, ir.Value],
    sizes: list[int],
    query: ir.Value,
    mask: ir.Value | None,
    bias: ir.Value | None,
) -> ir.Value:
    """softmax(q·kᵀ × scale + mask + bias)·v, heads side by side again."""
    q, k, v = operands
    heads = b.attr("num_heads")
    scale = b.attr("scale", 0.0) or 1 / math.sqrt(sizes[0] // heads)
    product = b.op("MatMul", q, b.op("Transpose", k, perm=[0, 1, 3, 2]))
    scores = b.op("Mul", product, b.scalar(scale, q))
    if b.attr("unidirectional", 0):
        scores = b.op("Add", scores, _causal(b, product))
    if mask is not None:
        scores = b.op("Add", scores, _mask(b, mask, query, product))
    if bias is not None:
        scores = b.op("Add", scores, bias)
    made = b.op("MatMul", b.op("Softmax", scores, axis=-1), v)
    return b.op("Reshape", b.op("Transpose", made, perm=[0, 2, 1, 3]), b.ints(0, 0, sizes[2]))


def _causal(b: Build, scores: ir.Value) -> ir.Value:
    """(S, T): a number that outweighs any score, above the diagonal that ends in the last corner."""
    length, total = (_int(b.op("Shape", scores, start=axis, end=end)) for axis, end in ((2, 3), (3, 4)))
    lowest = np.array([np.finfo(b.dtype(scores).numpy()).min], b.dtype(scores).numpy())
    full = b.op("ConstantOfShape", b.op("Concat", length, total, axis=0), value=ir.tensor(lowest))
    full.type = scores.type
    first = _int(b.op("Add", b.op("Sub", total, length), b.ints(1)))
    return b.op("Trilu", full, b.op("Squeeze", first, b.ints(0)), upper=1)


def _mask(b: Build, mask: ir.Value, query: ir.Value, scores: ir.Value) -> ir.Value:
    """What is added to the scores: a mask of zeros and ones (B, T) or (B, S, T), or the rows' lengths (B)."""
    axes = b.rank(mask)
    filtered = b.attr("mask_filter_value", _MASKED)
    if axes == 1:
        lengths, batch = dims(mask), dims(query)
        if lengths is None or batch is None or lengths[0] is None or lengths[0] != batch[0]:
            raise Left("its mask is not provably one length a row")
        total = b.op("Squeeze", _int(b.op("Shape", scores, start=3, end=4)), b.ints(0))
        places = b.op("Range", b.index(0), total, b.index(1))
        inside = b.op("Less", places, b.op("Unsqueeze", b.cast(mask, ir.DataType.INT64), b.ints(1)))
        mask, axes = inside, 2
    if axes not in (2, 3):
        raise Left(f"its mask has {axes} axes")
    kept = b.cast(mask, b.dtype(scores))
    added = b.op("Mul", b.op("Sub", b.scalar(1.0, kept), kept), b.scalar(filtered, kept))
    return b.op("Unsqueeze", added, b.ints(1, 2) if axes == 2 else b.ints(1))


def _int(value: ir.Value) -> ir.Value:
    value.type = ir.TensorType(ir.DataType.INT64)
    return value


RULES: Mapping[str, Decompose] = MappingProxyType({"Attention": _attention, "MultiHeadAttention": _multi_head})
