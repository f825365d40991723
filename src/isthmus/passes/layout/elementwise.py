"""Elementwise operators: any layout will do, if all operands broadcast to it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import onnx_ir as ir

from isthmus.passes.edit import attribute, dims, rank
from isthmus.passes.layout.hands import Hands
from isthmus.passes.layout.perms import axis_after, last_perm
from isthmus.passes.layout.plan import Plan, Rule

_UNARY = """
    Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Cast CastLike Ceil Celu Cos Cosh Dropout DynamicQuantizeLinear
    Elu Erf Exp Floor Gelu HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Log Mish Neg Not Reciprocal Relu Round
    Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu
"""
_NARY = """
    Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Clip Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean
    Min Mod Mul Or PRelu Pow Sub Sum Where Xor
"""


def _unary(node: ir.Node) -> Plan | str:
    """The first input and every output of its rank; what else there is has no axes."""
    axes = rank(node.inputs[0])
    if axes is None:
        return "the rank of its operand is not known"
    if axes < 3:
        return "its operand has no spatial axes"
    return Plan((0,), tuple(i for i, out in enumerate(node.outputs) if i == 0 or rank(out) == axes))


def _nary(node: ir.Node) -> Plan | str:
    """Operands of the full rank are permuted with the node, smaller ones are brought to where they broadcast."""
    given = [(i, rank(v)) for i, v in enumerate(node.inputs) if v is not None]
    ranks = [r for _, r in given if r is not None]
    if len(ranks) < len(given):
        return "the rank of an operand is not known"
    full = max(ranks)
    if full < 3:
        return "no operand has spatial axes"
    smaller = [i for i, r in given if r != full]

    def apply(hands: Hands, node: ir.Node) -> None:
        for index in smaller:
            fit(hands, node, index, full)

    return Plan(tuple(i for i, r in given if r == full), (0,), apply)


def fit(hands: Hands, node: ir.Node, index: int, full: int) -> None:
    """Bring an operand that broadcasts against (N, C, spatial…) to where it does against (N, spatial…, C)."""
    shape = dims(node.inputs[index]) or ()
    if all(d == 1 for d in shape):
        return
    if len(shape) == full - 1:  # C, spatial…
        hands.reorder(node, index, (*range(1, full - 1), 0))
        return
    # spatial axes only: a channel axis of one behind them
    if all(isinstance(d, int) for d in shape):
        hands.reorder(node, index, tuple(range(len(shape) + 1)), (*[d for d in shape if isinstance(d, int)], 1))
        return
    value = node.inputs[index]
    axes = hands.edit.ints([len(shape)], f"{node.name}_axes")
    node.replace_input_with(index, hands.edit.before(node, "Unsqueeze", [value, axes], shape=[*shape, 1]))


def _quantize(node: ir.Node) -> Plan | str:
    """Scale and zero point are scalars, or have one entry an index of ``axis``; blocks are left alone."""
    axes = rank(node.inputs[0])
    if axes is None or axes < 3:
        return "its operand has no spatial axes"
    scale = rank(node.inputs[1])
    if scale is None or scale > 1 or attribute(node, "block_size", 0):
        return "it is quantized in blocks"

    def apply(_hands: Hands, node: ir.Node) -> None:
        axis = axis_after(attribute(node, "axis", 1), last_perm(axes))
        node.attributes["axis"] = ir.AttrInt64("axis", axis)

    return Plan((0,), (0,), apply)


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        **dict.fromkeys(_UNARY.split(), _unary),
        **dict.fromkeys(_NARY.split(), _nary),
        "QuantizeLinear": _quantize,
        "DequantizeLinear": _quantize,
    }
)
