"""The bias that is added behind a convolution is the convolution's."""

from __future__ import annotations

import onnx_ir as ir

from isthmus.hub.model import ONNX, Hub
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.edit import attribute, dims, graph_of, rank, replace
from isthmus.passes.weights import View, reshape, store, view_of


class FuseConvBias(HubPass):
    """Hand an Add of one number a channel to the Conv or ConvTranspose before it, past a Transpose between them.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 1, 8, 8] x) => (float[n, 2, 8, 8] y)
        <float[2, 1, 1, 1] w = {1, 2}, float[2] b = {3, 4}, int64[3] target = {2, 1, 1}>
        {
            a = Conv (x, w)
            c = Reshape (b, target)
            y = Add (a, c)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 1, 8, 8] x) => (float[n, 2, 8, 8] y) <float[2, 1, 1, 1] w = {1, 2}, float[2] b = {3, 4}>
        {
            y = Conv (x, w, b)
        }
    """

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        modified = False
        for node in list(hub.graph.all_nodes()):
            if node.op_type not in ("Conv", "ConvTranspose") or node.domain != ONNX:
                continue
            reason = _fuse(node)
            if reason is None:
                modified = True
            else:
                reasons.decline(node, reason)
        return PassResult(hub, modified, tuple(reasons.found))


def _fuse(node: ir.Node) -> str | None:
    """Do it, or say why not."""
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        return "it has a bias"
    out = node.outputs[0]
    turn = _only_user(out, "Transpose")
    last = out if turn is None else turn.outputs[0]
    add = _only_user(last, "Add")
    if add is None:
        return "no sum is all that is made of it"
    given = next((value for value in add.inputs if value is not last), None)
    view = view_of(given)
    if view is None or add.graph is not node.graph:
        return "what is added is no weight"
    weight, shape, image = view.weight, dims(given) or (), rank(out)
    channels = (dims(out) or (None, None))[1]
    axis = 1 if turn is None else _axis_of_channels(turn, image or 0)
    if image is None or not isinstance(channels, int) or _channels(shape, image, axis) != channels:
        return "what is added is not one number a channel"
    if len(weight.uses()) != 1 or any(len(step.outputs[0].uses()) != 1 for step in view.nodes):
        return "others use what is added"
    _flatten(view, channels)
    node.resize_inputs(3)
    node.replace_input_with(2, weight)
    replace(add.outputs[0], last)
    graph_of(add).remove(add, safe=True)
    return None


def _only_user(value: ir.Value, op: str) -> ir.Node | None:
    """The one node that uses ``value``, if it is such an operator of one graph."""
    users = list(value.uses())
    if len(users) != 1 or value.is_graph_output():
        return None
    user = users[0].node
    return user if user.op_type == op and user.domain == ONNX else None


def _axis_of_channels(turn: ir.Node, image: int) -> int:
    """Where a Transpose puts the second axis."""
    perm = tuple(attribute(turn, "perm") or reversed(range(image)))
    return perm.index(1)


def _channels(shape: tuple[int | str | None, ...], image: int, axis: int) -> int | str | None:
    """How many channels a shape that broadcasts against an image has, if all its other axes are of size one."""
    padded = (1,) * (image - len(shape)) + tuple(shape)
    others = (*padded[:axis], *padded[axis + 1 :])
    return padded[axis] if len(padded) == image and all(d == 1 for d in others) else None


def _flatten(view: View, channels: int) -> None:
    if view.nodes:
        store(view)
    if dims(view.weight) != (channels,):
        reshape(view.weight, [channels])
