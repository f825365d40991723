"""Loops over time that are recurrent layers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx_ir as ir

from isthmus.hub.free_dims import name_free_dims
from isthmus.hub.infer import infer_shapes
from isthmus.hub.model import ONNX, ROLE, Hub
from isthmus.hub.state import PLACE
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.dims import Entry, entries_of
from isthmus.passes.edit import Editor, attribute, dims, graph_of, known, replace
from isthmus.passes.gates import ORIGIN
from isthmus.passes.recover.cells import Activation, Cell, Step, cell_of
from isthmus.passes.recover.gates import Columns
from isthmus.passes.recover.lengths import Lengths, is_longest, lengths_of, lengths_within, replace_rows
from isthmus.passes.recover.match import is_zero, made_by, plain, remove_unused, reversal_of

_USUAL: Mapping[str, Sequence[str]] = MappingProxyType(
    {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
)


@dataclass(frozen=True)
class _Match:
    """The sequence [time, batch, size] that a loop runs over, and the cell that it applies."""

    sequence: ir.Value
    cell: Cell
    lengths: ir.Value | None = None
    """How long each sequence is, where they are not all as long as the loop runs."""
    is_cut: bool = False
    """Whether the loop ends with the longest sequence."""


class RecoverRecurrent(HubPass):
    """Write a loop that applies a recurrent cell to each step of a sequence as LSTM, GRU or RNN.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[t, n, 1] x, float[n, 1] h) => (float[t, n, 1] y)
        <float[1, 1] w = {0.5}, float[1, 1] r = {0.25}, int64 zero = {0}>
        {
            s = Shape (x)
            trips = Gather <axis = 0> (s, zero)
            last, y = Loop (trips, , h) <body = step (int64 i, bool going, float[n, 1] state)
                => (bool on, float[n, 1] new, float[n, 1] row)
            {
                on = Identity (going)
                at = Gather <axis = 0> (x, i)
                a = MatMul (at, w)
                b = MatMul (state, r)
                c = Add (a, b)
                new = Tanh (c)
                row = Identity (new)
            }>
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[t, n, 1] x, float[n, 1] h) => (float[t, n, 1] y)
        <int64[1] first = {0}, int64[1] one = {1}, float[1, 1, 1] w = {0.5}, float[1, 1, 1] r = {0.25}>
        {
            u = Unsqueeze (h, first)
            a, b = RNN <hidden_size = 1> (x, w, r, , , u)
            y = Squeeze (a, one)
        }

    Gates are recognised however their weights are joined or split, and brought into ONNX's order; weights keep
    their names. Where steps behind the end of a sequence keep its states and give zeros, ``sequence_lens`` tells the
    ends. A loop that does anything else as well, such as skipping steps by a mask, stays a loop.
    """

    def call(self, hub: Hub) -> PassResult:
        weights = _Weights(Editor(hub.model))
        modified = False
        while True:
            reasons = Reasons()
            if not _round(hub, weights, reasons):
                break
            modified = True  # the length of one layer's output is that of the next one's input
            infer_shapes(hub.model)
            name_free_dims(hub.model)
        weights.settle()
        return PassResult(hub, modified, tuple(reasons.found))


def _round(hub: Hub, weights: _Weights, reasons: Reasons) -> bool:
    """Write every loop that can be told to be a layer; whether there was one."""
    entries = entries_of(hub.model)
    modified = False
    for node in list(hub.graph.all_nodes()):
        if node.graph is None or node.domain != ONNX or node.op_type != "Loop":
            continue
        match = _match(node, entries)
        if isinstance(match, str):
            reasons.decline(node, match)
            continue
        _write(weights, node, match, entries)
        modified = True
    return modified


def _match(node: ir.Node, entries: dict[ir.Value, list[Entry]]) -> _Match | str:
    body = node.attributes["body"].as_graph()
    if not _only_counts(node, body):
        return "it does not run a number of times that is known before"
    steps = [inner for inner in body if _is_step(inner, body.inputs[0], body)]
    if not steps:
        return "it does not run over a sequence"
    carried = len(node.inputs) - 2
    results = [plain(value) for value in body.outputs[1:]]
    lengths = lengths_of(body, results, carried)
    results = results if lengths is None else list(lengths.results)
    found: Cell | str = "it does not run over a sequence"
    for step in steps:
        sequence = step.inputs[0]
        found = cell_of(Step(step.outputs[0], body.inputs[2:], results[:carried]))
        if isinstance(found, str) or sequence is None:
            continue
        if any(value is not results[found.hidden] for value in results[carried:]):
            return "it collects another thing than its output"
        is_whole = _is_length(node.inputs[0], sequence, entries)
        if not is_whole and not _ends_with_longest(node.inputs[0], sequence, lengths, entries):
            return "it does not run over the whole of its sequence"
        if lengths is not None and not all(is_zero(state) for state in node.inputs[2:]):
            return "what the states of an empty sequence are depends on who runs it"
        if sequence.dtype == ir.DataType.DOUBLE:
            return "ONNX Runtime has no recurrent layers of float64"
        if any(v.dtype != sequence.dtype for v in (*node.inputs[2:],) if v is not None):
            return "its states have another type than its input"
        if any(_spreads(v, sequence) for v in node.inputs[2:]):
            return "its states are of another number of sequences than its input"
        return _Match(sequence, found, None if lengths is None else lengths.value, not is_whole)
    return found if isinstance(found, str) else "it does not run over a sequence"


def _only_counts(node: ir.Node, body: ir.Graph) -> bool:
    condition = known(node.inputs[1])
    if node.inputs[0] is None or (node.inputs[1] is not None and (condition is None or not condition.all())):
        return False
    goes = plain(body.outputs[0])
    always = known(goes)
    return goes is body.inputs[1] or (always is not None and bool(always.all()))


def _is_step(node: ir.Node, iteration: ir.Value, body: ir.Graph) -> bool:
    """Whether a node takes the entry of this iteration out of a sequence from outside of the loop."""
    if node.domain != ONNX or node.op_type != "Gather" or attribute(node, "axis", 0) != 0:
        return False
    sequence, index = node.inputs
    if sequence is None or index is None or len(dims(sequence) or ()) != 3:
        return False
    maker = sequence.producer()
    inside = sequence in body.inputs if maker is None else maker.graph is body
    while (cast := made_by(index, "Cast", "Identity")) is not None and cast.inputs[0] is not None:
        index = cast.inputs[0]
    return index is iteration and not inside


def _is_length(trips: ir.Value | None, sequence: ir.Value, entries: dict[ir.Value, list[Entry]]) -> bool:
    """Whether the number of iterations is the length of the sequence."""
    lengths = [(dims(value) or (None,))[0] for value in (sequence, reversal_of(sequence, 0)) if value is not None]
    array = known(trips)
    if array is not None:
        return int(array.reshape(())) in [length for length in lengths if isinstance(length, int)]
    found = entries.get(trips) if trips is not None else None
    return found is not None and found != [None] and any(found == [length] for length in lengths)


def _ends_with_longest(
    trips: ir.Value | None, sequence: ir.Value, lengths: Lengths | None, entries: dict[ir.Value, list[Entry]]
) -> bool:
    steps = (dims(sequence) or (None,))[0]
    return lengths is not None and steps is not None and is_longest(trips, lengths.value, entries, steps)


def _spreads(state: ir.Value | None, sequence: ir.Value) -> bool:
    """Whether a state is of a fixed number of sequences, and the batch may be another one: TensorFlow broadcasts."""
    own, batch = (dims(state) or (None,))[0], (dims(sequence) or (None, None))[1]
    return isinstance(own, int) and own != batch


class _Weights:
    """Weights in ONNX's order, made when they are written; one that all loops have left keeps its name for them."""

    def __init__(self, edit: Editor) -> None:
        self.edit = edit
        self._made: dict[tuple[object, ...], ir.Value] = {}
        self._sources: dict[ir.Value, ir.Value] = {}

    def matrix(self, columns: Sequence[Columns]) -> ir.Value:
        """[1, gates · units, size]: the columns of each gate as rows."""
        rows, (first, *_) = sum(c.stop - c.start for c in columns), columns

        def made() -> np.ndarray:
            return np.concatenate([_array(c).T for c in columns])[None]

        assert first.weight.const_value is not None
        size = int(first.weight.const_value.shape.numpy()[0])
        return self._initializer(("matrix", *columns), made, (1, rows, size), columns)

    def biases(self, cell: Cell, node: ir.Node) -> ir.Value | None:
        """[1, 2 · gates · units]: the biases of the input, then those of the state; None where there are none.

        Where the cell has none of one kind, zeros stand in, apart from the weight of the source.
        """
        sides = [list(cell.input_biases), list(cell.state_biases)]
        empty = [side for side in sides if not any(side)]
        if len(empty) == len(sides):
            return None
        if not empty:
            return self._bias([*sides[0], *sides[1]], cell.units)
        made = [self._bias(side, cell.units) if any(side) else None for side in sides]
        weight = next(value for value in made if value is not None)
        assert weight.dtype is not None
        zeros = self.edit.constant(np.zeros((1, len(sides[0]) * cell.units), weight.dtype.numpy()), "no_bias")
        zeros.metadata_props[ROLE] = "constant"
        joined = [zeros if value is None else value for value in made]
        width = len(sides) * len(sides[0]) * cell.units
        return self.edit.before(node, "Concat", joined, {"axis": 1}, shape=[1, width])

    def _bias(self, columns: Sequence[Columns | None], units: int) -> ir.Value:
        """[1, gates · units], zeros for the gates that have none."""
        first = next(c for c in columns if c is not None)
        assert first.weight.dtype is not None
        empty = np.zeros(units, first.weight.dtype.numpy())

        def made() -> np.ndarray:
            return np.concatenate([empty if c is None else _array(c) for c in columns])[None]

        return self._initializer(("biases", *columns), made, (1, len(columns) * units), columns)

    def _initializer(
        self,
        key: tuple[object, ...],
        made: Callable[[], np.ndarray],
        shape: Sequence[int],
        columns: Sequence[Columns | None],
    ) -> ir.Value:
        if key in self._made:
            return self._made[key]
        source = next(c.weight for c in columns if c is not None)
        dtype = source.dtype
        assert dtype is not None

        def tensor() -> ir.TensorProtocol:
            return ir.Tensor(np.ascontiguousarray(made()), dtype=dtype)

        sizes = ir.Shape([int(d) for d in shape])
        value = self.edit.initializer(
            ir.LazyTensor(tensor, dtype=dtype, shape=sizes, name=None), f"{source.name}_onnx"
        )
        value.metadata_props.update({k: t for k in (ROLE, PLACE) if (t := source.metadata_props.get(k))})
        if (told := _origin(columns, shape)) is not None:
            value.metadata_props[ORIGIN] = json.dumps(told)
        self._made[key] = value
        self._sources.setdefault(source, value)
        return value

    def settle(self) -> None:
        """Give the names of weights that nothing else uses to what was made of them."""
        for source, value in self._sources.items():
            if self.edit.model.graph.initializers.get(str(source.name)) is not source:  # made of another one's rows
                continue
            if source.uses() or source.is_graph_output() or source.name is None or value.name is None:
                continue
            name, initializers = source.name, self.edit.model.graph.initializers
            del initializers[name]
            del initializers[value.name]
            value.name = name
            assert value.const_value is not None
            value.const_value.name = name
            initializers.add(value)


def _origin(columns: Sequence[Columns | None], shape: Sequence[int]) -> dict[str, Any] | None:
    """How an initializer was made of a weight; None where it is of several, or of unequal parts.

    Where it has all rows of a weight, its blocks are those of the rows one after the other.
    """
    parts = [c for c in columns if c is not None]
    sizes = {c.stop - c.start for c in parts}
    if len(parts) < len(columns) or len({c.weight for c in parts}) > 1 or len(sizes) > 1:
        return None
    units, weight, rows = sizes.pop(), parts[0].weight, {c.row for c in parts}
    assert weight.const_value is not None
    (*rest, width) = (int(size) for size in weight.const_value.shape.numpy())
    if width % units or any(c.start % units for c in parts):
        return None
    blocks, of = [c.start // units for c in parts], width // units
    told = {"name": weight.name, "shape": list(shape)}
    if len(rows) > 1:
        every = [(c.row or 0) * of + block for c, block in zip(parts, blocks, strict=True)]
        return {**told, "rows": rest[0]} if every == list(range(rest[0] * of)) else None
    if rest and rows == {None}:
        return {**told, "blocks": blocks, "of": of, "axis": 1, "perm": [1, 0]}
    return {**told, "index": parts[0].row, "blocks": blocks, "of": of}


def _array(columns: Columns) -> np.ndarray:
    assert columns.weight.const_value is not None
    array = columns.weight.const_value.numpy()
    if columns.row is not None:
        array = array[columns.row]
    return array[..., columns.start : columns.stop]


def _write(weights: _Weights, node: ir.Node, match: _Match, entries: dict[ir.Value, list[Entry]]) -> None:
    edit, cell, sequence = weights.edit, match.cell, match.sequence
    given: list[ir.Value | None] = [sequence, weights.matrix(cell.inputs), weights.matrix(cell.recurrent)]
    states = list(node.inputs[2:])
    order = [cell.hidden, 1 - cell.hidden] if len(states) == 2 else [0]
    starts = [_start(edit, node, states[k]) for k in order]
    lengths = None if match.lengths is None else lengths_within(edit, node, match.lengths, sequence)
    given += [weights.biases(cell, node), lengths, *starts]
    while given[-1] is None:
        given.pop()
    made = edit.node(cell.kind, given, _attributes(cell), like=node, outputs=1 + len(states))
    graph_of(node).insert_before(node, made)
    steps, batch, _ = dims(sequence) or (None, None, None)
    for output, shape in zip(
        made.outputs, ([steps, 1, batch, cell.units], *[[1, batch, cell.units]] * 2), strict=False
    ):
        output.type = ir.TensorType(sequence.dtype) if sequence.dtype is not None else None
        output.shape = ir.Shape(shape)
    for k, output in enumerate(node.outputs):
        if not output.uses() and not output.is_graph_output():
            continue
        place, axis = (0, 1) if k >= len(states) else (1 + order.index(k), 0)
        sizes = [steps, batch, cell.units] if axis else [batch, cell.units]
        whole = edit.before(node, "Squeeze", [made.outputs[place], edit.ints([axis], "axis")], shape=sizes)
        if axis and match.is_cut:
            replace_rows(edit, node, output, whole, entries)
        else:
            replace(output, whole)
    remove_unused(node)


def _start(edit: Editor, node: ir.Node, state: ir.Value | None) -> ir.Value | None:
    """A state as the operator takes it: [1, batch, units], or None for zeros."""
    if state is None or is_zero(state):
        return None
    shape = dims(state) or (None, None)
    return edit.before(node, "Unsqueeze", [state, edit.ints([0], "axis")], shape=[1, *shape])


def _attributes(cell: Cell) -> dict[str, object]:
    attributes: dict[str, object] = {"hidden_size": cell.units}
    if cell.kind == "GRU" and cell.linear_before_reset:
        attributes["linear_before_reset"] = 1
    names = [f.name for f in cell.activations]
    if names != list(_USUAL[cell.kind]):
        attributes["activations"] = names
        attributes |= _numbers(cell.activations)
    return attributes


def _numbers(activations: Sequence[Activation]) -> dict[str, object]:
    alphas = [f.alpha for f in activations if f.alpha is not None]
    betas = [f.beta for f in activations if f.beta is not None]
    return {k: v for k, v in {"activation_alpha": alphas, "activation_beta": betas}.items() if v}
