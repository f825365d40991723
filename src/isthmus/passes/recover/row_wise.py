"""Bodies that work row by row: what they make of one sequence of a batch hangs on no other."""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from isthmus.hub.model import ONNX
from isthmus.passes.edit import attribute, dims, known
from isthmus.passes.recover.match import is_weight

_ELEMENTWISE = """
    Abs Add And Cast Clip Cos Div Elu Equal Erf Exp Gelu Greater GreaterOrEqual HardSigmoid HardSwish Identity
    LeakyRelu Less LessOrEqual Log Max Min Mish Mul Neg Not Or Pow Reciprocal Relu Selu Sigmoid Sign Sin Softplus
    Softsign Sqrt Sub Tanh ThresholdedRelu Where Xor
"""


def is_row_wise(body: ir.Graph) -> bool:
    """Whether what a body makes of one sequence of the batch surely hangs on that sequence alone."""
    fixed: set[ir.Value] = set()
    for node in body:
        fixed |= {value for value in node.inputs if is_weight(value) and value is not None}
        if all(value is None or value in fixed for value in node.inputs):
            fixed |= set(node.outputs)
        elif node.domain != ONNX or not _is_row_wise(node, fixed):
            return False
    return True


def _is_row_wise(node: ir.Node, fixed: Collection[ir.Value]) -> bool:
    """``fixed`` are the weights, and what is made of nothing else."""
    shapes = [dims(value) for value in (*node.inputs, *node.outputs) if value is not None]
    if any(shape is None for shape in shapes):
        return False
    full = max(len(shape) for shape in shapes if shape is not None)
    match node.op_type:
        case "MatMul":
            return len(dims(node.inputs[0]) or ()) == 2 and node.inputs[1] in fixed
        case "Concat" | "Split":
            return full == 2 and attribute(node, "axis", 0) in (1, -1)
        case "Slice":
            axes = known(node.inputs[3]) if len(node.inputs) > 3 else None
            return axes is not None and all(axis == full - 1 or axis == -1 for axis in axes.reshape(-1)) and full == 2
        case "Gather":
            return attribute(node, "axis", 0) == 0 and dims(node.inputs[1]) == ()
        case "Unsqueeze" | "Expand":
            return full == 2
        case "Tile":
            repeats = known(node.inputs[1])
            return repeats is not None and full == 2 and repeats.size == 2 and int(repeats[0]) == 1
    smaller = [v for v in node.inputs if v is not None and len(dims(v) or ()) not in (0, full)]
    return node.op_type in _ELEMENTWISE.split() and full <= 2 and all(value in fixed for value in smaller)
