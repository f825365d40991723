"""Sums that add nothing up, as gradients of broadcast operators have them."""

from __future__ import annotations

import onnx_ir as ir

from isthmus.hub.free_dims import made_up
from isthmus.hub.model import ONNX, Hub
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.edit import attribute, dims, replace


class DropEmptySums(HubPass):
    """Take the operand for a sum of it over computed axes that is given the operand's own shape again.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 4] x, float[n, 4] y) => (float[n, 4] z)
        <int64 none = {-1}, int64[1] first = {0}, float[a, b] total>
        {
            s = Shape (x)
            e = Equal (s, none)
            p = NonZero (e)
            axes = Squeeze (p, first)
            total = ReduceSum <keepdims = 0, noop_with_empty_axes = 1> (x, axes)
            r = Reshape (total, s)
            z = Add (r, y)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 4] x, float[n, 4] y) => (float[n, 4] z)
        {
            z = Add (x, y)
        }

    The result of a Reshape has as many elements as what it takes: no axis that was summed over had more than one.
    """

    requires = ("known ranks",)

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        modified = False
        for node in list(hub.graph.all_nodes()):
            if node.op_type != "Reshape" or node.domain != ONNX:
                continue
            total = None if node.inputs[0] is None else node.inputs[0].producer()
            if total is None or total.op_type != "ReduceSum" or total.domain != ONNX:
                continue
            reason = _drop(hub.model, node, total)
            if reason is None:
                modified = True
            else:
                reasons.decline(node, reason)
        return PassResult(hub, modified, tuple(reasons.found))


def _drop(model: ir.Model, reshaped: ir.Node, total: ir.Node) -> str | None:
    """Do it, or say why not."""
    operand, result = total.inputs[0], reshaped.outputs[0]
    shape, invented = dims(operand), made_up(model)
    if operand is None or shape is None or dims(result) != shape:
        return "its shape is another than that of what is summed"
    if any(dim is None or dim in invented for dim in shape):
        return "a free dimension of what is summed has no name"
    if result.is_graph_output():
        return "the output of the graph is made by it"
    if attribute(reshaped, "allowzero", 0) != 0 or 0 in shape:
        return "it may have no elements"
    replace(result, operand)
    return None
