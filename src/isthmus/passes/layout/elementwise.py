"""Elementwise operators: any layout will do, if all operands broadcast to it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import onnx_ir as ir

from isthmus.passes.edit import attribute, dims, rank
from isthmus.passes.layout.hands import Hands
from isthmus.passes.layout.perms import Move, Perm, axis_after
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


def _unary(node: ir.Node, _move: Move) -> Plan | str:
    """The first input and every output of its rank; what else there is has no axes."""
    axes = rank(node.inputs[0])
    if axes is None:
        return "the rank of its operand is not known"
    if axes < 3:
        return "its operand has no spatial axes"
    return Plan((0,), tuple(i for i, out in enumerate(node.outputs) if i == 0 or rank(out) == axes))


def _nary(node: ir.Node, move: Move) -> Plan | str:
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
            fit(hands, node, index, move.perm(full))

    return Plan(tuple(i for i, r in given if r == full), (0,), apply)


def fit(hands: Hands, node: ir.Node, index: int, perm: Perm) -> None:
    """Bring an operand of smaller rank, which broadcasts against the source's order, to where it does after ``perm``.

    It has the last axes; those it lacks are of size one, and in front they need not be written.
    """
    shape = dims(node.inputs[index]) or ()
    if all(d == 1 for d in shape):
        return
    lacking = len(perm) - len(shape)
    start = next(place for place, axis in enumerate(perm) if axis >= lacking)
    wanted = perm[start:]
    own = [axis for axis in wanted if axis >= lacking]
    # axes of size one may be written where they are wanted at once, unless the others change their order
    written = list(wanted) if own == sorted(own) else sorted(wanted)
    order = tuple(written.index(axis) for axis in wanted)
    wide = [1 if axis < lacking else shape[axis - lacking] for axis in written]
    added = [place for place, axis in enumerate(written) if axis < lacking]
    if not added:
        hands.reorder(node, index, order)
    elif all(isinstance(d, int) for d in wide):
        hands.reorder(node, index, order, tuple(d for d in wide if isinstance(d, int)))
    else:
        axes = hands.edit.ints(added, f"{node.name}_axes")
        value = hands.edit.before(node, "Unsqueeze", [node.inputs[index], axes], shape=wide)
        node.replace_input_with(index, value)
        hands.reorder(node, index, order)


def _quantize(node: ir.Node, move: Move) -> Plan | str:
    """Scale and zero point are scalars, or have one entry an index of ``axis``; blocks are left alone."""
    axes = rank(node.inputs[0])
    if axes is None or axes < 3:
        return "its operand has no spatial axes"
    scale = rank(node.inputs[1])
    if scale is None or scale > 1 or attribute(node, "block_size", 0):
        return "it is quantized in blocks"

    def apply(_hands: Hands, node: ir.Node) -> None:
        axis = axis_after(attribute(node, "axis", 1), move.perm(axes))
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
