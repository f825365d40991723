"""GELU, exact and by tanh, spelled out."""

from __future__ import annotations

import math
from collections.abc import Iterator

import onnx_ir as ir

from isthmus.hub.model import Hub
from isthmus.passes.base import HubPass, PassResult
from isthmus.passes.recover.match import Found, is_near, made_by, operands, recovered, scalar

_ROOT_HALF = math.sqrt(0.5)
_ROOT_TWO_OVER_PI = math.sqrt(2 / math.pi)
_CUBIC = 0.044715


class RecoverGelu(HubPass):
    """Write x / 2 · (1 + erf(x / √2)), and its approximation by tanh, as Gelu.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n] x) => (float[n] y) <float half = {0.5}, float root = {0.70710678}, float one = {1.0}>
        {
            h = Mul (half, x)
            n = Neg (x)
            a = Mul (n, root)
            e = Erf (a)
            c = Sub (one, e)
            y = Mul (h, c)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n] x) => (float[n] y)
        {
            y = Gelu <approximate = "none"> (x)
        }
    """

    def call(self, hub: Hub) -> PassResult:
        return recovered(hub, "Gelu", ("Mul",), _gelu)


def _gelu(value: ir.Value) -> Iterator[Found]:
    yield from ((x, {"approximate": kind}) for x, kind in _matches(value))


def _matches(out: ir.Value) -> Iterator[tuple[ir.Value, str]]:
    """What the product is the GELU of; the half may stand with the operand, with the sum, or outside."""
    for half, product in operands(out, "Mul"):
        if is_near(half, 0.5):
            yield from ((x, kind) for x, rest in operands(product, "Mul") for kind in _kinds(rest, x))
    for halved, rest in operands(out, "Mul"):
        x = _half_of(halved)
        if x is not None:
            yield from ((x, kind) for kind in _kinds(rest, x))
    for x, halved in operands(out, "Mul"):
        for half, rest in operands(halved, "Mul"):
            if is_near(half, 0.5):
                yield from ((x, kind) for kind in _kinds(rest, x))


def _half_of(value: ir.Value) -> ir.Value | None:
    for half, x in operands(value, "Mul"):
        if is_near(half, 0.5):
            return x
    node = made_by(value, "Div")
    return node.inputs[0] if node is not None and scalar(node.inputs[1]) == 2.0 else None


def _kinds(rest: ir.Value, x: ir.Value) -> Iterator[str]:
    """``none`` where ``rest`` is 1 + erf(x / √2), ``tanh`` where it is the approximation."""
    for one, term in operands(rest, "Add"):
        if scalar(one) != 1.0:
            continue
        error, bent = made_by(term, "Erf"), made_by(term, "Tanh")
        if error is not None and _is_over_root(error.inputs[0], x, negative=False):
            yield "none"
        if bent is not None and _is_inner(bent.inputs[0], x):
            yield "tanh"
    node = made_by(rest, "Sub")
    if node is not None and scalar(node.inputs[0]) == 1.0:
        error = made_by(node.inputs[1], "Erf")
        if error is not None and _is_over_root(error.inputs[0], x, negative=True):
            yield "none"


def _is_over_root(value: ir.Value | None, x: ir.Value, *, negative: bool) -> bool:
    """Whether a value is x / √2, or the negative of that."""
    for factor, operand in operands(value, "Mul"):
        negated = made_by(operand, "Neg")
        if operand is x and is_near(factor, -_ROOT_HALF if negative else _ROOT_HALF):
            return True
        if negative and negated is not None and negated.inputs[0] is x and is_near(factor, _ROOT_HALF):
            return True
    node = made_by(value, "Div")
    if node is not None and is_near(node.inputs[1], -math.sqrt(2) if negative else math.sqrt(2)):
        return node.inputs[0] is x
    if node is not None and negative and is_near(node.inputs[1], math.sqrt(2)):
        negated = made_by(node.inputs[0], "Neg")
        return negated is not None and negated.inputs[0] is x
    node = made_by(value, "Neg")
    return negative and node is not None and _is_over_root(node.inputs[0], x, negative=False)


def _is_inner(value: ir.Value | None, x: ir.Value) -> bool:
    """Whether a value is √(2/π) · (x + 0.044715 · x³)."""
    for factor, total in operands(value, "Mul"):
        if not is_near(factor, _ROOT_TWO_OVER_PI):
            continue
        for own, term in operands(total, "Add"):
            if own is x and any(is_near(c, _CUBIC) and _is_cube(cube, x) for c, cube in operands(term, "Mul")):
                return True
    return False


def _is_cube(value: ir.Value, x: ir.Value) -> bool:
    node = made_by(value, "Pow")
    if node is not None:
        return node.inputs[0] is x and scalar(node.inputs[1]) == 3.0
    return any(
        own is x and any(a is x and b is x for a, b in operands(square, "Mul"))
        for own, square in operands(value, "Mul")
    )
