"""Layers of Keras 3 for sequences in small models: attention, recurrent layers, and what wraps these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from keras import layers
from keras_layer_cases import FLAT, HOLED, IMAGE, ROWS, SERIES, TOKENS, LayerCase, layer, masked, normal, several


def _attention() -> dict[str, LayerCase]:
    query, value = normal(ROWS, 5, 8), normal(ROWS, 7, 8)
    mask = np.tril(np.ones((5, 7), bool))[None].repeat(ROWS, 0)
    heads = {"num_heads": 2, "key_dim": 3}

    def multi(**settings: Any) -> Callable[..., Any]:
        return lambda q, v: layers.MultiHeadAttention(**heads, **settings)(q, v)

    def grouped(q: Any, v: Any) -> Any:
        return layers.GroupQueryAttention(head_dim=4, num_query_heads=4, num_key_value_heads=2)(q, v)

    def with_mask(q: Any, v: Any, m: Any) -> Any:
        return layers.MultiHeadAttention(**heads)(q, v, attention_mask=m)

    def scores(q: Any, v: Any) -> Any:
        return layers.MultiHeadAttention(**heads)(q, v, return_attention_scores=True)

    def causal(q: Any) -> Any:
        return layers.MultiHeadAttention(**heads)(q, q, use_causal_mask=True)

    def embedded(tokens: Any) -> Any:
        x = layers.Embedding(6, 8, mask_zero=True)(tokens)
        return layers.MultiHeadAttention(**heads)(x, x)

    return {
        "MultiHeadAttention": LayerCase(multi(), (query, value)),
        "MultiHeadAttention, other sizes": LayerCase(
            multi(value_dim=5, output_shape=6, use_bias=False), (query, value), free=(1,)
        ),
        "MultiHeadAttention, masked": LayerCase(with_mask, (query, value, mask)),
        "MultiHeadAttention, with scores": LayerCase(scores, (query, value)),
        "MultiHeadAttention, causal": LayerCase(causal, (query,), free=(1,)),
        "MultiHeadAttention, of tokens": LayerCase(embedded, (HOLED,)),
        "MultiHeadAttention, two axes": LayerCase(
            lambda x: layers.MultiHeadAttention(**heads, attention_axes=(1, 2))(x, x), (IMAGE,)
        ),
        "GroupQueryAttention": LayerCase(grouped, (query, value)),
        "GroupQueryAttention, causal": LayerCase(
            lambda q: layers.GroupQueryAttention(4, 4, 2)(q, q, use_causal_mask=True), (query,)
        ),
        "Attention": layer("Attention", query, value),
        "Attention, scaled": layer("Attention", query, value, use_scale=True, score_mode="dot"),
        "Attention, concat": layer("Attention", query, value, use_scale=True, score_mode="concat"),
        "Attention, causal": LayerCase(lambda q, v: layers.Attention()([q, v], use_causal_mask=True), (query, query)),
        "Attention, with scores": LayerCase(
            lambda q, v: layers.Attention()([q, v], return_attention_scores=True), (query, value)
        ),
        "AdditiveAttention": layer("AdditiveAttention", query, value),
        "AdditiveAttention, masked": LayerCase(
            lambda q, v, m: layers.AdditiveAttention()([q, v], mask=[None, m]), (query, value, normal(ROWS, 7) > 0)
        ),
    }


def _recurrent() -> dict[str, LayerCase]:
    found: dict[str, LayerCase] = {}
    for name in ("SimpleRNN", "LSTM", "GRU"):
        cls = getattr(layers, name)
        variants: dict[str, dict[str, Any]] = {
            "": {},
            "sequences": {"return_sequences": True, "free": (1,)},
            "state": {"return_state": True, "return_sequences": True},
            "backwards": {"go_backwards": True, "return_sequences": True},
            "unrolled": {"unroll": True},
            "relu": {"activation": "relu", "use_bias": False},
        }
        if name == "GRU":
            variants["reset before"] = {"reset_after": False, "return_sequences": True}
        if name != "SimpleRNN":
            variants["hard"] = {"recurrent_activation": "hard_sigmoid"}
        found |= several(name, SERIES, variants=variants, units=5)
        found[f"{name}, masked"] = LayerCase(masked(cls, units=5), (TOKENS,))
        found[f"{name}, masked anywhere"] = LayerCase(masked(cls, units=5, return_sequences=True), (HOLED,))
        found[f"{name}Cell"] = LayerCase(_cell(f"{name}Cell"), (FLAT,))
        found[f"RNN, {name}Cell"] = LayerCase(_of_cells(f"{name}Cell"), (SERIES,))
        found[f"Bidirectional, {name}"] = LayerCase(_both_ways(cls, return_sequences=True), (SERIES,))
    found["LSTM, initial state"] = LayerCase(
        lambda x, h, c: layers.LSTM(5)(x, initial_state=[h, c]), (SERIES, normal(ROWS, 5), normal(ROWS, 5))
    )
    found["RNN"] = found.pop("RNN, LSTMCell")
    found["Bidirectional"] = found.pop("Bidirectional, LSTM")
    found["Bidirectional, last"] = LayerCase(_both_ways(layers.LSTM), (SERIES,))
    found["Bidirectional, sum"] = LayerCase(_both_ways(layers.GRU, merge_mode="sum"), (SERIES,))
    found["Bidirectional, apart"] = LayerCase(_both_ways(layers.GRU, merge_mode=None), (SERIES,))
    found["Bidirectional, masked"] = LayerCase(
        lambda t: layers.Bidirectional(layers.LSTM(4))(layers.Embedding(6, 4, mask_zero=True)(t)), (TOKENS,)
    )
    stacked = {"": 2, "of three": 3}
    for told, count in stacked.items():
        found["StackedRNNCells" + (f", {told}" if told else "")] = LayerCase(_stacked(count), (SERIES,))
    for rank, shape in ((1, (4, 6, 3)), (2, (3, 5, 4, 3)), (3, (2, 3, 4, 3, 2))):
        variants = {"": {}, "sequences": {"return_sequences": True, "padding": "same", "strides": 2}}
        found |= several(f"ConvLSTM{rank}D", normal(ROWS, *shape), variants=variants, filters=2, kernel_size=2)
    return found


def _cell(name: str) -> Callable[..., Any]:
    """One step of a cell from no state."""

    def build(x: Any) -> Any:
        cell = getattr(layers, name)(5)
        noughts = layers.Dense(5, use_bias=False)(x)
        states = [noughts, noughts] if name == "LSTMCell" else [noughts]
        return cell(x, states)

    return build


def _of_cells(name: str) -> Callable[..., Any]:
    return lambda x: layers.RNN(getattr(layers, name)(5), return_sequences=True)(x)


def _both_ways(cls: Any, *, merge_mode: str | None = "concat", **settings: Any) -> Callable[..., Any]:
    return lambda x: layers.Bidirectional(cls(5, **settings), merge_mode=merge_mode)(x)


def _stacked(count: int) -> Callable[..., Any]:
    return lambda x: layers.RNN(layers.StackedRNNCells([layers.GRUCell(4) for _ in range(count)]))(x)


CASES: Mapping[str, LayerCase] = MappingProxyType({**_attention(), **_recurrent()})
