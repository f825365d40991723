"""Group normalization, spelled out by moments over a tensor whose channels are split."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from isthmus.hub.model import ONNX, Hub
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.edit import Editor, dims, replace
from isthmus.passes.recover.match import filled, is_weight, made_by, remove_unused, turned
from isthmus.passes.recover.moments import Normalized, normalized_by


@dataclass(frozen=True)
class _Match:
    """The operand, the axis of its channels, the number of groups, and the two weights by channel."""

    value: ir.Value
    axis: int
    groups: int
    channels: int
    scale: ir.Value | None
    bias: ir.Value | None


class RecoverGroupNorm(HubPass):
    """Write a normalization within groups of channels as GroupNormalization.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 3, 4] x) => (float[n, 3, 4] y)
        <int64[4] split = {-1, 3, 2, 2}, int64[3] whole = {-1, 3, 4}, int64[2] axes = {1, 3}, float epsilon = {0.25},
         float[4] gamma = {1, 2, 3, 4}, int64[4] spread = {1, 1, 2, 2}>
        {
            a = Reshape (x, split)
            mean = ReduceMean <keepdims = 1> (a, axes)
            d = Sub (a, mean)
            q = Mul (d, d)
            v = ReduceMean <keepdims = 1> (q, axes)
            b = Add (v, epsilon)
            c = Sqrt (b)
            r = Reciprocal (c)
            e = Mul (d, r)
            g = Reshape (gamma, spread)
            f = Mul (e, g)
            y = Reshape (f, whole)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 3, 4] x) => (float[n, 3, 4] y)
        <float[4] gamma = {1, 2, 3, 4}, float[4] beta = {0, 0, 0, 0}>
        {
            a = Transpose <perm = [0, 2, 1]> (x)
            b = GroupNormalization <num_groups = 2, epsilon = 0.25> (a, gamma, beta)
            y = Transpose <perm = [0, 2, 1]> (b)
        }
    """

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        edit = Editor(hub.model)
        modified = False
        for node in list(hub.graph.all_nodes()):
            if node.graph is None or node.domain != ONNX or node.op_type not in ("Add", "Mul", "Div"):
                continue
            found = normalized_by(node)
            if found is None or made_by(found.moments.value, "Reshape") is None:
                continue
            users = list(found.last.outputs[0].uses())
            if len(users) != 1 or found.last.outputs[0].is_graph_output() or users[0].node.op_type != "Reshape":
                reasons.decline(node, "no Reshape restores its shape")
                continue
            match = _match(found, users[0].node)
            if isinstance(match, str):
                reasons.decline(node, match)
                continue
            _write(edit, users[0].node, match, found.moments.epsilon)
            modified = True
        return PassResult(hub, modified, tuple(reasons.found))


def _match(found: Normalized, last: ir.Node) -> _Match | str:
    split = made_by(found.moments.value, "Reshape")
    image = None if split is None else split.inputs[0]
    shape, parts, after = dims(image), dims(found.moments.value), dims(last.outputs[0])
    if image is None or shape is None or parts is None or after is None or len(parts) != len(shape) + 1:
        return "the Reshape before it does not split one axis"
    kept = [axis for axis in range(1, len(parts)) if axis not in found.moments.axes]
    if found.moments.mean is None or 0 in found.moments.axes or len(kept) != 1:
        return "it does not normalize all but the batch and the groups"
    (axis,) = kept
    groups, each = parts[axis], parts[axis + 1] if axis + 1 < len(parts) else None
    if not isinstance(groups, int) or not isinstance(each, int) or shape[axis] != groups * each:
        return "its groups are not known"
    if parts[1:axis] != shape[1:axis] or parts[axis + 2 :] != shape[axis + 1 :] or after[1:] != shape[1:]:
        return "the Reshapes around it change other axes as well"
    given = [_by_channel(v, axis, len(parts), groups, each) for v in (found.scale, found.bias)]
    if any((ours is None) != (theirs is None) for ours, theirs in zip(given, (found.scale, found.bias), strict=True)):
        return "its scale or bias is no weight by channel"
    return _Match(image, axis, groups, groups * each, *given)


def _by_channel(value: ir.Value | None, axis: int, rank: int, groups: int, each: int) -> ir.Value | None:
    """The weight of one entry a channel behind a scale or a bias that is spread over the groups."""
    source = made_by(value, "Reshape")
    held = None if source is None else source.inputs[0]
    shape = dims(value) or ()
    wanted = [1] * rank
    wanted[axis : axis + 2] = [groups, each]
    if held is None or not is_weight(held) or dims(held) != (groups * each,):
        return None
    return held if list(shape) == wanted[rank - len(shape) :] and len(shape) >= rank - axis else None


def _write(edit: Editor, last: ir.Node, match: _Match, epsilon: float) -> None:
    rank = len(dims(match.value) or ())
    forth = [0, match.axis, *(a for a in range(1, rank) if a != match.axis)]
    back = [forth.index(a) for a in range(rank)]
    image = turned(edit, last, match.value, forth)
    name = last.name or "group_norm"
    scale = match.scale or filled(edit, match.value, match.channels, 1.0, f"{name}_scale")
    bias = match.bias or filled(edit, match.value, match.channels, 0.0, f"{name}_bias")
    attributes = {"num_groups": match.groups, "epsilon": epsilon}
    made = edit.before(last, "GroupNormalization", [image, scale, bias], attributes, shape=dims(image))
    replace(last.outputs[0], turned(edit, last, made, back))
    remove_unused(last)
