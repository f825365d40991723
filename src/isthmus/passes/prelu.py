"""PRelu with one slope a channel, as PyTorch has it."""

from __future__ import annotations

import onnx_ir as ir

from isthmus.hub.model import LAYER, ONNX, Hub
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.edit import Editor, dims, graph_of, replace


class FusePRelu(HubPass):
    """Let a PRelu take the weight that a Reshape puts at its channels.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 2, h] x) => (float[n, 2, h] y) <float[2] w = {1, 2}, int64[3] at = {1, -1, 1}>
        {
            s = Reshape (w, at)
            y = PRelu (x, s)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26, "isthmus.layer": 1]>
        net (float[n, 2, h] x) => (float[n, 2, h] y) <float[2] w = {1, 2}>
        {
            y = isthmus.layer.PReLU (x, w)
        }
    """

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        edit = Editor(hub.model)
        modified = False
        for node in list(hub.graph.all_nodes()):
            if node.domain != ONNX or node.op_type != "PRelu":
                continue
            weight = _weight(node)
            if weight is None:
                reasons.decline(node, "its slope is no weight with an entry a channel")
                continue
            fused = edit.node("PReLU", [node.inputs[0], weight], like=node, wish=f"{node.name}_layer", domain=LAYER)
            fused.outputs[0].type = node.outputs[0].type
            graph_of(node).insert_before(node, fused)
            replace(node.outputs[0], fused.outputs[0])
            graph_of(node).remove(node, safe=True)
            modified = True
        if modified:
            hub.model.graph.opset_imports[LAYER] = 1
        return PassResult(hub, modified, tuple(reasons.found))


def _weight(node: ir.Node) -> ir.Value | None:
    """The weight of rank 1 whose entries stand at axis 1, or that is one number."""
    slope, shape = node.inputs[1], dims(node.inputs[0])
    maker = slope.producer() if slope is not None else None
    if maker is None or (maker.domain, maker.op_type) != (ONNX, "Reshape") or shape is None or len(shape) < 2:
        return None
    value, placed = maker.inputs[0], dims(slope)
    if value is None or value.const_value is None or value.is_graph_input() or len(value.const_value.shape) != 1:
        return None
    count = value.const_value.size
    if placed is None or len(placed) > len(shape):
        return None
    aligned = (1,) * (len(shape) - len(placed)) + placed
    wanted = (1, count, *[1] * (len(shape) - 2))
    return value if aligned == wanted and (count == 1 or shape[1] == count) else None
