"""Recurrent layers as PyTorch's own, stacked and in both directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx_ir as ir
from torch import nn

from isthmus.lower.walk import Context
from isthmus.passes.stacks import STATES, leaf_names
from isthmus.writers.torch.backend import TorchBackend
from isthmus.writers.torch.forward import PARTS
from isthmus.writers.torch.homes import attribute, layered, sizes, weights_of


def recurrent(c: Context, backend: TorchBackend, given: Callable[[int], Any]) -> Any:
    """``nn.LSTM``, ``nn.GRU`` or ``nn.RNN``: the output, and the last states."""
    layers, both = int(attribute(c, "num_layers", 1)), bool(attribute(c, "bidirectional", 0))
    leaves = leaf_names(layers, bias=bool(attribute(c, "bias", 1)), bidirectional=both)
    weights = weights_of(c, {leaf: 1 + STATES + i for i, leaf in enumerate(leaves)})
    if weights is None or len(weights) < len(leaves):
        return None
    states = tuple(given(i) for i in range(1, 1 + STATES) if c.has(i))
    inputs = (given(0), *([states if len(states) > 1 else states[0]] if states else []))
    made = layered(c, backend, lambda: _layer(c, weights, layers, both), weights, *inputs)
    if made is None:
        return None
    made.node.meta[PARTS] = 2
    last = [made[1][0], made[1][1]] if c.outputs > 2 else [made[1]]
    return [made[0], *last]


def _layer(c: Context, weights: dict[str, ir.Value], layers: int, both: bool) -> nn.Module:
    kind, _, activation = str(attribute(c, "kind", "LSTM")).partition("_")
    options: dict[str, Any] = {"nonlinearity": activation.lower()} if activation else {}
    return {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}[kind](
        sizes(weights["weight_ih_l0"])[1],
        int(attribute(c, "hidden_size", 1)),
        layers,
        bias=bool(attribute(c, "bias", 1)),
        batch_first=bool(attribute(c, "batch_first", 0)),
        bidirectional=both,
        device="meta",
        **options,
    )
