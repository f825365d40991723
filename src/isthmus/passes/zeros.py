"""Zeros around an image that a MaxPool sees, kept apart from the margins that it does not see."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from isthmus.hub.model import HUB_OPSET, ONNX, Hub
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.edit import Editor, attribute, known, rank

_AXES_SINCE = 18
"""The opset from which a Pad may list its axes."""

_AXES = 3


class KeepZeros(HubPass):
    """Let a Pad of zeros before a MaxPool list its axes, so that it stays one.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 3, 4, 4] x) => (float[n, 3, 2, 2] y) <int64[8] pads = {0, 0, 1, 1, 0, 0, 1, 1}>
        {
            p = Pad (x, pads)
            y = MaxPool <kernel_shape = [3, 3], strides = [2, 2]> (p)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 3, 4, 4] x) => (float[n, 3, 2, 2] y)
        <int64[8] pads = {0, 0, 1, 1, 0, 0, 1, 1}, int64[4] pads_axes = {0, 1, 2, 3}>
        {
            p = Pad (x, pads, , pads_axes)
            y = MaxPool <kernel_shape = [3, 3], strides = [2, 2]> (p)
        }

    ONNX Runtime (seen in 1.31) makes the zeros pads of the MaxPool, which count as less than any number: negative
    values at the rim come out where zero is the largest. It does so only where no axes are listed. Before opset 18
    they cannot be, and the zeros become negative ones, which it leaves alone too.
    """

    requires = ("known ranks",)

    def __init__(self, version: int = HUB_OPSET) -> None:
        self._version = version

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        edit = Editor(hub.model)
        modified = False
        for node in list(hub.graph.all_nodes()):
            if node.op_type != "Pad" or node.domain != ONNX or not _is_pooled(node):
                continue
            reason = self._keep(edit, node)
            if reason is None:
                modified = True
            else:
                reasons.decline(node, reason)
        return PassResult(hub, modified, tuple(reasons.found))

    def _keep(self, edit: Editor, node: ir.Node) -> str | None:
        """Do it, or say why not."""
        image, pads, value, axes = (*node.inputs, None, None)[:4]
        count, dtype = rank(image), None if image is None else image.dtype
        filled = known(value)
        if attribute(node, "mode", "constant") != "constant" or axes is not None:
            return "it is not a Pad that would be fused"
        if value is not None and (filled is None or filled.any()):
            return "it pads with something else"
        if image is None or pads is None or count is None or dtype is None:
            return "the rank or type of its image is not known"
        if self._version >= _AXES_SINCE:
            node.resize_inputs(_AXES + 1)
            node.replace_input_with(_AXES, edit.ints(range(count), f"{pads.name}_axes"))
        elif dtype.is_floating_point():
            node.resize_inputs(_AXES)
            node.replace_input_with(2, edit.constant(np.array(-0.0, dtype.numpy()), f"{pads.name}_zero"))
        else:
            return "integers have no negative zero"
        return None


def _is_pooled(node: ir.Node) -> bool:
    """Whether a MaxPool takes what it gives, past a Cast."""
    users = [user for user, _ in node.outputs[0].uses()]
    if len(users) == 1 and users[0].op_type == "Cast":
        users = [user for user, _ in users[0].outputs[0].uses()]
    return any(user.op_type == "MaxPool" and user.domain == ONNX for user in users)
