"""Operators with an axis attribute or operand, which moves with the layout."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import onnx_ir as ir

from isthmus.passes.edit import attribute, known, rank
from isthmus.passes.layout.hands import Hands
from isthmus.passes.layout.perms import Move, axis_after
from isthmus.passes.layout.plan import Apply, Plan, Rule

NO_SPACE = "its operand has no spatial axes, or its rank is not known"
_REDUCE = """
    ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
"""
_DEFAULT_AXIS = {"Softmax": -1, "LogSoftmax": -1, "Hardmax": -1, "LpNormalization": -1, "TopK": -1}


def spatial_rank(node: ir.Node) -> int | None:
    """The rank of the first operand, where that is 3 or more."""
    axes = rank(node.inputs[0]) if node.inputs else None
    return axes if axes is not None and axes >= 3 else None


def _move_axis(axes: int, default: int, move: Move) -> Plan:
    def apply(_hands: Hands, node: ir.Node) -> None:
        axis = axis_after(attribute(node, "axis", default), move.perm(axes))
        node.attributes["axis"] = ir.AttrInt64("axis", axis)

    return Plan((0,), (0,), apply)


def _axis(node: ir.Node, move: Move) -> Plan | str:
    """Softmax, Hardmax…: one operand, one attribute."""
    axes = spatial_rank(node)
    if axes is None:
        return NO_SPACE
    plan = _move_axis(axes, _DEFAULT_AXIS.get(node.op_type, 0), move)
    return Plan(plan.inputs, tuple(range(len(node.outputs))), plan.apply)


def _all_along(node: ir.Node, move: Move) -> Plan | str:
    """Concat, GatherElements, ScatterElements: every operand has the full rank."""
    axes = spatial_rank(node)
    if axes is None or any(rank(v) != axes for v in node.inputs):
        return NO_SPACE
    return Plan(tuple(range(len(node.inputs))), (0,), _move_axis(axes, 0, move).apply)


def _cumulative(node: ir.Node, move: Move) -> Plan | str:
    """CumSum, CumProd: the axis is an operand."""
    axes, axis = spatial_rank(node), known(node.inputs[1])
    if axes is None:
        return NO_SPACE
    if axis is None:
        return "its axis is computed at run time"

    def apply(hands: Hands, node: ir.Node) -> None:
        moved_axis = np.full_like(axis, axis_after(int(axis.reshape(-1)[0]), move.perm(axes)))
        node.replace_input_with(1, hands.edit.constant(moved_axis, f"{node.name}_axis"))

    return Plan((0,), (0,), apply)


def _reduce(node: ir.Node, move: Move) -> Plan | str:
    """Reduce*: with the axes kept, the result is moved too; without, it depends on which are left."""
    axes = spatial_rank(node)
    if axes is None:
        return NO_SPACE
    given = node.inputs[1] if len(node.inputs) > 1 else None
    listed = known(given)
    if given is not None and listed is None:
        return "its axes are computed at run time"
    reduced = [] if listed is None else [int(a) % axes for a in listed.reshape(-1)]
    if not reduced and attribute(node, "noop_with_empty_axes", 0):
        return Plan((0,), (0,))
    reduced = reduced or list(range(axes))

    def apply(hands: Hands, node: ir.Node) -> None:
        where = [axis_after(axis, move.perm(axes)) for axis in reduced]
        node.resize_inputs(2)
        node.replace_input_with(1, hands.edit.ints(where, f"{node.name}_axes"))

    if attribute(node, "keepdims", 1):
        return Plan((0,), (0,), apply)
    return _dropping(axes, reduced, apply, move)


def _dropping(axes: int, dropped: list[int], apply: Apply, move: Move) -> Plan | str:
    """A plan for a node that gives its operand without some axes: what is left must be in one of the two orders."""
    kept = [axis for axis in move.perm(axes) if axis not in dropped]
    as_source = sorted(kept)
    if kept == as_source:
        return Plan((0,), (), apply)
    if len(kept) >= 3 and [as_source[i] for i in move.perm(len(kept))] == kept:
        return Plan((0,), (0,), apply)
    return "the axes that are left would be in an order of their own"


def _arg(node: ir.Node, move: Move) -> Plan | str:
    """ArgMax, ArgMin."""
    axes = spatial_rank(node)
    if axes is None:
        return NO_SPACE
    plan = _move_axis(axes, 0, move)
    if attribute(node, "keepdims", 1):
        return plan
    return _dropping(axes, [attribute(node, "axis", 0) % axes], plan.apply, move)


def _gather(node: ir.Node, move: Move) -> Plan | str:
    """A scalar index drops the axis, a list keeps it; more indices would add axes."""
    axes, indices = spatial_rank(node), rank(node.inputs[1])
    if axes is None:
        return NO_SPACE
    plan = _move_axis(axes, 0, move)
    if indices == 1:
        return plan
    if indices == 0:
        return _dropping(axes, [attribute(node, "axis", 0) % axes], plan.apply, move)
    return "its indices add axes"


def _split(node: ir.Node, move: Move) -> Plan | str:
    axes = spatial_rank(node)
    if axes is None:
        return NO_SPACE
    return Plan((0,), tuple(range(len(node.outputs))), _move_axis(axes, 0, move).apply)


def _squeeze(node: ir.Node, move: Move) -> Plan | str:
    axes = spatial_rank(node)
    if axes is None:
        return NO_SPACE
    given = node.inputs[1] if len(node.inputs) > 1 else None
    listed = known(given)
    if listed is None:
        return "its axes are not given"
    dropped = [int(a) % axes for a in listed.reshape(-1)]

    def apply(hands: Hands, node: ir.Node) -> None:
        where = [axis_after(axis, move.perm(axes)) for axis in dropped]
        node.replace_input_with(1, hands.edit.ints(where, f"{node.name}_axes"))

    return _dropping(axes, dropped, apply, move)


def _unsqueeze(node: ir.Node, move: Move) -> Plan | str:
    """The axes that were there must be, in the new layout, in one of the two orders."""
    axes, listed = rank(node.inputs[0]), known(node.inputs[1])
    if axes is None or listed is None:
        return "its operand's rank or its axes are not known"
    full = axes + listed.size
    if full < 3:
        return NO_SPACE
    new = [int(a) % full for a in listed.reshape(-1)]
    as_source = [axis for axis in range(full) if axis not in new]
    kept = [axis for axis in move.perm(full) if axis not in new]

    def apply(hands: Hands, node: ir.Node) -> None:
        where = sorted(axis_after(axis, move.perm(full)) for axis in new)
        node.replace_input_with(1, hands.edit.ints(where, f"{node.name}_axes"))

    if kept == as_source:
        return Plan((), (0,), apply)
    if axes >= 3 and [as_source[i] for i in move.perm(axes)] == kept:
        return Plan((0,), (0,), apply)
    return "the axes that it adds do not stand where either layout could have them"


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax", "LpNormalization", "TopK"), _axis),
        **dict.fromkeys(("Concat", "GatherElements", "ScatterElements"), _all_along),
        **dict.fromkeys(("CumSum", "CumProd"), _cumulative),
        **dict.fromkeys(_REDUCE.split(), _reduce),
        **dict.fromkeys(("ArgMax", "ArgMin"), _arg),
        "Gather": _gather,
        "Split": _split,
        "Squeeze": _squeeze,
        "Unsqueeze": _unsqueeze,
    }
)
