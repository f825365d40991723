"""Taking a cell out of a loop that does more: what is the cell's alone, and the loop without it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from isthmus.passes.edit import Editor, dims, graph_of, replace
from isthmus.passes.recover.match import made_by, plain, remove_unused


@dataclass(frozen=True)
class Apart:
    """What a cell is in the body of a loop."""

    states: tuple[int, ...]
    """Which of what the loop carries is the cell's."""
    collected: tuple[int, ...]
    """Which of what the loop collects is the cell's output."""
    given: frozenset[ir.Value]
    """The cell's output of this step, chosen and copied or not: all that the rest of the body may see of it."""
    own: frozenset[ir.Node]
    """The nodes that are the cell's, and those that choose and copy its results."""

    def is_all(self, node: ir.Node) -> bool:
        """Whether the loop does nothing else."""
        return len(self.states) + len(self.collected) == len(node.outputs)


def apart_of(body: ir.Graph, states: tuple[int, ...], hidden: int, results: Sequence[ir.Value]) -> Apart | str:
    """The cell with these states of a loop whose outputs are ``results``, behind what chooses and copies them.

    Why it cannot go apart, where the loop sees more of it than its output: ``results[hidden]``.
    """
    carried = len(body.inputs) - 2
    befores = [body.inputs[2 + k] for k in states]
    collected = tuple(k for k, value in enumerate(results[carried:]) if value is results[hidden])
    places = [*states, *(carried + k for k in collected)]
    wrapped = {k: _wrapped(body.outputs[1 + k], results[k]) for k in places}
    given = {results[hidden], *(v for k in places if results[k] is results[hidden] for v in wrapped[k])}
    own = _dependent(body, befores) & _ancestors([results[k] for k in states])
    own |= {node for values in wrapped.values() for v in values if (node := v.producer()) is not None}
    for value in (*befores, *(output for node in own for output in node.outputs)):
        if value in given:
            continue
        ends = {place - 1 for place, output in enumerate(body.outputs) if output is value}
        if not ends <= set(states) or any(use.node not in own for use in value.uses()):
            return "something else in the loop sees its states"
    return Apart(states, collected, frozenset(given), frozenset(own))


def _wrapped(value: ir.Value, result: ir.Value) -> list[ir.Value]:
    """An output of a body, and what else chooses and copies ``result`` to make it."""
    found = []
    while value is not result:
        found.append(value)
        node = value.producer()
        assert node is not None
        options = node.inputs[1:] if node.op_type == "Where" else node.inputs
        value = next(v for v in options if v is not None and _leads_to(v, result))
    return found


def _leads_to(value: ir.Value, result: ir.Value) -> bool:
    chosen = made_by(plain(value), "Where")
    inner = [] if chosen is None else [v for v in chosen.inputs[1:] if v is not None]
    return any(plain(v) is result for v in (value, *inner))


def _dependent(body: ir.Graph, values: Collection[ir.Value]) -> set[ir.Node]:
    """The nodes of a body that are computed from ``values``."""
    reached, found = set(values), set()
    for node in body:
        if any(value in reached for value in node.inputs):
            found.add(node)
            reached |= set(node.outputs)
    return found


def _ancestors(values: Sequence[ir.Value]) -> set[ir.Node]:
    """The nodes that ``values`` are computed by."""
    found: set[ir.Node] = set()
    pending = [node for value in values if (node := value.producer()) is not None]
    while pending:
        node = pending.pop()
        if node not in found:
            found.add(node)
            pending += [made for value in node.inputs if value is not None and (made := value.producer()) is not None]
    return found


def unread(node: ir.Node) -> Apart | None:
    """What a loop carries that neither its body nor anybody behind it looks at."""
    body = node.attributes["body"].as_graph()
    states = tuple(
        k
        for k, value in enumerate(body.inputs[2:])
        if not any(v.uses() or v.is_graph_output() for v in (value, node.outputs[k]))
    )
    return Apart(states, (), frozenset(), frozenset()) if 0 < len(states) < len(node.outputs) else None


def without(edit: Editor, node: ir.Node, apart: Apart, rows: Callable[[], ir.Value] | None = None) -> None:
    """Take a cell away from its loop, which is given the cell's output of all steps, ``rows``, for what it needs.

    What the loop gave of the cell must be replaced before. A loop that nothing is left of is gone.
    """
    if apart.is_all(node):
        remove_unused(node)
        return
    body = node.attributes["body"].as_graph()
    carried = len(node.inputs) - 2
    states = [k for k in range(carried) if k not in apart.states]
    scans = [k for k in range(len(node.outputs) - carried) if k not in apart.collected]
    kept = [*states, *(carried + k for k in scans)]
    _give(edit, body, apart, kept, rows)
    ends = [body.outputs[0], *(body.outputs[1 + k] for k in kept)]
    body.outputs.clear()
    body.outputs.extend(ends)
    for inner in reversed(list(body)):
        if inner in apart.own:
            body.remove(inner, safe=True)
    for k in sorted(apart.states, reverse=True):
        del body.inputs[2 + k]
    given = [*node.inputs[:2], *(node.inputs[2 + k] for k in states)]
    _again(edit, node, body, given, [node.outputs[k] for k in kept])


def _give(
    edit: Editor, body: ir.Graph, apart: Apart, kept: Sequence[int], rows: Callable[[], ir.Value] | None
) -> None:
    """Let what is left in the body take the cell's output of this step out of that of all steps."""
    users = [(use.node, use.idx) for value in apart.given for use in value.uses() if use.node not in apart.own]
    ends = [1 + k for k in kept if body.outputs[1 + k] in apart.given]
    if rows is None or not (users or ends):
        return
    every = rows()
    first = body[0]
    step = edit.before(first, "Gather", [every, body.inputs[0]], {"axis": 0}, shape=(dims(every) or ())[1:])
    for user, index in users:
        user.replace_input_with(index, step)
    for place in ends:
        copy = edit.node("Identity", [step], like=first)
        copy.outputs[0].type, copy.outputs[0].shape = step.type, step.shape
        body.append(copy)
        body.outputs[place] = copy.outputs[0]


def _again(
    edit: Editor, node: ir.Node, body: ir.Graph, given: Sequence[ir.Value | None], outputs: Sequence[ir.Value]
) -> None:
    """The loop with fewer inputs and outputs."""
    graph = graph_of(node)
    del node.attributes["body"]
    made = edit.node("Loop", given, {"body": body}, like=node, outputs=len(outputs))
    graph.insert_before(node, made)
    for old, new in zip(outputs, made.outputs, strict=True):
        new.type, new.shape = old.type, old.shape
        replace(old, new)
    graph.remove(node, safe=True)
