"""Activations that a framework's own library spells out: HardSigmoid, HardSwish, Mish and Swish."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from isthmus.hub.model import Hub
from isthmus.passes.base import HubPass, PassResult
from isthmus.passes.edit import attribute
from isthmus.passes.recover.match import Found, made_by, near, operands, recovered, scalar

_DEFAULTS = (("alpha", 0.2), ("beta", 0.5))


class RecoverHardSigmoid(HubPass):
    """Write a line that is cut off at 0 and 1, or cut off first and scaled to that, as HardSigmoid.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n] x) => (float[n] y) <float two = {2.0}, float low = {0.0}, float four = {4.0}>
        {
            a = Add (x, two)
            b = Clip (a, low, four)
            y = Div (b, four)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n] x) => (float[n] y)
        {
            y = HardSigmoid <alpha = 0.25, beta = 0.5> (x)
        }
    """

    def call(self, hub: Hub) -> PassResult:
        return recovered(hub, "HardSigmoid", ("Div", "Mul", "Clip", "Max", "Min"), _hard_sigmoid)


class RecoverHardSwish(HubPass):
    """Write x · max(0, min(1, x / 6 + 1 / 2)) as HardSwish.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n] x) => (float[n] y)
        {
            a = HardSigmoid <alpha = 0.16666667, beta = 0.5> (x)
            y = Mul (x, a)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n] x) => (float[n] y)
        {
            y = HardSwish (x)
        }
    """

    def call(self, hub: Hub) -> PassResult:
        return recovered(hub, "HardSwish", ("Mul", "Div"), _hard_swish)


class RecoverMish(HubPass):
    """Write x · tanh(softplus(x)) as Mish.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n] x) => (float[n] y)
        {
            a = Softplus (x)
            b = Tanh (a)
            y = Mul (b, x)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n] x) => (float[n] y)
        {
            y = Mish (x)
        }
    """

    def call(self, hub: Hub) -> PassResult:
        return recovered(hub, "Mish", ("Mul",), _mish)


class RecoverSwish(HubPass):
    """Write x · sigmoid(α · x) as Swish.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n] x) => (float[n] y) <float alpha = {1.5}>
        {
            a = Mul (alpha, x)
            b = Sigmoid (a)
            y = Mul (b, x)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n] x) => (float[n] y)
        {
            y = Swish <alpha = 1.5> (x)
        }
    """

    def call(self, hub: Hub) -> PassResult:
        return recovered(hub, "Swish", ("Mul",), _swish)


def _hard_sigmoid(value: ir.Value) -> Iterator[Found]:
    cut, factor = _scaled(value)
    line = _line(cut, factor)
    if line is not None:
        yield line


def _line(cut: ir.Value | None, factor: float) -> Found | None:
    """The line that is cut off, where ``factor`` times what is left runs from 0 to 1."""
    inner, low, high = _bounds(cut)
    if cut is None or low != 0.0 or high is None or not near(high * factor, 1.0, cut.dtype):
        return None
    line, beta = _shifted(inner)
    value, alpha = _scaled(line)
    if value is None or beta is None or alpha <= 0 or abs(beta) * factor >= 1:
        return None
    return value, {"alpha": alpha * factor, "beta": beta * factor}


def _bounds(value: ir.Value | None) -> tuple[ir.Value | None, float | None, float | None]:
    """What is cut off, and where below and above."""
    node = made_by(value, "Clip")
    if node is not None and len(node.inputs) == 3:
        return node.inputs[0], scalar(node.inputs[1]), scalar(node.inputs[2])
    for outer, inner in (("Max", "Min"), ("Min", "Max")):
        for cut, first in operands(value, outer):
            for whole, second in operands(cut, inner):
                bounds = scalar(first), scalar(second)
                if None not in bounds:
                    return whole, *(bounds if outer == "Max" else bounds[::-1])
    return None, None, None


def _shifted(value: ir.Value | None) -> tuple[ir.Value | None, float | None]:
    """What a constant is added to, and that constant."""
    for inner, other in operands(value, "Add"):
        if (number := scalar(other)) is not None:
            return inner, number
    return None, None


def _scaled(value: ir.Value | None) -> tuple[ir.Value | None, float]:
    """What is multiplied by a constant, and that constant: 1 where there is none."""
    for inner, other in operands(value, "Mul"):
        if (number := scalar(other)) is not None:
            return inner, number
    node = made_by(value, "Div")
    number = None if node is None else scalar(node.inputs[1])
    if node is not None and number:
        return node.inputs[0], 1 / number
    return value, 1.0


def _hard_swish(value: ir.Value) -> Iterator[Found]:
    product, factor = _scaled(value)
    for x, gate in operands(product, "Mul"):
        node = made_by(gate, "HardSigmoid")
        if node is not None and node.inputs[0] is not None and factor == 1:
            found: Found | None = (node.inputs[0], {k: attribute(node, k, d) for k, d in _DEFAULTS})
        else:
            found = _line(gate, factor)
        if found is None or found[0] is not x:
            continue
        alpha, beta = found[1]["alpha"], found[1]["beta"]
        if near(alpha, 1 / 6, x.dtype) and near(beta, 0.5, x.dtype):
            yield x, {}


def _mish(value: ir.Value) -> Iterator[Found]:
    for x, gate in operands(value, "Mul"):
        bent = made_by(gate, "Tanh")
        soft = None if bent is None else made_by(bent.inputs[0], "Softplus")
        if soft is not None and soft.inputs[0] is x:
            yield x, {}


def _swish(value: ir.Value) -> Iterator[Found]:
    for x, gate in operands(value, "Mul"):
        node = made_by(gate, "Sigmoid")
        inner = None if node is None else node.inputs[0]
        bent, alpha = (inner, 1.0) if inner is x else _scaled(inner)
        if bent is x and float(np.float32(alpha)) == alpha:  # attributes are single precision
            yield x, {"alpha": alpha}
