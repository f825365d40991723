"""Weights that a graph makes of one number, instead of storing them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import onnx_ir as ir

from isthmus.hub.model import ONNX, ROLE, Hub
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.edit import Editor, attribute, graph_of, known

_MOST = 1 << 31
"""How many bytes the weights that are made may have together: a few bytes of a file can ask for any number."""

_WEIGHTS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "MatMul"), (1,)),
        **dict.fromkeys(("RNN", "GRU", "LSTM"), (1, 2)),
    }
)
"""Which inputs of which operators are large weights. Small ones are folded like any constant."""

_MOVES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"})


class FillWeights(HubPass):
    """Make an initializer of a weight that ConstantOfShape fills, so that it can be trained.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 2] x) => (float[n, 3] y) <int64[2] shape = {2, 3}>
        {
            w = ConstantOfShape <value = float[1] {0.5}> (shape)
            y = MatMul (x, w)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 2] x) => (float[n, 3] y)
        <int64[2] shape = {2, 3}, float[2, 3] w = {0.5, 0.5, 0.5, 0.5, 0.5, 0.5}>
        {
            y = MatMul (x, w)
        }

    It takes memory only when it is written.
    """

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        edit = Editor(hub.model)
        modified, left = False, _MOST
        for node in list(hub.graph):
            if (node.domain, node.op_type) != (ONNX, "ConstantOfShape") or not _is_weight(node.outputs[0]):
                continue
            tensor = _filled(node, left)
            if isinstance(tensor, str):
                reasons.decline(node, tensor)
                continue
            left -= tensor.nbytes
            modified = True
            _store(edit, node, tensor)
        return PassResult(hub, modified, tuple(reasons.found))


def _is_weight(value: ir.Value) -> bool:
    """Whether layers take the value as their weight, as it is or moved, and nothing else takes it."""
    if value.is_graph_output() or value.dtype is None or not value.dtype.is_floating_point():
        return False
    uses = list(value.uses())
    return bool(uses) and all(
        node.domain == ONNX
        and (
            index in _WEIGHTS.get(node.op_type, ())
            or (node.op_type in _MOVES and index == 0 and _is_weight(node.outputs[0]))
        )
        for node, index in uses
    )


def _filled(node: ir.Node, most: int) -> ir.TensorProtocol | str:
    """The result as a view of one number, or why there is none of at most so many bytes."""
    shape, value = known(node.inputs[0]), attribute(node, "value")
    if shape is None or min(shape.tolist(), default=1) < 1:
        return "its shape is not known, or holds nothing"
    number = np.zeros((), np.float32) if value is None else value.numpy().reshape(())
    if math.prod(shape.tolist()) * number.itemsize > most:
        return "the weights would be too large"
    return ir.Tensor(np.broadcast_to(number, shape.tolist()), dtype=node.outputs[0].dtype)


def _store(edit: Editor, node: ir.Node, tensor: ir.TensorProtocol) -> None:
    """``tensor`` under the name of what ``node`` made."""
    out = node.outputs[0]
    name = str(out.name)
    out.name = edit.names.fresh(f"{name}__made")
    weight = edit.initializer(tensor, name, exact=True)
    weight.metadata_props[ROLE] = "constant"  # which keeps its place as a weight of a layer
    ir.convenience.replace_all_uses_with(out, weight)
    graph_of(node).remove(node, safe=True)
