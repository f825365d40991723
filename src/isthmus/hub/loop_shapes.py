"""Shapes of what loops carry and collect, of which onnx's inference keeps nothing.

What a Loop carries is assumed to have the shape that it begins with, and an axis of it is kept where the body proves
it: whoever gives what it was given as long, always gives what it began with.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple

import onnx_ir as ir

from isthmus.hub.free_dims import is_open, made_up
from isthmus.hub.sizes import entries_of


class _Carried(NamedTuple):
    """A value that a Loop carries: what it begins with, what the body is given, what it returns, what is left."""

    initial: ir.Value
    state: ir.Value
    returned: ir.Value
    final: ir.Value


def settle_loops(model: ir.Model, infer: Callable[[Collection[ir.Value]], object]) -> set[ir.Value]:
    """Shapes of what loops carry and give, in place; the outputs of loops whose shape says more than before.

    ``infer`` runs the inference on the whole model, by the shapes that the bodies' inputs have and by those of the
    values that it is told.
    """
    _settle_states(model, infer)
    return _settle_outputs(model)


def _settle_outputs(model: ir.Model) -> set[ir.Value]:
    """What loops give, by what their bodies return; the outputs whose shape says more than before."""
    won = set[ir.Value]()
    invented = made_up(model)
    for loop in _loops(model):
        for initial, _, returned, final in _carried(loop):
            won |= _refine(final, _agreed(initial.shape, returned.shape, invented), invented)
        for index, element in _collected(loop):
            if element.shape is not None:
                won |= _refine(loop.outputs[index], ir.Shape([_rounds(loop), *element.shape]), invented)
    return won


def _settle_states(model: ir.Model, infer: Callable[[Collection[ir.Value]], object]) -> None:
    """Assume of every state what it may be, and ever less, until the bodies prove what is assumed."""
    invented = made_up(model)
    carried = [item for loop in _loops(model) for item in _carried(loop)]
    floors = {item.state: item.state.shape for item in carried}
    before = _shapes(model)
    assumed: dict[ir.Value, ir.Shape] = {}
    open_ones = carried
    while True:
        found = {item.state: shape for item in open_ones if (shape := _better(item, invented)) is not None}
        open_ones = [item for item in open_ones if item.state not in found]
        assumed |= found
        if not assumed:
            break
        for state, shape in assumed.items():
            state.shape = shape
        _infer_through(model, infer)
        if any(_better(item, invented) for item in open_ones):
            continue  # what a loop within a loop begins with may hang on what was assumed
        proven = {
            item.state: _proven(assumed[item.state], item, floors[item.state])
            for item in carried
            if item.state in assumed
        }
        if proven == assumed:
            return
        _restore(before)  # nothing that follows from a wrong assumption may stay
        open_ones = []
        assumed = {state: shape for state, shape in proven.items() if shape is not None and shape != floors[state]}
    infer(())  # also where there is no loop: onnx sees more by what it has found before


def _infer_through(model: ir.Model, infer: Callable[[Collection[ir.Value]], object]) -> None:
    """Infer, past what loops within loops give."""
    told = set[ir.Value]()
    infer(told)
    while more := _settle_outputs(model) - told:
        told |= more
        infer(told)


def _loops(model: ir.Model) -> Iterator[ir.Node]:
    return (node for graph in model.graphs() for node in graph if node.op_type == "Loop")


def _carried(loop: ir.Node) -> Iterator[_Carried]:
    body = loop.attributes["body"].as_graph()
    for index, initial in enumerate(loop.inputs[2:]):
        if initial is not None and isinstance(initial.type, ir.TensorType):
            body.inputs[index + 2].type = body.inputs[index + 2].type or initial.type
            yield _Carried(initial, body.inputs[index + 2], body.outputs[index + 1], loop.outputs[index])


def _collected(loop: ir.Node) -> Iterator[tuple[int, ir.Value]]:
    """The outputs of a Loop that collect what the body gives in each round, and what that is."""
    first = len(loop.inputs) - 2
    body = loop.attributes["body"].as_graph()
    return ((index, body.outputs[index + 1]) for index in range(first, len(loop.outputs)))


def _rounds(loop: ir.Node) -> int | ir.SymbolicDim | None:
    """How often the body runs, where that is a size that has a name or is known, and nothing ends the loop before."""
    body = loop.attributes["body"].as_graph()
    trips, going = loop.inputs[0], body.outputs[0]
    while (node := going.producer()) is not None and node.op_type == "Identity" and node.inputs[0] is not None:
        going = node.inputs[0]
    goes_on = loop.inputs[1] is None or _is_true(loop.inputs[1])
    if not goes_on or not (going is body.inputs[1] or _is_true(going)):
        return None
    entries = entries_of(trips)
    if entries is None or len(entries) != 1:
        return None
    return max(entries[0], 0) if isinstance(entries[0], int) else entries[0]


def _is_true(value: ir.Value) -> bool:
    fixed = value.const_value if not value.is_graph_input() else None
    return fixed is not None and bool(fixed.numpy().all())


def _better(item: _Carried, invented: Collection[str]) -> ir.Shape | None:
    """What may be assumed of a state, where that is more than is known of it."""
    shape = _assumption(item.state.shape, item.initial.shape, invented)
    return None if shape == item.state.shape else shape


def _assumption(own: ir.Shape | None, initial: ir.Shape | None, invented: Collection[str]) -> ir.Shape | None:
    """What a state may be at most: as long on each axis as what it begins with, where nothing better is known."""
    if initial is None or (own is not None and len(own) != len(initial)):
        return own
    dims = own if own is not None else ir.Shape([None] * len(initial))
    return ir.Shape(
        [
            first if _is_open(dim, invented) and not _is_open(first, invented) else dim
            for dim, first in zip(dims, initial, strict=True)
        ]
    )


def _proven(assumed: ir.Shape, item: _Carried, floor: ir.Shape | None) -> ir.Shape | None:
    """What a state begins with and the body returns of what was assumed; elsewhere what was known before."""
    first, returned = item.initial.shape, item.returned.shape
    if first is None or returned is None or not len(first) == len(returned) == len(assumed):
        return floor
    known = floor if floor is not None else ir.Shape([None] * len(assumed))
    return ir.Shape([a if a == f == r else k for a, f, r, k in zip(assumed, first, returned, known, strict=True)])


def _agreed(one: ir.Shape | None, other: ir.Shape | None, invented: Collection[str]) -> ir.Shape | None:
    """What holds whether the body ran or not."""
    if one is None or other is None or len(one) != len(other):
        return None
    return ir.Shape([a if a == b and not _is_open(a, invented) else None for a, b in zip(one, other, strict=True)])


def _refine(value: ir.Value, shape: ir.Shape | None, invented: Collection[str]) -> set[ir.Value]:
    """Fill what is open in the shape of ``value``; that value, where something was."""
    better = _assumption(value.shape, shape, invented)
    if better is None or better == value.shape:
        return set()
    value.shape = better
    return {value}


def _is_open(dim: int | ir.SymbolicDim | None, invented: Collection[str]) -> bool:
    return isinstance(dim, ir.SymbolicDim) and is_open(dim, invented)


def _shapes(model: ir.Model) -> Mapping[ir.Value, tuple[ir.Shape | None, ir.TypeProtocol | None]]:
    """What is known of every value now."""
    values = (v for graph in model.graphs() for v in (*graph.inputs, *(o for node in graph for o in node.outputs)))
    return {value: (value.shape, value.type) for value in values}


def _restore(before: Mapping[ir.Value, tuple[ir.Shape | None, ir.TypeProtocol | None]]) -> None:
    for value, (shape, kind) in before.items():
        value.shape, value.type = shape, kind
