"""Recurrent layers as ONNX's own operators, whole, with nothing unrolled and no size baked in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir
import torch
from onnxscript import evaluator
from onnxscript import opset23 as op

import isthmus.readers.torch.whole  # noqa: F401 - defines the operators of torch.ops.isthmus
from isthmus.readers.torch.translations.build import Value, cut, ints, joined, rank

aten = torch.ops.aten

# Where ONNX keeps each gate, as positions in ATen's order: i f g o → i o f g; r z n → z r n.
_GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}


def _stacked(kind: str, parts: Sequence[Value]) -> Value:
    """The gate blocks of each direction's matrix (or bias) in ONNX's order, directions first."""
    order, rows = _GATES[kind], []
    for part in parts:
        if len(order) > 1:
            blocks = op.Split(part, num_outputs=len(order), axis=0)
            part = op.Concat(*[blocks[gate] for gate in order], axis=0)
        rows.append(op.Unsqueeze(part, ints(0)))
    return joined(rows, 0)


def _layers(
    kind: str,
    x: Value,
    states: Sequence[Value],
    params: Sequence[Value],
    has_biases: bool,
    num_layers: int,
    bidirectional: bool,
    batch_first: bool,
    **attributes: Any,
) -> tuple[Value, ...]:
    """``x`` [t, b, i] through stacked layers; outputs [t, b, d·h] and the last states [layers·d, b, h]."""
    directions = 2 if bidirectional else 1
    per = len(params) // (num_layers * directions)
    batched = rank(x) == 3
    hidden = params[1].shape[-1]
    if not batched:
        x = op.Unsqueeze(x, ints(1))
        states = [op.Unsqueeze(state, ints(1)) for state in states]
    elif batch_first:
        x = op.Transpose(x, perm=[1, 0, 2])
    lasts: list[list[Value]] = [[] for _ in states]
    for layer in range(num_layers):
        first = layer * directions
        own = [params[(first + d) * per : (first + d + 1) * per] for d in range(directions)]
        w = _stacked(kind, [group[0] for group in own])
        r = _stacked(kind, [group[1] for group in own])
        b = None
        if has_biases:
            halves = [_stacked(kind, [group[2 + half] for group in own]) for half in range(2)]
            b = op.Concat(*halves, axis=1)
        initial = [state if num_layers == 1 else cut(state, 0, first, first + directions) for state in states]
        outputs = getattr(op, kind)(
            x,
            w,
            r,
            b,
            None,
            *initial,
            hidden_size=hidden,
            direction="bidirectional" if bidirectional else "forward",
            **attributes,
        )
        y = outputs[0]
        if directions == 1:
            x = op.Squeeze(y, ints(1))
        else:
            x = op.Reshape(op.Transpose(y, perm=[0, 2, 1, 3]), ints(0, 0, directions * hidden))
        for kept, last in zip(lasts, outputs[1:], strict=False):
            kept.append(last)
    finals = [joined(kept, 0) for kept in lasts]
    if not batched:
        return op.Squeeze(x, ints(1)), *(op.Squeeze(final, ints(1)) for final in finals)
    if batch_first:
        x = op.Transpose(x, perm=[1, 0, 2])
    return x, *finals


def lstm(
    input: Value,
    hx: Sequence[Value],
    params: Sequence[Value],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Value, ...]:
    """nn.LSTM. A projection of the hidden state (``proj_size``) has no ONNX operator: a Scan over time."""
    if list(hx[0].shape)[-1] != list(hx[1].shape)[-1]:
        return _projected(input, hx, params, has_biases, num_layers, bidirectional, batch_first)
    return _layers("LSTM", input, hx, params, has_biases, num_layers, bidirectional, batch_first)


def gru(
    input: Value,
    hx: Value,
    params: Sequence[Value],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Value, ...]:
    """nn.GRU, whose reset gate acts after the recurrent product."""
    shape = (has_biases, num_layers, bidirectional, batch_first)
    return _layers("GRU", input, [hx], params, *shape, linear_before_reset=1)


def _rnn(activation: str) -> Any:
    def rnn(
        input: Value,
        hx: Value,
        params: Sequence[Value],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> tuple[Value, ...]:
        """nn.RNN."""
        shape = (has_biases, num_layers, bidirectional, batch_first)
        names = [activation] * (2 if bidirectional else 1)
        return _layers("RNN", input, [hx], params, *shape, activations=names)

    return rnn


def _projected(
    x: Value,
    hx: Sequence[Value],
    params: Sequence[Value],
    has_biases: bool,
    num_layers: int,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Value, ...]:
    directions = 2 if bidirectional else 1
    per = len(params) // (num_layers * directions)
    batched = rank(x) == 3
    states = list(hx)
    like = x
    if not batched:
        x = op.Unsqueeze(x, ints(1))
        states = [op.Unsqueeze(state, ints(1)) for state in states]
    elif batch_first:
        x = op.Transpose(x, perm=[1, 0, 2])
    hs, cs = [], []
    for layer in range(num_layers):
        outputs = []
        for d in range(directions):
            place = layer * directions + d
            own = params[place * per : (place + 1) * per]
            h0, c0 = (op.Squeeze(cut(state, 0, place, place + 1), ints(0)) for state in states)
            gates = op.MatMul(x, op.Transpose(own[0], perm=[1, 0]))
            if has_biases:
                gates = op.Add(gates, op.Add(own[2], own[3]))
            recurrent, projection = (op.Transpose(weight, perm=[1, 0]) for weight in (own[1], own[-1]))
            h, c, y = _scan(gates, h0, c0, recurrent, projection, like, backwards=d == 1)
            outputs.append(y)
            hs.append(op.Unsqueeze(h, ints(0)))
            cs.append(op.Unsqueeze(c, ints(0)))
        x = joined(outputs, -1)
    finals = joined(hs, 0), joined(cs, 0)
    if not batched:
        return op.Squeeze(x, ints(1)), *(op.Squeeze(final, ints(1)) for final in finals)
    return op.Transpose(x, perm=[1, 0, 2]) if batch_first else x, *finals


def _scan(
    gates: Value, h0: Value, c0: Value, recurrent: Value, projection: Value, like: Value, *, backwards: bool
) -> Sequence[Value]:
    """One direction of a projected LSTM: ``gates`` [t, b, 4h] hold the input's part of the four gates."""
    kind = ir.TensorType(like.dtype)
    recorder: Any = evaluator.default()
    stem = f"proj_{len(recorder.nodes)}_{id(gates)}"
    h, c, g = (ir.Value(name=f"{stem}_{name}", type=kind) for name in ("h", "c", "g"))
    nodes: list[ir.Node] = []

    def step(kind_of: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        node = ir.node(kind_of, list(inputs), attributes, num_outputs=outputs, version=23)
        for index, value in enumerate(node.outputs):
            value.name, value.type = f"{stem}_{len(nodes)}_{index}", kind
        nodes.append(node)
        return node.outputs[0] if outputs == 1 else node.outputs

    total = step("Add", g, step("MatMul", h, recurrent))
    i, f, z, o = step("Split", total, outputs=4, axis=-1, num_outputs=4)
    i, f, o = step("Sigmoid", i), step("Sigmoid", f), step("Sigmoid", o)
    cell = step("Add", step("Mul", f, c), step("Mul", i, step("Tanh", z)))
    out = step("MatMul", step("Mul", o, step("Tanh", cell)), projection)
    shown = step("Identity", out)
    body = ir.Graph([h, c, g], [out, cell, shown], nodes=nodes, name=f"{stem}_body")
    way = int(backwards)
    scan = ir.node(
        "Scan",
        [h0, c0, gates],
        {"body": body, "num_scan_inputs": 1, "scan_input_directions": [way], "scan_output_directions": [way]},
        num_outputs=3,
        version=23,
    )
    recorder.nodes.append(scan)
    return scan.outputs


whole = torch.ops.isthmus

TRANSLATIONS: dict[Any, Any] = {
    whole.lstm.default: lstm,
    whole.gru.default: gru,
    whole.rnn_tanh.default: _rnn("Tanh"),
    whole.rnn_relu.default: _rnn("Relu"),
    aten.lstm.input: lstm,
    aten.gru.input: gru,
    aten.rnn_tanh.input: _rnn("Tanh"),
    aten.rnn_relu.input: _rnn("Relu"),
}
