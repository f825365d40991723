"""Operators that are newer than the opset that is asked for, where ONNX defines them by older ones."""

from __future__ import annotations

from isthmus.hub.canonical import canonicalize
from isthmus.hub.model import ONNX, Hub
from isthmus.hub.opset import lowest_version
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.functions import call_body


class ExpandNewer(HubPass):
    """Replace each operator that opset ``version`` has not by its ONNX function body, however deep that goes.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 4] x) => (float[n, 4] y)
        {
            y = Swish (x)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 4] x) => (float[n, 4] y) <float one = {1}>
        {
            alpha = CastLike (one, x)
            a = Mul (alpha, x)
            b = Sigmoid (a)
            y = Mul (x, b)
        }

    Afterwards the model is in canonical form again: bodies are written at older opsets and hold Constant nodes.
    """

    requires = ("types of every operand",)

    def __init__(self, version: int = 18) -> None:
        self._version = version

    def call(self, hub: Hub) -> PassResult:
        modified = False
        while True:
            reasons = Reasons()
            for node in list(hub.model.graph.all_nodes()):
                too_new = node.domain == ONNX and lowest_version(node, floor=1) > self._version
                if too_new and not call_body(hub.model, node):
                    reasons.decline(node, "ONNX defines it by no others")
            if not hub.model.functions:
                return PassResult(hub, modified, tuple(reasons.found))
            canonicalize(hub.model)
            modified = True
