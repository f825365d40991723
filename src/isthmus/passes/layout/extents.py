"""Operators whose operands list something by axis: slices, pads, repeats, shapes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import onnx_ir as ir

from isthmus.passes.edit import attribute, dims, known, rank, replace
from isthmus.passes.layout.axes import NO_SPACE, spatial_rank
from isthmus.passes.layout.elementwise import fit
from isthmus.passes.layout.hands import Hands
from isthmus.passes.layout.perms import Move, axis_after
from isthmus.passes.layout.plan import Plan, Rule


def _with_axes(node: ir.Node, axes_input: int, listing: int, move: Move) -> Plan | str:
    """Slice and Pad: only the list of axes is rewritten, or written where there was none."""
    axes = spatial_rank(node)
    if axes is None:
        return NO_SPACE
    given = node.inputs[axes_input] if len(node.inputs) > axes_input else None
    listed = known(given)
    if given is not None and listed is None:
        return "its axes are computed at run time"
    length = dims(node.inputs[listing])
    if listed is None and (length is None or not isinstance(length[0], int)):
        return "how many axes it lists is not known"
    count = axes if length is None or not isinstance(length[0], int) else length[0]
    sources = range(count if node.op_type == "Slice" else axes) if listed is None else listed.reshape(-1).tolist()

    def apply(hands: Hands, node: ir.Node) -> None:
        where = [axis_after(axis, move.perm(axes)) for axis in sources]
        node.resize_inputs(max(len(node.inputs), axes_input + 1))
        node.replace_input_with(axes_input, hands.edit.ints(where, f"{node.name}_axes"))

    return Plan((0,), (0,), apply)


def _slice(node: ir.Node, move: Move) -> Plan | str:
    return _with_axes(node, 3, 1, move)


def _pad(node: ir.Node, move: Move) -> Plan | str:
    return _with_axes(node, 3, 1, move)


def _tile(node: ir.Node, move: Move) -> Plan | str:
    axes = spatial_rank(node)
    if axes is None:
        return NO_SPACE
    return Plan((0,), (0,), lambda hands, node: hands.picked(node, 1, move.perm(axes)))


def _expand(node: ir.Node, move: Move) -> Plan | str:
    """Where the shape has the result's rank it is permuted; a smaller operand is brought to where it broadcasts."""
    full, axes, length = rank(node.outputs[0]), rank(node.inputs[0]), dims(node.inputs[1])
    if full is None or axes is None or full < 3 or length != (full,):
        return NO_SPACE

    def apply(hands: Hands, node: ir.Node) -> None:
        hands.picked(node, 1, move.perm(full))
        if axes < full:
            fit(hands, node, 0, move.perm(full))

    return Plan((0,) if axes == full else (), (0,), apply)


def _shape(node: ir.Node, move: Move) -> Plan | str:
    """The shape is taken of the permuted value and put in the source's order again."""
    axes = spatial_rank(node)
    if axes is None:
        return NO_SPACE
    start, end = attribute(node, "start", 0), attribute(node, "end", axes)
    order = [axis_after(axis, move.perm(axes)) for axis in range(axes)[slice(start, end)]]

    def apply(hands: Hands, node: ir.Node) -> None:
        for name in ("start", "end"):
            node.attributes.pop(name, None)
        out = node.outputs[0]
        indices = hands.edit.ints(order, f"{node.name}_order")
        pick = hands.edit.node("Gather", [out, indices], {"axis": 0}, like=node, wish=f"{out.name}_picked")
        assert isinstance(node.graph, ir.Graph)
        node.graph.insert_after(node, pick)
        picked = pick.outputs[0]
        picked.type, picked.shape = out.type, ir.Shape([len(order)])
        replace(out, picked)
        pick.replace_input_with(0, out)
        out.shape = ir.Shape([axes])

    return Plan((0,), (), apply)


def _size(node: ir.Node, _move: Move) -> Plan | str:
    return NO_SPACE if spatial_rank(node) is None else Plan((0,), ())


RULES: Mapping[str, Rule] = MappingProxyType(
    {"Slice": _slice, "Pad": _pad, "Tile": _tile, "Expand": _expand, "Shape": _shape, "Size": _size}
)
