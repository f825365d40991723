"""Recurrent layers: RNN, GRU, LSTM. The input is projected once, outside of the loop over time."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from isthmus.lower.contract import Lowerings, Weight
from isthmus.writers.tensorflow.ops._recurrent import Sequences, State, Step, activations_of, clipped, projected_by

table = Lowerings()
lower, alias = table.lower, table.alias


@lower("RNN")
def rnn(
    c,
    x,
    w: Weight,
    r: Weight,
    b: Weight = None,
    sequence_lens=None,
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
    sequences = Sequences.of(x, r, sequence_lens, hidden_size=hidden_size, layout=layout, direction=direction)
    functions = activations_of(c, activations[: sequences.directions], activation_alpha, activation_beta)
    biases = [None if one is None else sum(_halves(one)) for one in sequences.per_direction(b)]
    steps = [_rnn_step(one, f, clip) for one, f in zip(sequences.per_direction(r), functions, strict=True)]
    initial = [(h,) for h in sequences.initial(initial_h)]
    return sequences.run(projected_by(sequences.per_direction(w), biases), steps, initial)[: c.outputs]


def _halves(bias: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The biases of the input and of the recurrence."""
    first, second = tf.split(bias, 2)
    return first, second


def _rnn_step(r: tf.Tensor, f: Any, clip: float | None) -> Step:
    def step(gates: tf.Tensor, state: State) -> State:
        return (f(clipped(gates + tf.matmul(state[0], r, transpose_b=True), clip)),)

    return step


@lower("GRU")
def gru(
    c,
    x,
    w: Weight,
    r: Weight,
    b: Weight = None,
    sequence_lens=None,
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
    sequences = Sequences.of(x, r, sequence_lens, hidden_size=hidden_size, layout=layout, direction=direction)
    names = activations or ("Sigmoid", "Tanh") * sequences.directions
    functions = activations_of(c, names, activation_alpha, activation_beta)
    biases: list[Any] = []
    inner: list[Any] = []
    for one in sequences.per_direction(b):
        if one is None:
            biases.append(None)
            inner.append(None)
            continue
        of_input, of_state = _halves(one)
        gates, hidden = of_state[: 2 * sequences.hidden], of_state[2 * sequences.hidden :]
        # the hidden gate's own bias is added before the reset only if the reset comes after the product
        outer = tf.zeros_like(hidden) if linear_before_reset else hidden
        biases.append(of_input + tf.concat([gates, outer], 0))
        inner.append(hidden if linear_before_reset else None)
    steps = [
        _gru_step(one, bias, functions[2 * i : 2 * i + 2], clip, sequences.hidden, bool(linear_before_reset))
        for i, (one, bias) in enumerate(zip(sequences.per_direction(r), inner, strict=True))
    ]
    initial = [(h,) for h in sequences.initial(initial_h)]
    return sequences.run(projected_by(sequences.per_direction(w), biases), steps, initial)[: c.outputs]


def _gru_step(r: tf.Tensor, bias: tf.Tensor | None, functions: Any, clip: float | None, n: int, linear: bool) -> Step:
    """The gates stand in the order update, reset, hidden."""
    f, g = functions
    gates_r, hidden_r = r[: 2 * n], r[2 * n :]

    def step(projected: tf.Tensor, state: State) -> State:
        (h,) = state
        if linear:
            products = tf.matmul(h, r, transpose_b=True)
            gates, candidate = products[:, : 2 * n], products[:, 2 * n :]
            candidate = candidate if bias is None else candidate + bias
        else:
            gates, candidate = tf.matmul(h, gates_r, transpose_b=True), None
        update, reset = tf.split(f(clipped(projected[:, : 2 * n] + gates, clip)), 2, axis=1)
        inner = reset * candidate if linear else tf.matmul(reset * h, hidden_r, transpose_b=True)
        hidden = g(clipped(projected[:, 2 * n :] + inner, clip))
        return ((1 - update) * hidden + update * h,)

    return step


@lower("LSTM")
def lstm(
    c,
    x,
    w: Weight,
    r: Weight,
    b: Weight = None,
    sequence_lens=None,
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
    sequences = Sequences.of(x, r, sequence_lens, hidden_size=hidden_size, layout=layout, direction=direction)
    names = activations or ("Sigmoid", "Tanh", "Tanh") * sequences.directions
    functions = activations_of(c, names, activation_alpha, activation_beta)
    biases = [None if one is None else sum(_halves(one)) for one in sequences.per_direction(b)]
    steps = [
        _lstm_step(one, peepholes, functions[3 * i : 3 * i + 3], clip, bool(input_forget))
        for i, (one, peepholes) in enumerate(zip(sequences.per_direction(r), sequences.per_direction(p), strict=True))
    ]
    initial = list(zip(sequences.initial(initial_h), sequences.initial(initial_c), strict=True))
    return sequences.run(projected_by(sequences.per_direction(w), biases), steps, initial)[: c.outputs]


def _lstm_step(r: tf.Tensor, peepholes: tf.Tensor | None, functions: Any, clip: float | None, coupled: bool) -> Step:
    """The gates stand in the order input, output, forget, cell; the peepholes in input, output, forget."""
    f, g, h = functions
    looks = None if peepholes is None else tf.split(peepholes, 3)

    def step(projected: tf.Tensor, state: State) -> State:
        hidden, cell = state
        gates = projected + tf.matmul(hidden, r, transpose_b=True)
        i, o, forget, candidate = tf.split(gates, 4, axis=1)
        if looks is not None:
            i, forget = i + looks[0] * cell, forget + looks[2] * cell
        i = f(clipped(i, clip))
        forget = 1 - i if coupled else f(clipped(forget, clip))
        cell = forget * cell + i * g(clipped(candidate, clip))
        o = o if looks is None else o + looks[1] * cell
        return f(clipped(o, clip)) * h(cell), cell  # the clip counts for gates, as ONNX Runtime has it

    return step
