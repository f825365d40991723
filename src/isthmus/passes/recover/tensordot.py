"""A dense layer over the last axis of a tensor of any rank, spelled out over a matrix."""

from __future__ import annotations

import onnx_ir as ir

from isthmus.hub.model import ONNX, Hub
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.dims import Entry, entries_of
from isthmus.passes.edit import Editor, dims, known, replace
from isthmus.passes.recover.match import is_weight, made_by, remove_unused


class RecoverDense(HubPass):
    """Multiply the last axis without making a matrix of the others first.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, t, 2] x) => (float[n, t, 1] y)
        <float[2, 1] w = {1, 2}, int64[2] flat = {-1, 2}, int64[1] one = {1}>
        {
            m = Reshape (x, flat)
            p = MatMul (m, w)
            s = Shape <start = 0, end = 2> (x)
            t = Concat <axis = 0> (s, one)
            y = Reshape (p, t)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, t, 2] x) => (float[n, t, 1] y) <float[2, 1] w = {1, 2}>
        {
            y = MatMul (x, w)
        }
    """

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        edit = Editor(hub.model)
        entries = entries_of(hub.model)
        modified = False
        for node in list(hub.graph.all_nodes()):
            if node.graph is None or node.domain != ONNX or node.op_type != "Reshape":
                continue
            product = made_by(node.inputs[0], "MatMul")
            flat = None if product is None else made_by(product.inputs[0], "Reshape")
            if product is None or flat is None or product.graph is not node.graph:
                continue
            reason = _decline(node, product, flat, entries)
            if reason is not None:
                reasons.decline(node, reason)
                continue
            value = flat.inputs[0]
            made = edit.before(
                node, "MatMul", [value, product.inputs[1]], dtype=node.outputs[0].dtype, shape=dims(node.outputs[0])
            )
            replace(node.outputs[0], made)
            remove_unused(node)
            modified = True
        return PassResult(hub, modified, tuple(reasons.found))


def _decline(node: ir.Node, product: ir.Node, flat: ir.Node, entries: dict[ir.Value, list[Entry]]) -> str | None:
    """Why the three nodes are no dense layer, or None where they are."""
    before, between, weight = dims(flat.inputs[0]), dims(flat.outputs[0]), dims(product.inputs[1])
    if before is None or between is None or weight is None or not is_weight(product.inputs[1]):
        return "it is no product with a weight"
    if len(weight) != 2 or len(between) != 2 or len(before) < 2 or before[-1] != weight[0]:
        return "the matrix before it is not one of the last axis"
    wanted = [*before[:-1], weight[1]]
    target = node.inputs[1]
    listed = known(target)
    found: list[Entry] | None = entries.get(target) if target is not None else None
    if listed is not None:
        found = [int(d) for d in listed]
    if found is None or len(found) != len(wanted):
        return "the Reshape behind it does not restore the shape"
    open_axes = [a for a, (entry, size) in enumerate(zip(found, wanted, strict=True)) if entry in (None, -1)]
    same = all(e == s for a, (e, s) in enumerate(zip(found, wanted, strict=True)) if a not in open_axes)
    if not same or len(open_axes) > (0 if None in found else 1) or None in wanted:
        return "the Reshape behind it does not restore the shape"
    return None
