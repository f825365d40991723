"""The only entry of an axis that was just added."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import onnx_ir as ir

from isthmus.hub.model import ONNX, Hub
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.cleanup import bypass
from isthmus.passes.edit import attribute, dims, known
from isthmus.passes.recover.match import made_by, remove_unused


class TakeOnly(HubPass):
    """Take what an axis of one entry was made of, instead of that entry.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 2] x) => (float[n, 2] y) <int64[1] front = {0}, int64 last = {-1}>
        {
            a = Exp (x)
            b = Unsqueeze (a, front)
            c = Gather <axis = 0> (b, last)
            y = Neg (c)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 2] x) => (float[n, 2] y)
        {
            a = Exp (x)
            y = Neg (a)
        }

    So does a Reshape that takes the axis away.
    """

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        modified = False
        for node in list(hub.graph.all_nodes()):
            if node.graph is None or node.domain != ONNX or node.op_type not in _TAKERS:
                continue
            added = made_by(node.inputs[0], "Unsqueeze")
            if added is None or not _TAKERS[node.op_type](node, added):
                continue
            before = node.inputs[0]
            node.replace_input_with(0, added.inputs[0])
            reason = bypass(node)
            if reason is None:
                remove_unused(added)
                modified = True
            else:
                node.replace_input_with(0, before)
                reasons.decline(node, reason)
        return PassResult(hub, modified, tuple(reasons.found))


def _takes_only(node: ir.Node, added: ir.Node) -> bool:
    axes, index, shape = known(added.inputs[1]), known(node.inputs[1]), dims(added.outputs[0])
    if axes is None or axes.size != 1 or index is None or index.ndim or int(index) not in (0, -1) or shape is None:
        return False
    rank = len(shape)
    return bool(np.equal(int(axes.reshape(())) % rank, attribute(node, "axis", 0) % rank))


def _takes_away(node: ir.Node, added: ir.Node) -> bool:
    shape = dims(added.inputs[0])
    return shape is not None and None not in shape and dims(node.outputs[0]) == shape


_TAKERS: Mapping[str, Callable[[ir.Node, ir.Node], bool]] = MappingProxyType(
    {"Gather": _takes_only, "Reshape": _takes_away}
)
"""What may take an axis away again, and whether a node does: by what added the axis."""
