"""Scaled dot-product attention at every rank, as one Attention operator."""

from __future__ import annotations

from typing import Any

import torch
from onnxscript import opset23 as op

from isthmus.readers.torch.translations.build import Value, ints, rank

aten = torch.ops.aten


def attention(
    query: Value,
    key: Value,
    value: Value,
    attn_mask: Value = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Value:
    """Rows that see nothing give zeros, in ATen as in ONNX Runtime's Attention."""
    ndim = rank(query)
    if ndim == 4:
        return _four(query, key, value, attn_mask, is_causal, scale)
    if ndim < 4:
        front = ints(*range(4 - ndim)) if ndim == 2 else ints(1)
        mask = attn_mask
        if mask is not None and rank(mask) == 3:
            mask = op.Unsqueeze(mask, ints(1))
        raised = [op.Unsqueeze(part, front) for part in (query, key, value)]
        return op.Squeeze(_four(raised[0], raised[1], raised[2], mask, is_causal, scale), front)
    leading = op.Shape(query, end=ndim - 3)
    flat = [
        op.Reshape(part, op.Concat(ints(-1), op.Shape(part, start=ndim - 3), axis=0)) for part in (query, key, value)
    ]
    mask = attn_mask
    if mask is not None and rank(mask) > 3:
        mask = op.Expand(mask, op.Concat(leading, op.Shape(mask, start=rank(mask) - 3), axis=0))
        mask = op.Reshape(mask, op.Concat(ints(-1), op.Shape(mask, start=ndim - 3), axis=0))
    result = _four(flat[0], flat[1], flat[2], mask, is_causal, scale)
    return op.Reshape(result, op.Concat(leading, op.Shape(result, start=1), axis=0))


def _four(q: Value, k: Value, v: Value, mask: Value, causal: bool, scale: float | None) -> Value:
    """Attention on [b, h, l, e], [b, h, s, e], [b, h, s, v]."""
    if mask is not None and (rank(mask) < 2 or not _same_plane(mask, q, k)):
        # The operator broadcasts masks over batch and heads only.
        plane = op.Concat(op.Shape(q, start=2, end=3), op.Shape(k, start=2, end=3), axis=0)
        mask = op.Expand(mask, plane)
    return op.Attention(q, k, v, mask, is_causal=int(causal), scale=scale)[0]


def _same_plane(mask: Value, q: Value, k: Value) -> bool:
    if mask.shape is None or q.shape is None or k.shape is None:
        return False
    return bool(mask.shape[-2] == q.shape[-2] and mask.shape[-1] == k.shape[-2])


TRANSLATIONS: dict[Any, Any] = {aten.scaled_dot_product_attention.default: attention}
