"""Loops over time that are recurrent layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from types import MappingProxyType

import onnx_ir as ir

from isthmus.hub.free_dims import name_free_dims
from isthmus.hub.infer import infer_shapes
from isthmus.hub.model import ONNX, Hub
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.dims import Entry, entries_of
from isthmus.passes.edit import Editor, attribute, dims, graph_of, known, replace
from isthmus.passes.recover.apart import Apart, apart_of, unread, without
from isthmus.passes.recover.cell_weights import CellWeights
from isthmus.passes.recover.cells import Activation, Cell, Step, cell_of
from isthmus.passes.recover.lengths import (
    Lengths,
    held_rows,
    is_longest,
    lengths_of,
    lengths_within,
    replace_rows,
)
from isthmus.passes.recover.match import is_zero, made_by, plain, reversal_of
from isthmus.passes.recover.projected import within
from isthmus.passes.recover.row_wise import is_row_wise

_USUAL: Mapping[str, Sequence[str]] = MappingProxyType(
    {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
)


@dataclass(frozen=True)
class _Match:
    """The sequence [time, batch, size] that a loop runs over, and a cell that it applies."""

    sequence: ir.Value
    cell: Cell
    states: tuple[int, ...]
    """Which of what the loop carries is the cell's."""
    apart: Apart
    lengths: ir.Value | None = None
    """How long each sequence is, where they are not all as long as the loop runs."""
    is_cut: bool = False
    """Whether the loop ends with the longest sequence."""
    held: tuple[int, ...] = ()
    """Which of what is collected repeats the last output behind the end of a sequence."""


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
    ends. Of a loop that does more, such as apply a second cell to what the first one gives, a cell that hangs on
    nothing else goes apart, and the loop runs over its output. What a mask skips stays in the loop.

    ``doubles``: layers of float64 as well, which ONNX Runtime has not.
    """

    def __init__(self, *, doubles: bool = False) -> None:
        self._doubles = doubles

    def call(self, hub: Hub) -> PassResult:
        weights = CellWeights(Editor(hub.model))
        modified = False
        while True:
            reasons = Reasons()
            if not _round(hub, weights, reasons, doubles=self._doubles):
                break
            modified = True  # the length of one layer's output is that of the next one's input
            infer_shapes(hub.model)
            name_free_dims(hub.model)
        weights.settle()
        return PassResult(hub, modified, tuple(reasons.found))


def _round(hub: Hub, weights: CellWeights, reasons: Reasons, *, doubles: bool) -> bool:
    """Write every loop that can be told to be a layer; whether there was one."""
    entries = entries_of(hub.model)
    modified = False
    for node in list(hub.graph.all_nodes()):
        if node.graph is None or node.domain != ONNX or node.op_type != "Loop":
            continue
        if (rest := unread(node)) is not None:
            without(weights.edit, node, rest)
            modified = True
            continue  # as another node
        if not doubles and any(v is not None and v.dtype == ir.DataType.DOUBLE for v in node.inputs[2:]):
            reasons.decline(node, "ONNX Runtime has no recurrent layers of float64")
            continue
        match = _match(weights.edit, node, entries)
        if isinstance(match, str):
            reasons.decline(node, match)
            continue
        _write(weights, node, match, entries)
        modified = True
    return modified


def _match(edit: Editor, node: ir.Node, entries: dict[ir.Value, list[Entry]]) -> _Match | str:
    """The first cell of a loop that can be a layer of its own, or why there is none."""
    body = node.attributes["body"].as_graph()
    if not _only_counts(node, body):
        return "it does not run a number of times that is known before"
    steps = [step for step in body if _is_step(step, body.inputs[0], body)]
    reasons = []
    for step in steps:
        found = _of_step(node, step, entries)
        if isinstance(found, _Match):
            return found
        reasons.append(found)
    for step in steps:
        moved = within(edit, step)
        if moved is None:
            continue
        found = _of_step(node, moved[0], entries)
        if isinstance(found, _Match):
            return found
        moved[1]()
    return reasons[0] if reasons else "it does not run over a sequence"


def _of_step(node: ir.Node, step: ir.Node, entries: dict[ir.Value, list[Entry]]) -> _Match | str:
    """A cell whose input is what ``step`` takes out of a sequence, or why there is none."""
    body, carried = node.attributes["body"].as_graph(), len(node.inputs) - 2
    results = [plain(value) for value in body.outputs[1:]]
    lengths = lengths_of(body, results, carried)
    results = results if lengths is None else list(lengths.results)
    reasons = []
    for states in _choices_of(carried):
        cell = cell_of(Step(step.outputs[0], [body.inputs[2 + k] for k in states], [results[k] for k in states]))
        found = cell if isinstance(cell, str) else _layer(node, step, cell, states, results, lengths, entries)
        if isinstance(found, _Match):
            return found
        reasons.append((isinstance(cell, str), found))
    return min(reasons, default=(False, "it carries nothing"))[1]


def _choices_of(carried: int) -> Iterator[tuple[int, ...]]:
    """Which of what a loop carries a cell may have: two states, or one."""
    yield from ((first, second) for first, second in permutations(range(carried), 2) if first < second)
    yield from ((k,) for k in range(carried))


def _layer(
    node: ir.Node,
    step: ir.Node,
    cell: Cell,
    states: tuple[int, ...],
    results: Sequence[ir.Value],
    lengths: Lengths | None,
    entries: dict[ir.Value, list[Entry]],
) -> _Match | str:
    """A cell of a loop as a layer, or why it cannot be one."""
    body, sequence = node.attributes["body"].as_graph(), step.inputs[0]
    assert sequence is not None
    hidden = states[cell.hidden]
    twins = _twins(node, hidden, results, lengths)
    apart = apart_of(body, (*states, *twins), hidden, results)
    if isinstance(apart, str):
        return apart
    held = _held(body, (hidden, *twins), apart, lengths)
    if held is None:
        return "what it gives behind the end of a sequence is another state"
    is_whole = _is_length(node.inputs[0], sequence, entries)
    if not is_whole and not _ends_with_longest(node.inputs[0], sequence, lengths, entries):
        return "it does not run over the whole of its sequence"
    begun = [node.inputs[2 + k] for k in states]
    if lengths is not None and not all(is_zero(state) for state in begun):
        return "what the states of an empty sequence are depends on who runs it"
    if lengths is not None and not apart.is_all(node) and not is_row_wise(body):
        return "what it does behind the end of one sequence may reach another one"
    if any(v.dtype != sequence.dtype for v in begun if v is not None):
        return "its states have another type than its input"
    if any(_spreads(v, sequence) for v in begun):
        return "its states are of another number of sequences than its input"
    if held and not is_whole:
        return "it repeats outputs, and ends with the longest sequence"
    return _Match(sequence, cell, states, apart, None if lengths is None else lengths.value, not is_whole, held)


def _twins(node: ir.Node, hidden: int, results: Sequence[ir.Value], lengths: Lengths | None) -> tuple[int, ...]:
    """What else the loop carries that is always the same as the output: Keras keeps the last one by itself."""
    if lengths is None:
        return ()
    others = [k for k in range(len(node.inputs) - 2) if k != hidden and results[k] is results[hidden]]
    return tuple(k for k in others if is_zero(node.inputs[2 + k]) and is_zero(node.inputs[2 + hidden]))


def _held(body: ir.Graph, same: Sequence[int], apart: Apart, lengths: Lengths | None) -> tuple[int, ...] | None:
    """Which of what is collected is the output before, behind the end; None where one is yet another thing there."""
    if lengths is None:
        return ()
    carried = len(body.inputs) - 2
    kept = {k: lengths.kept[carried + k] for k in apart.collected}
    befores = [body.inputs[2 + k] for k in same]
    held = tuple(k for k, value in kept.items() if value in befores)
    return held if all(k in held or is_zero(value) for k, value in kept.items()) else None


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


def _write(weights: CellWeights, node: ir.Node, match: _Match, entries: dict[ir.Value, list[Entry]]) -> None:
    edit, cell, sequence = weights.edit, match.cell, match.sequence
    given: list[ir.Value | None] = [sequence, weights.matrix(cell.inputs), weights.matrix(cell.recurrent)]
    order = [match.states[k] for k in ([cell.hidden, 1 - cell.hidden] if len(match.states) == 2 else [0])]
    starts = [_start(edit, node, node.inputs[2 + k]) for k in order]
    lengths = None if match.lengths is None else lengths_within(edit, node, match.lengths, sequence)
    given += [weights.biases(cell, node), lengths, *starts]
    if cell.peepholes:
        given.append(weights.peepholes(cell))
    while given[-1] is None:
        given.pop()
    made = edit.node(cell.kind, given, _attributes(cell), like=node, outputs=1 + len(order))
    graph_of(node).insert_before(node, made)
    steps, batch, _ = dims(sequence) or (None, None, None)
    for output, shape in zip(
        made.outputs, ([steps, 1, batch, cell.units], *[[1, batch, cell.units]] * 2), strict=False
    ):
        output.type = ir.TensorType(sequence.dtype) if sequence.dtype is not None else None
        output.shape = ir.Shape(shape)

    def squeezed(place: int, axis: int, shape: Sequence[int | str | None]) -> ir.Value:
        return edit.before(node, "Squeeze", [made.outputs[place], edit.ints([axis], "axis")], shape=shape)

    places = {k: 1 + place for place, k in enumerate(order)}
    for k in match.apart.states:
        if node.outputs[k].uses() or node.outputs[k].is_graph_output():
            replace(node.outputs[k], squeezed(places.get(k, 1), 0, [batch, cell.units]))
    for k in match.apart.collected:
        output = node.outputs[len(node.inputs) - 2 + k]
        if not output.uses() and not output.is_graph_output():
            continue
        rows = squeezed(0, 1, [steps, batch, cell.units])
        if k in match.held and lengths is not None:
            replace(output, held_rows(edit, node, rows, made.outputs[1], lengths))
        elif match.is_cut:
            replace_rows(edit, node, output, rows, entries)
        else:
            replace(output, rows)
    without(edit, node, match.apart, lambda: squeezed(0, 1, [steps, batch, cell.units]))


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
