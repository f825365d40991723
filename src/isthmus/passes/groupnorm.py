"""Group normalization, as exporters write it: an InstanceNormalization between two Reshapes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from isthmus.hub.model import ONNX, Hub
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.dims import Entry, entries_of
from isthmus.passes.edit import Editor, attribute, dims, graph_of, known, replace

_EPSILON = 9.999999747378752e-06


@dataclass(frozen=True)
class _Match:
    """The operand, and the nodes from the first Reshape to the last of Reshape, Mul, Add."""

    value: ir.Value
    groups: int
    channels: int
    chain: tuple[ir.Node, ...]
    gamma: ir.Value | None
    beta: ir.Value | None


class FuseGroupNorm(HubPass):
    """Write Reshape, InstanceNormalization, Reshape (and Mul, Add by channel) as one GroupNormalization.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 4, h, w] x) => (float[n, 4, h, w] y)
        <int64[3] split = {0, 2, -1}, float[2] one = {1, 1}, float[2] zero = {0, 0}, float[4, 1, 1] g = {1, 2, 3, 4}>
        {
            a = Reshape (x, split)
            b = InstanceNormalization (a, one, zero)
            s = Shape (x)
            c = Reshape (b, s)
            d = Mul (c, g)
            y = Relu (d)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 4, h, w] x) => (float[n, 4, h, w] y)
        <int64[1] flat = {-1}, float[4, 1, 1] g = {1, 2, 3, 4}, float[4] beta = {0, 0, 0, 0}>
        {
            gamma = Reshape (g, flat)
            d = GroupNormalization <num_groups = 2, epsilon = 9.9999997e-06> (x, gamma, beta)
            y = Relu (d)
        }

    It then follows the layout of its neighbours, which the Reshapes could not.
    """

    requires = ("known channels",)

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        edit = Editor(hub.model)
        entries = entries_of(hub.model)
        modified = False
        for node in list(hub.graph.all_nodes()):
            if node.op_type != "InstanceNormalization" or node.domain != ONNX:
                continue
            match = _match(node, entries)
            if isinstance(match, str):
                reasons.decline(node, match)
            else:
                _fuse(edit, node, match)
                modified = True
        return PassResult(hub, modified, tuple(reasons.found))


def _match(node: ir.Node, entries: dict[ir.Value, list[Entry]]) -> _Match | str:
    """What is fused, or why nothing is."""
    before = node.inputs[0].producer() if node.inputs[0] is not None else None
    after = _only_user(node.outputs[0])
    if before is None or before.op_type != "Reshape" or after is None or after.op_type != "Reshape":
        return "it is not between two Reshapes"
    value, split = before.inputs[0], dims(before.outputs[0])
    shape = dims(value)
    if value is None or shape is None or split is None or len(shape) < 3 or len(split) != 3:
        return "the Reshape before it does not split channels into groups"
    channels, groups = shape[1], split[1]
    if not isinstance(channels, int) or not isinstance(groups, int) or groups < 1 or channels % groups:
        return "its channels or groups are not known"
    spec = known(before.inputs[1])
    if split[0] != shape[0] and (spec is None or spec[0] != 0):
        return "the Reshape before it does not keep the batch"
    if not _restores(after, shape, entries):
        return "the Reshape behind it does not restore the shape"
    scale, bias = known(node.inputs[1]), known(node.inputs[2])
    if scale is None or bias is None or (scale != 1).any() or bias.any():
        return "it scales or shifts whole groups"
    chain, gamma, beta = [before, node, after], None, None
    following = _only_user(after.outputs[0])
    if following is not None and following.op_type == "Mul":
        gamma = _by_channel(following, after.outputs[0], channels, len(shape))
        if gamma is not None:
            chain.append(following)
            following = _only_user(following.outputs[0])
    if following is not None and following.op_type == "Add":
        beta = _by_channel(following, chain[-1].outputs[0], channels, len(shape))
        if beta is not None:
            chain.append(following)
    return _Match(value, groups, channels, tuple(chain), gamma, beta)


def _only_user(value: ir.Value) -> ir.Node | None:
    users = list(value.uses())
    return users[0].node if len(users) == 1 and not value.is_graph_output() else None


def _restores(node: ir.Node, shape: tuple[Entry, ...], entries: dict[ir.Value, list[Entry]]) -> bool:
    target = node.inputs[1]
    listed = known(target)
    found: list[Entry] | None = entries.get(target) if target is not None else None
    if listed is not None:
        found = [int(d) for d in listed]
    if found is None or len(found) != len(shape) or None in found:
        return False
    free = 0
    for axis, (entry, size) in enumerate(zip(found, shape, strict=True)):
        if entry == size or (axis == 0 and entry == 0):
            continue
        if entry != -1:
            return False
        free += 1
    return free <= 1


def _by_channel(node: ir.Node, value: ir.Value, channels: int, axes: int) -> ir.Value | None:
    """The other operand, where it is a constant with one entry a channel."""
    others = [v for v in node.inputs if v is not value]
    if len(others) != 1 or others[0] is None or known(others[0]) is None:
        return None
    shape = dims(others[0]) or ()
    wanted: tuple[int, ...] = (channels, *[1] * (axes - 2))
    return others[0] if shape in (wanted, (1, *wanted)) else None


def _fuse(edit: Editor, node: ir.Node, match: _Match) -> None:
    last = match.chain[-1]
    dtype = match.value.dtype
    assert dtype is not None

    def parameter(value: ir.Value | None, fill: int, what: str) -> ir.Value:
        if value is None:
            return edit.constant(np.full(match.channels, fill, dtype.numpy()), f"{node.name}_{what}")
        flat = edit.ints([-1], f"{node.name}_flat")
        return edit.before(last, "Reshape", [value, flat], shape=[match.channels])

    gamma, beta = parameter(match.gamma, 1, "gamma"), parameter(match.beta, 0, "beta")
    epsilon = attribute(node, "epsilon", _EPSILON)
    made = edit.before(
        last,
        "GroupNormalization",
        [match.value, gamma, beta],
        {"num_groups": match.groups, "epsilon": epsilon},
        shape=dims(match.value),
    )
    replace(last.outputs[0], made)
    for gone in reversed(match.chain):
        if not any(value.uses() for value in gone.outputs):
            graph_of(gone).remove(gone, safe=True)
