"""A product with a weight and a sum with a bias are one operator where the target has a layer of that kind."""

from __future__ import annotations

import onnx_ir as ir

from isthmus.hub.model import LAYER, ONNX, Hub
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.edit import Editor, attribute, dims, graph_of, replace


class FuseLinear(HubPass):
    """Join a MatMul or Gemm with a weight, the weight's Transpose and the Add of a bias.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 3] x) => (float[n, 2] y) <float[2, 3] w = {1, 2, 3, 4, 5, 6}, float[2] b = {1, 2}>
        {
            t = Transpose <perm = [1, 0]> (w)
            p = MatMul (x, t)
            y = Add (p, b)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26, "isthmus.layer": 1]>
        net (float[n, 3] x) => (float[n, 2] y) <float[2, 3] w = {1, 2, 3, 4, 5, 6}, float[2] b = {1, 2}>
        {
            y = isthmus.layer.Linear <transposed = 0> (x, w, b)
        }

    ``transposed`` says that the weight is stored as (inputs, outputs).
    """

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        edit = Editor(hub.model)
        modified = False
        for node in list(hub.graph.all_nodes()):
            if node.graph is None or node.domain != ONNX or node.op_type not in ("MatMul", "Gemm"):
                continue
            found = _weight(node)
            if found is None:
                reasons.decline(node, "it is no product of a weight of rank 2")
                continue
            bias, last = _bias(node)
            if bias is False:
                reasons.decline(node, "what it adds is no bias")
                continue
            _fuse(edit, node, last, (*found, bias if isinstance(bias, ir.Value) else None))
            modified = True
        if modified:
            hub.model.graph.opset_imports[LAYER] = 1
        return PassResult(hub, modified, tuple(reasons.found))


def _weight(node: ir.Node) -> tuple[ir.Value, bool] | None:
    """The weight, and whether it is stored as (inputs, outputs)."""
    value = node.inputs[1]
    if value is None or value.dtype is None or not value.dtype.is_floating_point():
        return None
    turned = True
    if node.op_type == "Gemm":
        if (
            attribute(node, "transA", 0)
            or attribute(node, "alpha", 1.0) != 1.0
            or attribute(node, "beta", 1.0) != 1.0
        ):
            return None
        turned = not attribute(node, "transB", 0)
    maker = value.producer()
    if maker is not None and maker.op_type == "Transpose" and maker.domain == ONNX:
        if attribute(maker, "perm") not in (None, (1, 0), [1, 0]) or maker.inputs[0] is None:
            return None
        value, turned = maker.inputs[0], not turned
    return (value, turned) if _is_weight(value, 2) else None


def _is_weight(value: ir.Value | None, rank: int) -> bool:
    if value is None or value.const_value is None or value.is_graph_input():
        return False
    return len(value.const_value.shape) == rank


def _bias(node: ir.Node) -> tuple[ir.Value | bool | None, ir.Node]:
    """The bias (None without, False where another thing is added by a Gemm), and the last node of the pattern."""
    width = (dims(node.outputs[0]) or (None,))[-1]
    if node.op_type == "Gemm":
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        if bias is None:
            return None, node
        return (bias if _is_bias(bias, width) else False), node
    out = node.outputs[0]
    users = list(out.uses())
    if len(users) != 1 or out.is_graph_output() or users[0][0].op_type != "Add" or users[0][0].domain != ONNX:
        return None, node
    add, index = users[0]
    other = add.inputs[1 - index]
    if add.graph is node.graph and other is not None and _is_bias(other, width):
        return other, add
    return None, node


def _is_bias(value: ir.Value, width: int | str | None) -> bool:
    return _is_weight(value, 1) and isinstance(width, int) and dims(value) == (width,)


def _fuse(edit: Editor, node: ir.Node, last: ir.Node, found: tuple[ir.Value, bool, ir.Value | None]) -> None:
    weight, turned, bias = found
    operands = [node.inputs[0], weight, *([bias] if bias is not None else [])]
    attributes = {"transposed": int(turned)}
    fused = edit.node("Linear", operands, attributes, like=node, wish=f"{last.outputs[0].name}_linear", domain=LAYER)
    graph = graph_of(last)
    graph.insert_before(last, fused)
    fused.outputs[0].type = last.outputs[0].type
    replace(last.outputs[0], fused.outputs[0])
    graph.remove(last, safe=True)
    if last is not node:
        graph.remove(node, safe=True)
