"""Pads of all axes, for a runtime that does not read of which axes they are."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from isthmus.hub.model import ONNX, Hub
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.edit import Editor, dims, known, rank


class ListAllPads(HubPass):
    """Give a Pad the pads of every axis, where it lists the axes that it pads.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 3, 4] x) => (float[n, m, 4] y) <int64[2] pads = {1, 2}, int64[1] axes = {1}>
        {
            y = Pad (x, pads, , axes)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 3, 4] x) => (float[n, m, 4] y) <int64[6] pads_all = {0, 1, 0, 0, 2, 0}>
        {
            y = Pad (x, pads_all)
        }

    ONNX Runtime (seen in 1.31) moves Transposes through a Pad as if its pads were always of all axes, and then fails.
    """

    requires = ("known ranks",)

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        edit = Editor(hub.model)
        modified = False
        for node in list(hub.graph.all_nodes()):
            if node.op_type != "Pad" or node.domain != ONNX or len(node.inputs) < 4 or node.inputs[3] is None:
                continue
            reason = _list_all(edit, node)
            if reason is None:
                modified = True
            else:
                reasons.decline(node, reason)
        return PassResult(hub, modified, tuple(reasons.found))


def _list_all(edit: Editor, node: ir.Node) -> str | None:
    """Do it, or say why not."""
    image, pads = node.inputs[0], node.inputs[1]
    count, axes = rank(image), known(node.inputs[3])
    if count is None or axes is None or pads is None:
        return "its rank or its axes are not known"
    places = [int(axis) % count for axis in axes.reshape(-1)]
    places += [place + count for place in places]
    listed = known(pads)
    wish = f"{pads.name}_all"
    if listed is not None:
        whole = np.zeros(2 * count, np.int64)
        whole[places] = listed
        every = edit.constant(whole, wish)
    elif dims(pads) == (len(places),):
        nothing = edit.ints([0] * (2 * count), f"{pads.name}_none")
        where = edit.ints(places, f"{pads.name}_places")
        every = edit.before(node, "ScatterElements", [nothing, where, pads], shape=[2 * count], wish=wish)
    else:
        return "how many axes it lists is not known"
    left = pads, node.inputs[3]
    node.replace_input_with(1, every)
    node.resize_inputs(3 if node.inputs[2] is not None else 2)
    for value in left:
        if value is not None and value.const_value is not None and not value.uses() and not value.is_graph_output():
            edit.model.graph.initializers.pop(value.name or "", None)
    return None
