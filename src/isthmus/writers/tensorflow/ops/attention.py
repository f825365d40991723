"""Scaled dot-product attention with its masks, windows and caches, and rotary position embedding."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from isthmus.lower.contract import Lowerings
from isthmus.writers.tensorflow.ops._common import FLOATS, HALVES, dim, dims
from isthmus.writers.tensorflow.ops.cast import target_type

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
    if packed:
        q, k, v = _heads(q, q_num_heads), _heads(k, kv_num_heads), _heads(v, kv_num_heads)
    dtype, v_dtype = q.dtype, v.dtype
    offset = 0
    if past_key is not None:
        offset = dim(past_key, 2)
        k, v = tf.concat([past_key, k], 2), tf.concat([past_value, v], 2)
    elif valid is not None:
        offset = (tf.cast(valid, tf.int32) - dim(q, 2))[:, None, None, None]
    present = k, v
    wide = tf.float32 if dtype in HALVES else dtype
    factor = math.sqrt(scale) if scale is not None else tf.cast(dim(q, 3), wide) ** -0.25
    scores = _grouped(tf.cast(q, wide) * factor, tf.cast(k, wide) * factor, transpose=True)
    stages = [scores]
    if softcap:
        scores = softcap * tf.tanh(scores / softcap)
    stages.append(scores)
    allowed = _allowed(q, k, offset, is_causal, left_window_size, right_window_size, valid)
    bias, allowed = _bias(mask, allowed, dim(k, 2), wide)
    if bias is not None:
        scores = scores + bias
    if allowed is not None:
        scores = tf.where(allowed, scores, tf.constant(-math.inf, wide))
    stages.append(scores)
    # A query that may see no key gets zeros. Softmax of nothing but minus infinity is NaN, and so is its gradient.
    may_be_blind = not (mask is None and valid is None and left_window_size < 0 and right_window_size < 0)
    seen = _seeing(allowed, bias) if may_be_blind else None
    scores = scores if seen is None else tf.where(seen, scores, tf.zeros([], wide))
    precision = target_type(c, softmax_precision) if softmax_precision else wide
    weights = tf.cast(tf.nn.softmax(tf.cast(scores, precision if precision in FLOATS else tf.float32)), wide)
    weights = weights if seen is None else tf.where(seen, weights, tf.zeros([], wide))
    stages.append(weights)
    y = tf.cast(_grouped(weights, tf.cast(v, wide), transpose=False), v_dtype)
    if packed:
        moved = tf.transpose(y, [0, 2, 1, 3])
        batch, length, heads, size = dims(moved)
        y = tf.reshape(moved, [batch, length, heads * size])
    return (y, *present, tf.cast(stages[qk_matmul_output_mode], dtype))[: c.outputs]


@lower("RotaryEmbedding")
def rotary_embedding(c, x, cos, sin, positions=None, *, interleaved, num_heads, rotary_embedding_dim):
    """Rotate pairs of X (B, heads, L, E or B, L, heads · E) by the angles of their positions."""
    packed = c.rank(0) == 3
    if packed:
        shape = dims(x)
        x = tf.reshape(x, [*shape[:2], num_heads, shape[2] // num_heads])
    if positions is not None:
        cos, sin = tf.gather(cos, positions), tf.gather(sin, positions)
    heads = 2 if packed else 1
    cos, sin = tf.expand_dims(cos, heads), tf.expand_dims(sin, heads)
    wide = tf.float32 if x.dtype in HALVES else x.dtype
    cos, sin = tf.cast(cos, wide), tf.cast(sin, wide)
    size = rotary_embedding_dim or dim(x, 3)
    turned, rest = tf.cast(x[..., :size], wide), x[..., size:]
    half = size // 2
    first, second = (
        (turned[..., 0::2], turned[..., 1::2]) if interleaved else (turned[..., :half], turned[..., half:])
    )
    real, imaginary = cos * first - sin * second, sin * first + cos * second
    if interleaved:
        turned = tf.reshape(tf.stack([real, imaginary], -1), tf.shape(turned))
    else:
        turned = tf.concat([real, imaginary], -1)
    turned = tf.cast(turned, x.dtype)
    y = tf.concat([turned, rest], -1) if rotary_embedding_dim else turned
    return tf.reshape(y, shape) if packed else y


def _heads(x: tf.Tensor, count: int) -> tf.Tensor:
    """B, L, heads · E → B, heads, L, E."""
    batch, length, size = dims(x)
    return tf.transpose(tf.reshape(x, [batch, length, count, size // count]), [0, 2, 1, 3])


def _grouped(a: tf.Tensor, b: tf.Tensor, *, transpose: bool) -> tf.Tensor:
    """A matrix product over B, heads, where the heads of ``a`` may be a multiple of those of ``b``."""
    heads, shared = dim(a, 1), dim(b, 1)
    if isinstance(heads, int) and isinstance(shared, int) and heads == shared:
        return tf.matmul(a, b, transpose_b=transpose)
    batch, _, rows, inner = dims(a)
    grouped = tf.reshape(a, [batch, shared, heads // shared, rows, inner])
    y = tf.matmul(grouped, b[:, :, None], transpose_b=transpose)
    return tf.reshape(y, [batch, heads, rows, dim(b, 2) if transpose else dim(b, 3)])


def _allowed(
    q: tf.Tensor, k: tf.Tensor, offset: Any, is_causal: int, left: int, right: int, valid: tf.Tensor | None
) -> tf.Tensor | None:
    """Which keys a query sees, by position; None where it sees all. Broadcasts against B, heads, L, S."""
    key = tf.range(dim(k, 2))[None, :]
    position = tf.range(dim(q, 2))[:, None] + offset
    rules = []
    if is_causal:
        rules.append(key <= position)
    if left >= 0:
        rules.append(key >= position - left)
    if right >= 0:
        rules.append(key <= position + right)
    if valid is not None:
        rules.append(key < tf.cast(valid, tf.int32)[:, None, None, None])
    if not rules:
        return None
    allowed = rules[0]
    for rule in rules[1:]:
        allowed = allowed & rule
    return allowed


def _bias(
    mask: tf.Tensor | None, allowed: tf.Tensor | None, keys: Any, dtype: tf.DType
) -> tuple[tf.Tensor | None, tf.Tensor | None]:
    """The mask as something to add, or within what is allowed; a mask shorter than the keys forbids the rest."""
    if mask is None:
        return None, allowed
    given = dim(mask, -1)
    if not (isinstance(given, int) and isinstance(keys, int) and given == keys):
        missing = tf.zeros([mask.shape.rank - 1, 2], tf.int32)
        paddings = tf.concat([missing, [[0, keys - given]]], 0)
        absent = False if mask.dtype == tf.bool else tf.constant(-math.inf, mask.dtype)
        mask = tf.pad(mask, paddings, constant_values=absent) if mask.dtype != tf.bool else _padded(mask, paddings)
    if mask.dtype == tf.bool:
        return None, mask if allowed is None else allowed & mask
    return tf.cast(mask, dtype), allowed


def _padded(mask: tf.Tensor, paddings: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.pad(tf.cast(mask, tf.uint8), paddings), tf.bool)


def _seeing(allowed: tf.Tensor | None, bias: tf.Tensor | None) -> tf.Tensor:
    """Which queries see a key at all, with a last axis of 1."""
    open_ = tf.constant(True) if allowed is None else allowed
    if bias is not None:
        open_ = open_ & (bias > tf.constant(-math.inf, bias.dtype))
    return tf.reduce_any(open_, -1, keepdims=True)
