"""Scaled dot-product attention with its masks, windows and caches, and rotary position embedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
import torch
import torch.nn.functional as F

from isthmus.lower.contract import Lowerings
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import HALVES, dim, dtype_of
from isthmus.writers.torch.ops._numeric import in_float32, written

table = Lowerings()
lower, alias = table.lower, table.alias


@lower("Attention")
def attention(
    c,
    q,
    k,
    v,
    mask=None,
    past_key=None,
    past_value=None,
    valid=None,
    *,
    scale,
    is_causal,
    q_num_heads,
    kv_num_heads,
    softcap,
    softmax_precision,
    qk_matmul_output_mode,
    left_window_size,
    right_window_size,
):
    """Y (in Q's form), present key and value, and the scores at the stage that the mode names.

    Q is B, heads, L, E or B, L, heads · E; K and V alike with S keys. Grouped heads of Q share one head of K and V.
    """
    packed = c.rank(0) == 3
    queries, keys = (dim(c, x, 1 if packed else 2, i) for i, x in enumerate((q, k)))
    size = dim(c, q, 2) // q_num_heads if packed else dim(c, q, 3)
    heads, shared = (q_num_heads, kv_num_heads) if packed else (dim(c, q, 1), dim(c, k, 1, 1))
    grouped = not (heads is shared or (isinstance(heads, int) and isinstance(shared, int) and heads == shared))
    if packed:
        q, k, v = _heads(q, heads), _heads(k, shared), _heads(v, shared)
    offset = 0
    if past_key is not None:
        offset = dim(c, past_key, 2, 4)
        keys = offset + keys
        k, v = torch.cat([past_key, k], 2), torch.cat([past_value, v], 2)
    elif valid is not None:
        offset = (valid.long() - queries)[:, None, None, None]
    sight = _Sight(queries, keys, offset, bool(is_causal), left_window_size, right_window_size, valid)
    precision = ir.DataType(softmax_precision) if softmax_precision else ir.DataType.FLOAT
    usual = precision != ir.DataType.DOUBLE and c.dtype(0) == c.dtype(2)
    stages: list[Any] = []
    if not usual or softcap or c.wants(3):
        bias, allowed = _bias(c, mask, sight.allowed(q), keys)
        y, stages = _stepwise(
            c, (q, k, v), size, scale, softcap, bias, allowed, shared if grouped else None, precision
        )
    else:
        options = {} if scale is None else {"scale": written(scale)}
        options |= {"enable_gqa": True} if grouped else {}
        if mask is None and sight.is_triangle:
            options = {"is_causal": True, **options}
        elif (seen := _joined(*_bias(c, mask, sight.allowed(q), keys))) is not None:
            options = {"attn_mask": seen, **options}

        def attended(*given: Any) -> Any:
            return F.scaled_dot_product_attention(*given, **options)

        # of halves PyTorch would round the weights to halves, where ONNX has its softmax in float32
        y = in_float32(attended, q, k, v, dtype=c.dtype())
    if packed:
        y = y.squeeze(1) if heads == 1 else y.transpose(1, 2).flatten(2)
    if c.outputs == 1:
        return y
    shown = stages[qk_matmul_output_mode].to(dtype_of(c.dtype())) if stages else None
    return (y, k, v, shown)[: c.outputs]


@lower("RotaryEmbedding")
def rotary_embedding(c, x, cos, sin, positions=None, *, interleaved, num_heads, rotary_embedding_dim):
    """Rotate pairs of X (B, heads, L, E or B, L, heads · E) by the angles of their positions."""
    packed = c.rank(0) == 3
    size = dim(c, x, 2) // num_heads if packed else dim(c, x, 3)
    x = x.unflatten(2, (num_heads, size)) if packed else x
    if positions is not None:
        cos, sin = cos[positions], sin[positions]
    heads = 2 if packed else 1
    cos, sin = cos.unsqueeze(heads), sin.unsqueeze(heads)
    turned = x[..., :rotary_embedding_dim] if rotary_embedding_dim else x
    if c.dtype() in HALVES:
        cos, sin, turned = cos.float(), sin.float(), turned.float()
    if interleaved:
        first, second = turned[..., 0::2], turned[..., 1::2]
    else:
        half = (rotary_embedding_dim or size) // 2
        first, second = turned[..., :half], turned[..., half:]
    real, imaginary = cos * first - sin * second, sin * first + cos * second
    y = torch.stack([real, imaginary], -1).flatten(-2) if interleaved else torch.cat([real, imaginary], -1)
    y = y.to(dtype_of(c.dtype())) if c.dtype() in HALVES else y
    if rotary_embedding_dim:
        y = torch.cat([y, x[..., rotary_embedding_dim:]], -1)
    return y.flatten(2) if packed else y


@dataclass(frozen=True)
class _Sight:
    """Which keys a query sees, by position. ``offset``: how many keys stand before the first query's own."""

    queries: Any
    keys: Any
    offset: Any
    causal: bool
    left: int
    right: int
    valid: Any

    @property
    def is_triangle(self) -> bool:
        """Whether a query sees the keys up to its own place, and that is all: what PyTorch calls causal."""
        whole = isinstance(self.offset, int) and self.offset == 0 and self.valid is None
        return self.causal and whole and self.left < 0 and self.right < 0

    def allowed(self, like: Any) -> Any:
        """A Boolean tensor that broadcasts against B, heads, L, S; None where every query sees every key."""
        if not self.causal and self.left < 0 and self.right < 0 and self.valid is None:
            return None
        key = _count(self.keys, like)
        position = _count(self.queries, like)[:, None] + self.offset
        rules = []
        if self.causal:
            rules.append(key <= position)
        if self.left >= 0:
            rules.append(key >= position - self.left)
        if self.right >= 0:
            rules.append(key <= position + self.right)
        if self.valid is not None:
            rules.append(key < self.valid[:, None, None, None])
        allowed = rules[0]
        for rule in rules[1:]:
            allowed = allowed & rule
        return allowed


def _count(length: Any, like: Any) -> Any:
    """0 … length - 1, where ``like`` is."""
    return torch.arange(length) if isinstance(length, int) else torch.arange(length, device=like.device)


def _heads(x: Any, count: int) -> Any:
    """B, L, heads · E → B, heads, L, E."""
    if count == 1:
        return x.unsqueeze(1)
    return x.unflatten(2, (count, -1)).transpose(1, 2)


def _bias(c: Context, mask: Any, allowed: Any, keys: Any) -> tuple[Any, Any]:
    """The mask as something to add, or within what is allowed; a mask shorter than the keys forbids the rest."""
    if mask is None:
        return None, allowed
    boolean = c.dtype(3) == ir.DataType.BOOL
    given = c.shape(3)[-1]
    whole = isinstance(keys, int) and given == keys
    if not whole and (c.has(4) or given is None or given != c.shape(1)[-2]):
        missing = keys - (given if isinstance(given, int) else mask.size(-1))
        mask = F.pad(mask, [0, missing], value=False if boolean else float("-inf"))
    if boolean:
        return None, mask if allowed is None else allowed & mask
    wide = ir.DataType.FLOAT if c.dtype() in HALVES else c.dtype()
    return mask if c.dtype(3) == wide else mask.to(dtype_of(wide)), allowed


def _joined(bias: Any, allowed: Any) -> Any:
    """What is added and what is allowed as the one mask that PyTorch takes."""
    if bias is None or allowed is None:
        return allowed if bias is None else bias
    return torch.where(allowed, bias, float("-inf"))


def _stepwise(
    c: Context,
    operands: tuple[Any, Any, Any],
    size: Any,
    scale: float | None,
    softcap: float,
    bias: Any,
    allowed: Any,
    groups: Any,
    precision: ir.DataType,
) -> tuple[Any, list[Any]]:
    """The definition step by step, halves in float32: the result, and the scores after each step."""
    wide = torch.float32 if c.dtype(0) in HALVES else dtype_of(c.dtype(0))
    q, k, v = (x.to(wide) for x in operands)
    stages = [_product(q * (size**-0.5 if scale is None else written(scale)), k.transpose(2, 3), groups)]
    stages.append(softcap * torch.tanh(stages[0] / softcap) if softcap else stages[0])
    scores = stages[1] if bias is None else stages[1] + bias
    stages.append(scores if allowed is None else torch.where(allowed, scores, float("-inf")))
    # A query that may see no key gets zeros. Softmax of nothing but minus infinity is NaN, and so is its gradient.
    seen = torch.any(stages[2] > float("-inf"), -1, keepdim=True)
    weights = F.softmax(torch.where(seen, stages[2], 0.0).to(_at_least(precision)), -1).to(wide)
    stages.append(torch.where(seen, weights, 0.0))
    return _product(stages[3], v, groups).to(dtype_of(c.dtype(2))), stages


def _at_least(precision: ir.DataType) -> torch.dtype:
    return torch.float64 if precision == ir.DataType.DOUBLE else torch.float32


def _product(a: Any, b: Any, groups: Any) -> Any:
    """A matrix product over B, heads, where so many heads of ``a`` as there are to each of ``groups`` share one."""
    if groups is None:
        return a @ b
    return (a.unflatten(1, (groups, -1)) @ b.unsqueeze(2)).flatten(1, 2)
