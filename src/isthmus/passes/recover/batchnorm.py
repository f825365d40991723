"""Batch normalization, spelled out as Keras does at inference."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from isthmus.hub.model import ONNX, ROLE, Hub
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.edit import Editor, dims, replace
from isthmus.passes.recover.match import (
    filled,
    made_by,
    operands,
    reciprocal_root,
    remove_unused,
    scalar,
    turned,
    vector,
)


@dataclass(frozen=True)
class _Match:
    """The operand, the axis of its channels, and the four parameters; scale and bias may be missing."""

    value: ir.Value
    axis: int
    scale: ir.Value | None
    bias: ir.Value | None
    mean: ir.Value
    variance: ir.Value
    epsilon: float


class RecoverBatchNorm(HubPass):
    """Write a scale and a shift made of four weights as BatchNormalization.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 2] x) => (float[n, 2] y)
        <float[2] gamma = {2, 3}, float[2] beta = {1, 1}, float[2] mean = {1, 0}, float[2] var = {4, 9},
         float epsilon = {0.25}>
        {
            a = Add (var, epsilon)
            b = Sqrt (a)
            r = Reciprocal (b)
            s = Mul (r, gamma)
            p = Mul (x, s)
            m = Mul (mean, s)
            t = Sub (beta, m)
            y = Add (p, t)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 2] x) => (float[n, 2] y)
        <float[2] gamma = {2, 3}, float[2] beta = {1, 1}, float[2] mean = {1, 0}, float[2] var = {4, 9}>
        {
            y = BatchNormalization <epsilon = 0.25> (x, gamma, beta, mean, var)
        }

    Channels that are not the second axis are transposed there and back. A missing scale is ones, a bias zeros.
    """

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        edit = Editor(hub.model)
        modified = False
        for node in list(hub.graph.all_nodes()):
            if node.graph is None or node.domain != ONNX or node.op_type not in ("Add", "Sub"):
                continue
            match = _match(node)
            if isinstance(match, str):
                reasons.decline(node, match)
            elif match is not None:
                _write(edit, node, match)
                modified = True
        return PassResult(hub, modified, tuple(reasons.found))


def _match(node: ir.Node) -> _Match | str | None:
    """What the sum normalizes, why it cannot be written, or None where it is no normalization at all."""
    out = node.outputs[0]
    for product, shift in operands(out, node.op_type):
        for value, factor in operands(product, "Mul"):
            found = _parameters(value, factor, shift, minus=node.op_type == "Sub" and node.inputs[0] is product)
            if found is not None and (node.op_type == "Add" or node.inputs[0] is product):
                return found
    return None


def _parameters(value: ir.Value, factor: ir.Value, shift: ir.Value, *, minus: bool) -> _Match | str | None:
    """``value · factor + shift``, or ``- shift``, where both are made of a mean and a variance."""
    shape = dims(value)
    for root, gamma in _scaled(factor):
        spread = reciprocal_root(root)
        for variance, epsilon in operands(spread, "Add"):
            number = scalar(epsilon)
            if number is None:
                continue
            found = _shift(shift, factor, minus=minus)
            if found is None:
                continue
            if shape is None or len(shape) < 2:
                return "the rank of what it normalizes is not known, or below 2"
            given = {"scale": gamma, "bias": found[0], "mean": found[1], "variance": variance}
            vectors = {name: vector(v, len(shape)) for name, v in given.items() if v is not None}
            places = {found[1] for found in vectors.values() if found is not None}
            if None in vectors.values() or len(places) != 1:
                return "its parameters are no weights along one axis"
            (axis,) = places
            if axis == 0 or not isinstance(shape[axis], int):
                return "its channels are not known"
            named = {name: found[0] for name, found in vectors.items() if found is not None}
            if any(dims(v) != (shape[axis],) or v.dtype != value.dtype for v in named.values()):
                return "its parameters do not fit its channels"
            if any(named[part].metadata_props.get(ROLE) == "parameter" for part in ("mean", "variance")):
                return "its mean or its variance trains, which no batch normalization's does"
            return _Match(
                value, axis, named.get("scale"), named.get("bias"), named["mean"], named["variance"], number
            )
    return None


def _scaled(factor: ir.Value) -> list[tuple[ir.Value, ir.Value | None]]:
    """A factor as a root and a scale, in both orders; or as a root alone."""
    return [*operands(factor, "Mul"), (factor, None)]


def _shift(shift: ir.Value, factor: ir.Value, *, minus: bool) -> tuple[ir.Value | None, ir.Value] | None:
    """The bias, if there is one, and the mean."""
    if minus:
        return next(((None, mean) for mean, by in operands(shift, "Mul") if by is factor), None)
    node = made_by(shift, "Sub")
    if node is not None:
        return next(((node.inputs[0], mean) for mean, by in operands(node.inputs[1], "Mul") if by is factor), None)
    node = made_by(shift, "Neg")
    if node is not None:
        return next(((None, mean) for mean, by in operands(node.inputs[0], "Mul") if by is factor), None)
    for product, by in operands(shift, "Mul"):
        negated = made_by(product, "Neg")
        if by is factor and negated is not None and negated.inputs[0] is not None:
            return None, negated.inputs[0]
    return None


def _write(edit: Editor, node: ir.Node, match: _Match) -> None:
    shape = dims(match.value)
    assert shape is not None
    channels = shape[match.axis]
    assert isinstance(channels, int)
    axes = range(len(shape))
    forth = [0, match.axis, *(a for a in axes if a not in (0, match.axis))]
    back = [forth.index(a) for a in axes]
    image = turned(edit, node, match.value, forth)
    name = node.name or "batch_norm"
    scale = match.scale or filled(edit, match.value, channels, 1.0, f"{name}_scale")
    bias = match.bias or filled(edit, match.value, channels, 0.0, f"{name}_bias")
    normal = edit.before(
        node,
        "BatchNormalization",
        [image, scale, bias, match.mean, match.variance],
        {"epsilon": match.epsilon},
        shape=dims(image),
    )
    replace(node.outputs[0], turned(edit, node, normal, back))
    remove_unused(node)
