"""Recurrent layers: RNN, GRU, LSTM: by PyTorch's own where it has the same, else step by step.

Step by step, the input is projected once, outside of the loop over time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from isthmus.lower.contract import Host, Lowerings, Weight
from isthmus.writers.torch.ops._recurrent import (
    Sequences,
    State,
    Step,
    activations_of,
    clipped,
    parts,
    projected_by,
)

table = Lowerings()
lower, alias = table.lower, table.alias


def _plain(clip: float | None, names: Sequence[str], usual: Sequence[str]) -> bool:
    """Whether every direction has the activations that PyTorch's layer has, and no clip."""
    return not clip and [n.lower() for n in names] == list(usual) * (len(names) // len(usual))


def _reordered(x: Any, order: Sequence[int]) -> Any:
    """The gates, stacked along the first axis, in another order."""
    gates = parts(x, len(order))
    return torch.cat([gates[i] for i in order])


def _weights(sequences: Sequences, w: Any, r: Any, b: Any, order: Sequence[int]) -> list[list[Any]]:
    """The weights of each direction as PyTorch's layers take them."""
    made = []
    operands = (sequences.per_direction(operand) for operand in (w, r, b))
    for one_w, one_r, one_b in zip(*operands, strict=True):
        both = [one_w, one_r, *(parts(one_b, 2) if one_b is not None else ())]
        made.append([_reordered(x, order) for x in both] if len(order) > 1 else both)
    return made


def _both(bias: Any) -> Any:
    """The biases of the input and of the recurrence, added."""
    of_input, of_state = parts(bias, 2)
    return of_input + of_state


@lower("RNN")
def rnn(
    c,
    x,
    w: Weight,
    r: Weight,
    b: Weight = None,
    sequence_lens: Host = None,
    initial_h=None,
    *,
    activation_alpha,
    activation_beta,
    activations,
    clip,
    direction,
    hidden_size,
    layout,
):
    sequences = Sequences.of(c, x, r, sequence_lens, hidden_size=hidden_size, layout=layout, direction=direction)
    names = activations[: sequences.directions]
    initial = sequences.initial(initial_h)
    for name, function in (("tanh", torch.rnn_tanh), ("relu", torch.rnn_relu)):
        if sequences.native and _plain(clip, names, [name]):
            return sequences.run_native(function, initial, _weights(sequences, w, r, b, [0]))[: c.outputs]
    functions = activations_of(c, names, activation_alpha, activation_beta)
    biases = [None if one is None else _both(one) for one in sequences.per_direction(b)]
    each = [_rnn_step(one, f, clip) for one, f in zip(sequences.per_direction(r), functions, strict=True)]
    project = projected_by(sequences.per_direction(w), biases)
    return sequences.run(project, each, [initial])[: c.outputs]


def _rnn_step(r: Any, f: Any, clip: float | None) -> Step:
    def step(gates: Any, state: State) -> State:
        return (f(clipped(gates + state[0] @ r.t(), clip)),)

    return step


@lower("GRU")
def gru(
    c,
    x,
    w: Weight,
    r: Weight,
    b: Weight = None,
    sequence_lens: Host = None,
    initial_h=None,
    *,
    activation_alpha,
    activation_beta,
    activations,
    clip,
    direction,
    hidden_size,
    layout,
    linear_before_reset,
):
    sequences = Sequences.of(c, x, r, sequence_lens, hidden_size=hidden_size, layout=layout, direction=direction)
    names = activations or ("Sigmoid", "Tanh") * sequences.directions
    initial = sequences.initial(initial_h)
    if sequences.native and linear_before_reset and _plain(clip, names, ["sigmoid", "tanh"]):
        # ONNX has the gates in the order update, reset, hidden; PyTorch has reset first
        return sequences.run_native(torch.gru, initial, _weights(sequences, w, r, b, [1, 0, 2]))[: c.outputs]
    functions = activations_of(c, names, activation_alpha, activation_beta)
    biases: list[Any] = []
    inner: list[Any] = []
    for one in sequences.per_direction(b):
        if one is None:
            biases.append(None)
            inner.append(None)
            continue
        update, reset, hidden, *of_state = parts(one, 6)
        # the hidden gate's own bias is added before the reset only if the reset comes after the product
        outer = hidden if linear_before_reset else hidden + of_state[2]
        biases.append(torch.cat([update + of_state[0], reset + of_state[1], outer]))
        inner.append(of_state[2] if linear_before_reset else None)
    each = [
        _gru_step(one, bias, functions[2 * i : 2 * i + 2], clip, bool(linear_before_reset))
        for i, (one, bias) in enumerate(zip(sequences.per_direction(r), inner, strict=True))
    ]
    project = projected_by(sequences.per_direction(w), biases)
    return sequences.run(project, each, [initial])[: c.outputs]


def _gru_step(r: Any, bias: Any, functions: Any, clip: float | None, linear: bool) -> Step:
    """The gates stand in the order update, reset, hidden."""
    f, g = functions
    update_r, reset_r, hidden_r = parts(r, 3)

    def step(projected: Any, state: State) -> State:
        (h,) = state
        of_update, of_reset, of_hidden = parts(projected, 3, 1)
        update = f(clipped(of_update + h @ update_r.t(), clip))
        reset = f(clipped(of_reset + h @ reset_r.t(), clip))
        if linear:
            product = h @ hidden_r.t()
            inner = reset * (product if bias is None else product + bias)
        else:
            inner = (reset * h) @ hidden_r.t()
        hidden = g(clipped(of_hidden + inner, clip))
        return ((1 - update) * hidden + update * h,)

    return step


@lower("LSTM")
def lstm(
    c,
    x,
    w: Weight,
    r: Weight,
    b: Weight = None,
    sequence_lens: Host = None,
    initial_h=None,
    initial_c=None,
    p: Weight = None,
    *,
    activation_alpha,
    activation_beta,
    activations,
    clip,
    direction,
    hidden_size,
    input_forget,
    layout,
):
    sequences = Sequences.of(c, x, r, sequence_lens, hidden_size=hidden_size, layout=layout, direction=direction)
    names = activations or ("Sigmoid", "Tanh", "Tanh") * sequences.directions
    initial = (sequences.initial(initial_h), sequences.initial(initial_c))
    usual = _plain(clip, names, ["sigmoid", "tanh", "tanh"]) and p is None and not input_forget
    if sequences.native and usual:
        # ONNX has the gates in the order input, output, forget, cell; PyTorch has input, forget, cell, output
        return sequences.run_native(torch.lstm, initial, _weights(sequences, w, r, b, [0, 2, 3, 1]))[: c.outputs]
    functions = activations_of(c, names, activation_alpha, activation_beta)
    biases = [None if one is None else _both(one) for one in sequences.per_direction(b)]
    each = [
        _lstm_step(one, peepholes, functions[3 * i : 3 * i + 3], clip, bool(input_forget))
        for i, (one, peepholes) in enumerate(zip(sequences.per_direction(r), sequences.per_direction(p), strict=True))
    ]
    project = projected_by(sequences.per_direction(w), biases)
    return sequences.run(project, each, initial)[: c.outputs]


def _lstm_step(r: Any, peepholes: Any, functions: Any, clip: float | None, coupled: bool) -> Step:
    """The gates stand in the order input, output, forget, cell; the peepholes in input, output, forget."""
    f, g, h = functions
    looks = None if peepholes is None else parts(peepholes, 3)

    def step(projected: Any, state: State) -> State:
        hidden, cell = state
        i, o, forget, candidate = parts(projected + hidden @ r.t(), 4, 1)
        if looks is not None:
            i, forget = i + looks[0] * cell, forget + looks[2] * cell
        i = f(clipped(i, clip))
        forget = 1 - i if coupled else f(clipped(forget, clip))
        cell = forget * cell + i * g(clipped(candidate, clip))
        o = o if looks is None else o + looks[1] * cell
        return f(clipped(o, clip)) * h(cell), cell  # the clip counts for gates, as ONNX Runtime has it

    return step
