"""Reshape and Flatten: which of them may run on memory in the other layout, and to what target shape."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import onnx_ir as ir

from isthmus.passes.edit import attribute, dims, known
from isthmus.passes.layout.axes import NO_SPACE, spatial_rank
from isthmus.passes.layout.hands import Hands
from isthmus.passes.layout.perms import Move, Perm, is_identity
from isthmus.passes.layout.plan import Apply, Plan, Rule

Dims = tuple[int | str | None, ...]


def _reshape(node: ir.Node, move: Move) -> Plan | str:
    """Four kinds: spatial axes regrouped, order the same anyway, one axis split before a Transpose, merged after."""
    given, made = dims(node.inputs[0]), dims(node.outputs[0])
    if given is None or made is None:
        return "the rank of its operand or result is not known"
    if 0 in given or 0 in made:
        return "it has no elements"
    spec = _spec(node)
    keeps_batch = _batch_kept(node, given, made, spec)
    in_spatial, out_spatial = len(given) >= 3, len(made) >= 3
    if in_spatial and out_spatial and keeps_batch and _channels_kept(given, made, move):
        return _planned(node, (0,), (0,), move.perm(len(made)), keeps_batch)
    same_in, same_out = in_spatial and _order_is_same(given, move), out_spatial and _order_is_same(made, move)
    if same_in or same_out:
        perm = move.perm(len(made)) if same_out else tuple(range(len(made)))
        return _planned(node, (0,) if same_in else (), (0,) if same_out else (), perm, keeps_batch)
    if in_spatial and len(made) > len(given) and _all_transposes(node.outputs[0]):
        groups = _groups(given, made, keeps_batch)
        if groups is None:
            return "it mixes axes"
        perm = _grouped(groups, move)
        return _planned(node, (0,), (0,), perm, keeps_batch, {node.outputs[0]: perm})
    if out_spatial and len(given) > len(made) and _comes_from_transpose(node):
        groups = _groups(made, given, keeps_batch)
        value = node.inputs[0]
        if groups is None or value is None:
            return "it mixes axes"
        return _planned(node, (0,), (0,), move.perm(len(made)), keeps_batch, {value: _grouped(groups, move)})
    return "it mixes channels with other axes"


def _spec(node: ir.Node) -> list[int] | None:
    array = known(node.inputs[1])
    return None if array is None else [int(d) for d in array.reshape(-1)]


def _batch_kept(node: ir.Node, given: Dims, made: Dims, spec: list[int] | None) -> bool:
    """Whether the first axis is provably left as it is."""
    if not given or not made:
        return False
    if given[0] is not None and given[0] == made[0]:
        return True
    if spec is None:
        return False
    if spec[0] == 0 and not attribute(node, "allowzero", 0):
        return True
    rest_in, rest_out = given[1:], made[1:]
    known_rests = all(isinstance(d, int) for d in (*rest_in, *rest_out))
    return known_rests and _product(rest_in) == _product(rest_out)


def _product(shape: Sequence[int | str | None]) -> int:
    return math.prod(d for d in shape if isinstance(d, int))


def _channels_kept(given: Dims, made: Dims, move: Move) -> bool:
    """Whether the axis of the channels, with the batch, is left as it is: other axes are regrouped."""
    return isinstance(given[move.channels], int) and given[move.channels] == made[move.channels]


def _order_is_same(shape: Dims, move: Move) -> bool:
    """Whether moving the channels leaves the elements in their order."""
    spatial = shape[2:] if move.channels == 1 else shape[1:-1]
    return shape[move.channels] == 1 or all(d == 1 for d in spatial)


def _planned(
    node: ir.Node,
    inputs: tuple[int, ...],
    outputs: tuple[int, ...],
    perm: Perm,
    keeps_batch: bool,
    inner: Mapping[ir.Value, Perm] | None = None,
) -> Plan | str:
    apply = _retarget(node, perm, keeps_batch)
    return apply if isinstance(apply, str) else Plan(inputs, outputs, apply, inner=inner or {})


def _retarget(node: ir.Node, perm: Perm, keeps_batch: bool) -> Apply | str:
    """Write the target shape in the order of ``perm``; zeros that copy an axis are resolved on the way."""
    made, spec = dims(node.outputs[0]) or (), _spec(node)
    entries: list[int | None] = []
    for axis, size in enumerate(made):
        if isinstance(size, int):
            entries.append(size)
        elif axis == 0 and keeps_batch:
            entries.append(0)
        elif spec is not None and spec[axis] == -1:
            entries.append(-1)
        else:
            entries.append(None)
    if entries.count(None) == 1 and -1 not in entries:
        entries[entries.index(None)] = -1
    if None in entries:
        if spec is not None or not _never_zero(node.inputs[1]):
            return "more than one axis of its target is free"
        return lambda hands, node: hands.picked(node, 1, perm) if not is_identity(perm) else None
    if entries and 0 in entries and perm[0] != 0:
        return "its first axis would move"
    target = [entries[axis] for axis in perm]

    def apply(hands: Hands, node: ir.Node) -> None:
        node.attributes.pop("allowzero", None)
        node.replace_input_with(1, hands.edit.constant(np.asarray(target, np.int64), f"{node.name}_shape"))

    return apply


def _never_zero(shape: ir.Value | None) -> bool:
    """Whether a computed shape has no constant zero, which would copy the axis at its place."""
    producer = None if shape is None else shape.producer()
    if producer is None or producer.op_type not in ("Concat", "Shape"):
        return False
    return all((array := known(v)) is None or array.all() for v in producer.inputs)


def _all_transposes(value: ir.Value) -> bool:
    users = value.consumers()
    return bool(users) and not value.is_graph_output() and all(u.op_type == "Transpose" for u in users)


def _comes_from_transpose(node: ir.Node) -> bool:
    value = node.inputs[0]
    producer = None if value is None else value.producer()
    alone = value is not None and len(value.uses()) == 1 and not value.is_graph_output()
    return alone and producer is not None and producer.op_type == "Transpose"


def _groups(coarse: Dims, fine: Dims, keeps_batch: bool) -> list[list[int]] | None:
    """For each coarse axis the fine axes it consists of; None where an axis is cut across."""
    groups: list[list[int]] = []
    at = 0
    for axis, size in enumerate(coarse):
        group = [at]
        if at >= len(fine):
            return None
        first = fine[at]
        if isinstance(size, int) and isinstance(first, int):
            product = first
            while product < size and at + 1 < len(fine):
                at += 1
                step = fine[at]
                if not isinstance(step, int):
                    return None
                group.append(at)
                product *= step
            if product != size:
                return None
        elif not ((size is not None and size == first) or (axis == 0 and keeps_batch)):
            return None
        groups.append(group)
        at += 1
    if any(fine[rest] != 1 for rest in range(at, len(fine))):
        return None
    groups[-1].extend(range(at, len(fine)))
    return groups


def _grouped(groups: list[list[int]], move: Move) -> Perm:
    """The order of the fine axes when the channels of the coarse ones are moved."""
    return tuple(axis for coarse in move.perm(len(groups)) for axis in groups[coarse])


def _flatten(node: ir.Node, move: Move) -> Plan | str:
    """Only where there is nothing to reorder: one channel, or spatial axes of size one."""
    axes = spatial_rank(node)
    if axes is None:
        return NO_SPACE
    if attribute(node, "axis", 1) in (0, 1, -axes, 1 - axes) and _order_is_same(dims(node.inputs[0]) or (), move):
        return Plan((0,), ())
    return "it mixes channels with spatial axes"


RULES: Mapping[str, Rule] = MappingProxyType({"Reshape": _reshape, "Flatten": _flatten})
