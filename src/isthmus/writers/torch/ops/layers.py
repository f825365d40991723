"""Operators that the passes for PyTorch make of several, where they do not become a layer."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from isthmus.hub.model import LAYER
from isthmus.lower.contract import Lowerings, Weight

table = Lowerings()


@table.lower("Linear", domain=LAYER)
def linear(x: Any, w: Weight, b: Weight = None, *, transposed: Any) -> Any:
    if b is None:
        return x @ w if transposed else F.linear(x, w)
    return F.linear(x, w.t() if transposed else w, b)


@table.lower("MultiheadAttention", domain=LAYER)
def multihead_attention(
    c: Any,
    x: Any,
    in_weight: Weight,
    out_weight: Weight,
    in_bias: Weight = None,
    out_bias: Weight = None,
    *,
    num_heads: Any,
    batch_first: Any,
) -> Any:
    x = x.transpose(0, 1) if batch_first else x
    width, wants = c.shape(0)[2], c.outputs > 1
    biases = (None, None, False, 0.0)
    y, weights = F.multi_head_attention_forward(
        x, x, x, width, num_heads, in_weight, in_bias, *biases, out_weight, out_bias, False, need_weights=wants
    )
    y = y.transpose(0, 1) if batch_first else y
    return [y, weights] if wants else y


@table.lower("PReLU", domain=LAYER)
def prelu(x: Any, w: Weight) -> Any:
    return F.prelu(x, w)


@table.lower("Recurrent", domain=LAYER)
def recurrent(
    c: Any,
    x: Any,
    h0: Any,
    c0: Any,
    *parameters: Weight,
    kind: Any,
    hidden_size: Any,
    num_layers: Any,
    bias: Any,
    batch_first: Any,
    bidirectional: Any,
) -> list[Any]:
    if h0 is None:
        count = num_layers * (2 if bidirectional else 1)
        h0 = x.new_zeros([count, x.size(0 if batch_first else 1), hidden_size])
    flags = (list(parameters), bool(bias), num_layers, 0.0, False, bool(bidirectional), bool(batch_first))
    if kind == "LSTM":
        made = torch.lstm(x, (h0, h0 if c0 is None else c0), *flags)
        return [made[0], made[1], made[2]]
    function = {"GRU": torch.gru, "RNN_TANH": torch.rnn_tanh, "RNN_RELU": torch.rnn_relu}[kind]
    made = function(x, h0, *flags)
    return [made[0], made[1]]
