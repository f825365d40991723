"""The scores of attention: what a softmax is of, back to the product of queries and keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import onnx_ir as ir

from isthmus.passes.edit import dims
from isthmus.passes.recover.contraction import Contraction, contraction
from isthmus.passes.recover.match import made_by, operands, plain, scalar
from isthmus.passes.recover.sight import is_all_true

HIDDEN = -1e4
"""A score of this and less has no weight beside one that is seen: e to that power is zero in every type."""


@dataclass(frozen=True)
class Mask:
    """Who sees whom: a Boolean of what is seen, or what is added to the scores.

    ``hides`` is what a Boolean puts in the place of the scores that it hides: a query from which it hides all keys
    sees all alike if that is a number, and gets no numbers if it is minus infinity.
    """

    value: ir.Value
    negated: bool = False
    hides: float | None = None
    adds: float | None = None
    """What is added where a Boolean ``value`` is true, or, ``negated``, where it is false."""


@dataclass(frozen=True)
class Scores:
    """Products of queries and keys times numbers and weights of one element, behind at most one mask."""

    product: Contraction
    scale: float = 1.0
    factors: tuple[ir.Value, ...] = ()
    mask: Mask | None = None
    stages: tuple[ir.Value, ...] = ()
    """The product and what becomes of it on the way, all of one shape."""


def scores_of(value: ir.Value) -> Scores | str:
    """What a softmax is taken of, as scores; or why it is none."""
    found = next(_scores(value), None)
    if found is None:
        return "what its softmax is of is no product of queries and keys, scaled and masked"
    return found


def _scores(value: ir.Value | None) -> Iterator[Scores]:
    """Every way to read ``value``; nothing but sizes may use what lies between, or it would be computed twice."""
    product = contraction(value)
    if product is not None:
        yield Scores(product, stages=(product.node.outputs[0],))
        return
    for inner, mask in _masked(value):
        for found in _scores(inner) if _is_between(inner, 1 if mask.adds is None else 2) else ():
            if found.mask is None and value is not None:
                yield replace(found, mask=mask, stages=(*found.stages, value))
    for inner, factor in _scaled(value):
        for found in _scores(inner) if _is_between(inner, 1) else ():
            if found.mask is not None or value is None:
                continue
            found = replace(found, stages=(*found.stages, value))
            if isinstance(factor, float):
                yield replace(found, scale=found.scale * factor)
            else:
                yield replace(found, factors=(*found.factors, factor))


def unscaled(value: ir.Value) -> tuple[ir.Value, float]:
    """What ``value`` is a number of times of, and that number."""
    for inner, factor in _scaled(value):
        if isinstance(factor, float):
            found, more = unscaled(inner)
            return found, more * factor
    return value, 1.0


def _scaled(value: ir.Value | None) -> Iterator[tuple[ir.Value, ir.Value | float]]:
    for inner, factor in operands(value, "Mul"):
        constant = scalar(factor)
        if constant is not None:
            yield inner, constant
        elif all(size == 1 for size in dims(factor) or (None,)) or dims(factor) == ():
            yield inner, factor
    node = made_by(value, "Div")
    number = None if node is None else scalar(node.inputs[1])
    if node is not None and node.inputs[0] is not None and number:
        yield node.inputs[0], 1 / number


def _masked(value: ir.Value | None) -> Iterator[tuple[ir.Value, Mask]]:
    """Scores before a mask, and the mask."""
    for inner, added in operands(value, "Add"):
        yield inner, Mask(added)
    node = made_by(value, "Where")
    if node is None or None in node.inputs:
        return
    condition, yes, no = node.inputs
    assert condition is not None and yes is not None and no is not None
    for inner, other, negated in ((yes, no, False), (no, yes, True)):
        number = scalar(other)
        if number is not None and number <= HIDDEN:
            seen, inverted = _told(condition)
            yield inner, Mask(seen, negated != inverted, number)
        taken = made_by(other, "Sub", "Add")
        if taken is None or taken.inputs[0] is not inner:
            continue
        number = scalar(taken.inputs[1])
        if number is not None and not other.is_graph_output() and len(other.uses()) == 1:
            seen, inverted = _told(condition)
            yield inner, Mask(seen, negated == inverted, adds=number if taken.op_type == "Add" else -number)


def _told(condition: ir.Value) -> tuple[ir.Value, bool]:
    """The Boolean behind ``condition``, which masks of any shape can replace; and whether it is negated."""
    negated = False
    while True:
        condition = plain(condition)
        node = made_by(condition, "Not")
        if node is not None and node.inputs[0] is not None:
            condition, negated = node.inputs[0], not negated
            continue
        other = next((b for a, b in operands(condition, "And") if is_all_true(a)), None)
        if other is None:
            return condition, negated
        condition = other


def _is_between(value: ir.Value, users: int) -> bool:
    """Whether a value goes nowhere but on the one way, its sizes apart."""
    taken = [use.node for use in value.uses() if use.node.op_type != "Shape"]
    return len(taken) == users and not value.is_graph_output()
