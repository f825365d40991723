"""Transposes that move nothing in memory, and Reshapes that follow one another."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from isthmus.hub.model import ONNX, Hub
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.edit import Editor, attribute, dims, known

_RESHAPING = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})


class SimplifyMoves(HubPass):
    """Write a Transpose that only moves axes of size one as a Reshape, and several Reshapes in a row as the last.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 1, 3, 4] x) => (float[n, 12] y) <int64[2] flat = {-1, 12}>
        {
            a = Transpose <perm = [0, 2, 3, 1]> (x)
            y = Reshape (a, flat)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 1, 3, 4] x) => (float[n, 12] y) <int64[2] flat = {-1, 12}>
        {
            y = Reshape (x, flat)
        }
    """

    requires = ("known shapes, up to one free dimension",)

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        edit = Editor(hub.model)
        modified = False
        for node in list(hub.graph.all_nodes()):
            if node.domain != ONNX:
                continue
            if node.op_type == "Transpose":
                reason = _as_reshape(edit, node)
                if reason is None:
                    modified = True
                else:
                    reasons.decline(node, reason)
            if node.op_type == "Reshape":
                modified |= _skip_reshapes(node)
        return PassResult(hub, modified, tuple(reasons.found))


def _as_reshape(edit: Editor, node: ir.Node) -> str | None:
    """Do it, or say why not."""
    shape, perm = dims(node.inputs[0]), attribute(node, "perm")
    if shape is None or perm is None:
        return "its operand's rank is not known"
    staying = [axis for axis in perm if shape[axis] != 1]
    if staying != sorted(staying):
        return "it moves elements"
    target = [size if isinstance(size := shape[axis], int) else -1 for axis in perm]
    if target.count(-1) > 1 or 0 in target:
        return "more than one of its axes is free, or it is empty"
    node.op_type = "Reshape"
    node.attributes.pop("perm", None)
    node.resize_inputs(2)
    node.replace_input_with(1, edit.constant(np.asarray(target, np.int64), f"{node.name}_shape"))
    return None


def _skip_reshapes(node: ir.Node) -> bool:
    """Reshape what was there before other Reshapes: the last target decides, if it copies no axis."""
    target = known(node.inputs[1])
    value = node.inputs[0]
    producer = None if value is None else value.producer()
    if target is None or (target == 0).any() or producer is None:
        return False
    if producer.op_type not in _RESHAPING or producer.domain != ONNX:
        return False
    node.replace_input_with(0, producer.inputs[0])
    return True
