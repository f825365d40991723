"""The rewrite that a solved layout asks for: plans applied, shapes permuted, Transposes where layouts meet."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from isthmus.hub.model import CHANNELS_LAST
from isthmus.passes.edit import PERM, Editor, attribute, dims
from isthmus.passes.layout.assign import Layouts, turned_perm
from isthmus.passes.layout.hands import Hands
from isthmus.passes.layout.perms import TO_LAST, inverse, is_identity, moved, spelled, weight_perm
from isthmus.passes.layout.problem import SOURCE


def rewrite(model: ir.Model, layouts: Layouts, last: Sequence[bool], *, trainable: bool) -> bool:
    """Carry out the solution ``last``, one truth a choice. Returns whether anything changed."""
    hands = Hands(Editor(model), tied=trainable, move=layouts.move)
    changed = False
    for node in layouts.turns:
        changed |= _turn(layouts, node, last)
    for node, plan in layouts.plans.items():
        if last[layouts.choice_of[node]]:
            changed = True
            plan.apply(hands, node)
            for index in plan.weights:
                weight = node.inputs[index]
                hands.reorder(node, index, weight_perm(len(dims(weight) or ())))
    values = [v for v in layouts.makers if last[layouts.makers[v]]]
    for value in values:
        _permute_shape(layouts, value)
    _meet(layouts, last, hands)
    hands.settle()
    if layouts.move is TO_LAST and any(plan.anchor for plan in layouts.plans.values()):
        model.opset_imports.setdefault(CHANNELS_LAST, 1)
    return changed or bool(values)


def _turn(layouts: Layouts, node: ir.Node, last: Sequence[bool]) -> bool:
    sides = last[layouts.uses[node, 0]], last[layouts.makers[node.outputs[0]]]
    if not any(sides):
        return False
    perm = turned_perm(layouts, node, *sides)
    if is_identity(perm):
        node.op_type = "Identity"
        node.attributes.pop("perm", None)
    else:
        node.attributes["perm"] = ir.AttrInt64s("perm", perm)
    return True


def _permute_shape(layouts: Layouts, value: ir.Value) -> None:
    perm = layouts.perm(value)
    shape = dims(value)
    if shape is not None:
        value.shape = ir.Shape(moved(shape, perm))
    if not value.is_graph_input():
        value.metadata_props[PERM] = spelled(perm)


def _meet(layouts: Layouts, last: Sequence[bool], hands: Hands) -> None:
    """Every operand that is used in another layout than it is made in goes through one shared Transpose."""
    values = dict.fromkeys([*layouts.makers, *(v for n, i in layouts.uses if (v := n.inputs[i]) is not None)])
    for value in values:
        constant = value.const_value is not None and value.producer() is None and not value.is_graph_input()
        made_last = last[layouts.maker(value)]
        perm = layouts.perm(value)
        for node, index in value.uses():
            wants_last = last[layouts.user(node, index)]
            if wants_last == made_last:
                continue
            if constant:
                hands.reorder(node, index, perm)
            else:
                node.replace_input_with(index, hands.turned(value, perm if wants_last else inverse(perm)))
        if value.is_graph_output() and last[SOURCE] != made_last:
            _deliver(layouts, hands, value, inverse(perm) if made_last else perm)


def _deliver(layouts: Layouts, hands: Hands, value: ir.Value, perm: tuple[int, ...]) -> None:
    """A graph output in the layout that it must have, under its own name."""
    graph = value.graph
    assert isinstance(graph, ir.Graph)
    name = value.name
    value.name = hands.edit.names.fresh(f"{name}_{layouts.move.word}")
    out = hands.turned(value, perm)
    for i, output in enumerate(graph.outputs):
        if output is value:
            graph.outputs[i] = out
    out.name = name
    out.doc_string = value.doc_string


def transposes(model: ir.Model) -> list[tuple[int, ...]]:
    """The permutations of every Transpose, subgraphs included."""
    nodes = (node for node in model.graph.all_nodes() if node.op_type == "Transpose")
    return [tuple(attribute(node, "perm") or ()) for node in nodes]
