"""Recurrent layers by TensorFlow, attribute by attribute, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matrix import FORMS, Form, Node, agrees

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

RNG = np.random.default_rng(5)
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
STEPS, BATCH, INPUT, HIDDEN = 5, 3, 4, 6


def _floats(*shape: int) -> np.ndarray:
    return (RNG.standard_normal(shape) * 0.5).astype(np.float32)


def _layer(
    op: str,
    *,
    bias: bool = True,
    lengths: list[int] | None = None,
    initial: bool = False,
    peepholes: bool = False,
    **attributes: Any,
) -> Node:
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    gates = GATES[op]
    operands: list[Any] = [
        _floats(STEPS, BATCH, INPUT),
        _floats(directions, gates * HIDDEN, INPUT),
        _floats(directions, gates * HIDDEN, HIDDEN),
        _floats(directions, 2 * gates * HIDDEN) if bias else None,
        np.array(lengths, np.int32) if lengths else None,
    ]
    states = 2 if op == "LSTM" else 1
    operands += [_floats(directions, BATCH, HIDDEN) if initial else None for _ in range(states)]
    if op == "LSTM":
        operands.append(_floats(directions, 3 * HIDDEN) if peepholes else None)
    while operands[-1] is None:
        operands.pop()
    return Node(op, operands, {"hidden_size": HIDDEN, **attributes}, outputs=1 + states)


COMMON: dict[str, dict[str, Any]] = {
    "plain": {},
    "no_bias": {"bias": False},
    "initial": {"initial": True},
    "reverse": {"direction": "reverse", "initial": True},
    "bidirectional": {"direction": "bidirectional", "initial": True},
    "lengths": {"lengths": [5, 2, 3]},
    "lengths_reverse": {"lengths": [1, 5, 3], "direction": "reverse", "initial": True},
    "lengths_bidirectional": {"lengths": [4, 2, 5], "direction": "bidirectional", "initial": True},
    "clip": {"clip": 0.3, "initial": True},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", COMMON)
@pytest.mark.parametrize("op", GATES)
def test_recurrent(op: str, case: str, form: Form) -> None:
    agrees(_layer(op, **COMMON[case]), form, rtol=1e-4, atol=1e-5)


SPECIAL = {
    "gru_linear_before_reset": _layer("GRU", linear_before_reset=1, initial=True),
    "gru_linear_bidirectional": _layer(
        "GRU", linear_before_reset=1, direction="bidirectional", lengths=[3, 5, 1], initial=True
    ),
    "gru_linear_without_bias": _layer("GRU", linear_before_reset=1, bias=False),
    "gru_activations": _layer(
        "GRU", activations=["HardSigmoid", "Softsign"], activation_alpha=[0.3], activation_beta=[0.4]
    ),
    "gru_activations_both_ways": _layer(
        "GRU", activations=["Sigmoid", "Tanh", "HardSigmoid", "Relu"], direction="bidirectional"
    ),
    "rnn_relu": _layer("RNN", activations=["Relu"]),
    "rnn_leaky": _layer("RNN", activations=["LeakyRelu"], activation_alpha=[0.2]),
    "rnn_elu": _layer("RNN", activations=["Elu"], activation_alpha=[0.7]),
    "rnn_affine": _layer("RNN", activations=["Affine"], activation_alpha=[0.7], activation_beta=[0.1]),
    "rnn_scaled_tanh": _layer("RNN", activations=["ScaledTanh"], activation_alpha=[0.7], activation_beta=[0.5]),
    "rnn_softplus": _layer("RNN", activations=["Softplus"]),
    "rnn_thresholded": _layer("RNN", activations=["ThresholdedRelu"], activation_alpha=[0.2]),
    "lstm_peepholes": _layer("LSTM", peepholes=True, initial=True),
    "lstm_peepholes_bidirectional": _layer("LSTM", peepholes=True, direction="bidirectional", lengths=[2, 5, 4]),
    "lstm_coupled": _layer("LSTM", input_forget=1, initial=True),
    "lstm_activations": _layer("LSTM", activations=["HardSigmoid", "Tanh", "Relu"]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", SPECIAL)
def test_recurrent_attributes(case: str, form: Form) -> None:
    agrees(SPECIAL[case], form, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("op", GATES)
def test_batch_first(op: str, form: Form) -> None:
    """ONNX Runtime takes time first only: the same layer, transposed, is the reference."""
    from matrix import on_onnxruntime

    node = _layer(op, direction="bidirectional", lengths=[4, 2, 5], initial=True)
    y, *states = on_onnxruntime(node.model("plain"), node.arrays())
    operands = list(node.inputs)
    for i in (0, *range(5, 5 + len(states))):
        operands[i] = np.ascontiguousarray(operands[i].swapaxes(0, 1))
    golden = [y.transpose(2, 0, 1, 3), *(s.swapaxes(0, 1) for s in states)]
    other = Node(op, operands, {**node.attributes, "layout": 1}, outputs=node.outputs)
    agrees(other, form, rtol=1e-4, atol=1e-5, expected=golden)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("op", ("GRU", "LSTM"))
def test_sequences_without_steps(op: str, form: Form) -> None:
    """Their final states are zeros, whatever they began with."""
    agrees(_layer(op, lengths=[0, 5, 2], initial=True), form, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_no_steps_at_all(form: Form) -> None:
    node = _layer("LSTM", initial=True)
    operands = [node.inputs[0][:0], *node.inputs[1:]]
    golden = [np.zeros((0, 1, BATCH, HIDDEN), np.float32), *operands[5:7]]
    agrees(Node("LSTM", operands, node.attributes, outputs=3), form, expected=golden)
