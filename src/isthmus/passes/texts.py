"""Gathers of text, for a runtime that copies one text of each row only."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from isthmus.hub.model import ONNX, Hub
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.edit import Editor, attribute, dims, rank


class GatherTextByRow(HubPass):
    """Gather whole rows of text by GatherND.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (string[9, 3] x, int64[m] i) => (string[m, 3] y)
        {
            y = Gather <axis = 0> (x, i)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (string[9, 3] x, int64[m] i) => (string[m, 3] y) <int64[1] axes = {-1}>
        {
            p = Unsqueeze (i, axes)
            y = GatherND (x, p)
        }

    Along another axis than the first it stands between Transposes. ONNX Runtime's Gather (seen in 1.31) copies the
    first text of what stands at an index, and leaves the others empty.
    """

    requires = ("known ranks", "types of every operand")

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        edit = Editor(hub.model)
        modified = False
        for node in list(hub.graph.all_nodes()):
            if node.op_type != "Gather" or node.domain != ONNX or not _is_text(node.inputs[0]):
                continue
            reason = _gather_rows(edit, node)
            if reason is None:
                modified = True
            else:
                reasons.decline(node, reason)
        return PassResult(hub, modified, tuple(reasons.found))


def _is_text(value: ir.Value | None) -> bool:
    return value is not None and value.dtype == ir.DataType.STRING


def _gather_rows(edit: Editor, node: ir.Node) -> str | None:
    """Do it, or say why not."""
    x, indices = node.inputs[:2]
    count, own = rank(x), rank(indices)
    if x is None or indices is None or count is None or own is None:
        return "a rank is not known"
    axis = int(attribute(node, "axis", 0)) % count
    if axis == count - 1:
        return "it copies one text for each index"
    others = [a for a in range(count) if a != axis]
    shape, asked = dims(x), dims(indices)
    assert shape is not None and asked is not None
    if indices.dtype != ir.DataType.INT64:
        indices = edit.before(node, "Cast", [indices], {"to": int(ir.DataType.INT64)}, dtype=ir.DataType.INT64)
    places = edit.before(node, "Unsqueeze", [indices, edit.ints([-1], "axes")], shape=[*asked, 1])
    if axis == 0:
        _become(node, "GatherND", [x, places])
        return None
    rest = [shape[a] for a in others]
    first = edit.before(node, "Transpose", [x], {"perm": [axis, *others]}, shape=[shape[axis], *rest])
    found = edit.before(node, "GatherND", [first, places], shape=[*asked, *rest])
    back = [*range(own, own + axis), *range(own), *range(own + axis, own + count - 1)]
    _become(node, "Transpose", [found])
    node.attributes["perm"] = ir.AttrInt64s("perm", back)
    return None


def _become(node: ir.Node, op: str, inputs: Sequence[ir.Value]) -> None:
    """Another operator, with the same output."""
    node.op_type = op
    node.attributes.clear()
    node.resize_inputs(len(inputs))
    for index, value in enumerate(inputs):
        node.replace_input_with(index, value)
