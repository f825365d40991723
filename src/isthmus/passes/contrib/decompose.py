"""The pass that turns com.microsoft into the default domain, where that says the same."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import onnx_ir as ir

from isthmus.hub.free_dims import name_free_dims
from isthmus.hub.infer import infer_shapes
from isthmus.hub.model import ONNX, Hub
from isthmus.lower.contract import LoweringTable
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.contrib import attention, dense, norm, plain, quantized
from isthmus.passes.contrib.build import MICROSOFT, Build, Decompose, Left
from isthmus.passes.edit import Editor, graph_of, replace

RULES: Mapping[str, Decompose] = MappingProxyType(
    {**attention.RULES, **dense.RULES, **norm.RULES, **plain.RULES, **quantized.RULES}
)
_STRAYED = frozenset({"SimplifiedLayerNormalization"})
"""Operators that ONNX Runtime writes into the default domain, which does not know them."""


class DecomposeContrib(HubPass):
    """Replace operators of com.microsoft by what they are made of, unless the target has them.

    Given::

        <ir_version: 10, opset_import: ["": 26, "com.microsoft": 1]>
        net (float[n, 3] x, float[4, 3] w, float[4] bias) => (float[n, 4] y)
        {
            a = com.microsoft.FusedMatMul <transB = 1, alpha = 2.0> (x, w)
            y = com.microsoft.BiasGelu (a, bias)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 3] x, float[4, 3] w, float[4] bias) => (float[n, 4] y) <float two = {2.0}>
        {
            t = Transpose <perm = [1, 0]> (w)
            m = MatMul (x, t)
            a = Mul (m, two)
            s = Add (a, bias)
            y = Gelu (s)
        }

    What the rules do not cover stays, and the writer refuses it by name.
    """

    requires = ("known ranks where an operator's meaning depends on them",)

    def __init__(self, table: LoweringTable) -> None:
        self._table = table

    def call(self, hub: Hub) -> PassResult:
        modified = False
        while True:
            reasons = Reasons()
            edit = Editor(hub.model)
            changed = False
            for node in list(hub.graph.all_nodes()):
                rule = self._rule(node)
                if rule is not None:
                    changed |= _decompose(edit, node, rule, reasons)
            if not changed:
                break
            modified = True
            infer_shapes(hub.model)  # a rule may have waited for a rank
            name_free_dims(hub.model)
        return PassResult(hub, modified, tuple(reasons.found))

    def _rule(self, node: ir.Node) -> Decompose | None:
        if node.domain == MICROSOFT or (node.domain == ONNX and node.op_type in _STRAYED):
            return None if (node.domain, node.op_type) in self._table else RULES.get(node.op_type)
        return None


def _decompose(edit: Editor, node: ir.Node, rule: Decompose, reasons: Reasons) -> bool:
    build = Build(edit, node)
    try:
        made = rule(build)
    except Left as left:
        build.undo()
        reasons.decline(node, str(left))
        return False
    for old, new in zip(node.outputs, made, strict=False):
        if new is None or not (old.uses() or old.is_graph_output()):
            continue
        new.type = old.type or new.type
        if new.producer() is None or (old.is_graph_output() and new.is_graph_output()):
            new = build.op("Identity", new)
        replace(old, new)
    graph_of(node).remove(node, safe=True)
    return True
