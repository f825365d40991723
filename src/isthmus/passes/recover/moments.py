"""Normalizations by moments, as they are spelled out: by a mean and a variance over some axes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from isthmus.passes.edit import dims
from isthmus.passes.recover.match import made_by, operands, reciprocal_root, reduced_axes, scalar


@dataclass(frozen=True)
class Moments:
    """1 / √(mean(|value - mean|²) + epsilon) over ``axes``; ``mean`` is None where none is taken away."""

    value: ir.Value
    mean: ir.Value | None
    axes: tuple[int, ...]
    epsilon: float


@dataclass(frozen=True)
class Normalized:
    """What a node gives: ``moments.value``, normalized, then scaled and shifted where there is something for it."""

    last: ir.Node
    moments: Moments
    scale: ir.Value | None
    bias: ir.Value | None


def normalized_by(node: ir.Node) -> Normalized | None:
    """What ``node`` normalizes, if it is the last operator of a normalization."""
    if node.op_type == "Add":
        found = _scaled_and_shifted(node)
        if found is not None:
            return found
    core = _core(node)
    if core is None:
        return None
    last, scale, bias = node, None, None
    after = _only_user(last, "Mul")
    if after is not None and (other := _parameter(after, last)) is not None:
        last, scale = after, other
    after = _only_user(last, "Add")
    if after is not None and (other := _parameter(after, last)) is not None:
        last, bias = after, other
    return Normalized(last, core, scale, bias)


def moments_of(factor: ir.Value | None) -> Moments | None:
    """The moments whose reciprocal root ``factor`` is."""
    return _moments(reciprocal_root(factor))


def _moments(spread: ir.Value | None) -> Moments | None:
    for variance, epsilon in operands(spread, "Add"):
        number, mean_of_squares = scalar(epsilon), made_by(variance, "ReduceMean")
        if number is None or mean_of_squares is None:
            continue
        base = _squared(mean_of_squares.inputs[0])
        rank = len(dims(base) or ()) if base is not None else 0
        axes = reduced_axes(mean_of_squares, rank) if rank else None
        if base is None or axes is None:
            continue
        less = made_by(base, "Sub")
        mean = None if less is None else made_by(less.inputs[1], "ReduceMean")
        if less is not None and mean is not None and mean.inputs[0] is less.inputs[0]:
            if reduced_axes(mean, rank) != axes or less.inputs[0] is None:
                return None
            return Moments(less.inputs[0], mean.outputs[0], axes, number)
        return Moments(base, None, axes, number)
    return None


def _squared(value: ir.Value | None) -> ir.Value | None:
    node = made_by(value, "Mul")
    if node is not None:
        return node.inputs[0] if node.inputs[0] is node.inputs[1] else None
    node = made_by(value, "Pow")
    return node.inputs[0] if node is not None and scalar(node.inputs[1]) == 2.0 else None


def _scaled_and_shifted(node: ir.Node) -> Normalized | None:
    """x · m + (beta - mean · m), where m is the reciprocal root, scaled."""
    for product, shift in operands(node.outputs[0], "Add"):
        for value, factor in operands(product, "Mul"):
            for root, scale in [*operands(factor, "Mul"), (factor, None)]:
                moments = moments_of(root)
                if moments is None or moments.value is not value or moments.mean is None:
                    continue
                for term, bias in [*operands(shift, "Add"), (shift, None)]:
                    if _is_negative_mean(term, factor, moments.mean):
                        return Normalized(node, moments, scale, bias)
                less = made_by(shift, "Sub")
                if less is not None and _is_product(less.inputs[1], factor, moments.mean):
                    return Normalized(node, moments, scale, less.inputs[0])
    return None


def _is_negative_mean(value: ir.Value | None, factor: ir.Value, mean: ir.Value) -> bool:
    for negated, by in operands(value, "Mul"):
        node = made_by(negated, "Neg")
        if by is factor and node is not None and node.inputs[0] is mean:
            return True
    node = made_by(value, "Neg")
    return node is not None and _is_product(node.inputs[0], factor, mean)


def _is_product(value: ir.Value | None, factor: ir.Value, mean: ir.Value) -> bool:
    return any(a is mean and b is factor for a, b in operands(value, "Mul"))


def _core(node: ir.Node) -> Moments | None:
    """The moments by which ``node`` normalizes what they are the moments of."""
    for value, moments in _quotients(node):
        if moments is None:
            continue
        if moments.mean is None and value is moments.value:
            return moments
        less = made_by(value, "Sub")
        if less is not None and less.inputs[0] is moments.value and less.inputs[1] is moments.mean:
            return moments
    return None


def _quotients(node: ir.Node) -> Iterator[tuple[ir.Value | None, Moments | None]]:
    if node.op_type == "Mul":
        yield from ((value, moments_of(factor)) for value, factor in operands(node.outputs[0], "Mul"))
    if node.op_type == "Div":
        root = made_by(node.inputs[1], "Sqrt")
        yield node.inputs[0], None if root is None else _moments(root.inputs[0])


def _only_user(node: ir.Node, op: str) -> ir.Node | None:
    (value,) = node.outputs
    users = list(value.uses())
    if len(users) != 1 or value.is_graph_output() or users[0].node.graph is not node.graph:
        return None
    return users[0].node if users[0].node.op_type == op and not users[0].node.domain else None


def _parameter(node: ir.Node, before: ir.Node) -> ir.Value | None:
    """The other operand, where it is a weight, as it is or reshaped."""
    others = [v for v in node.inputs if v is not before.outputs[0]]
    if len(others) != 1 or others[0] is None:
        return None
    source = made_by(others[0], "Reshape", "Unsqueeze")
    held = others[0] if source is None else source.inputs[0]
    return others[0] if held is not None and held.const_value is not None else None
