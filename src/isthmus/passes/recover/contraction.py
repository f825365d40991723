"""Products of stacks of matrices, as MatMul and as Einsum, by what each axis does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from isthmus.passes.edit import Editor, attribute, dims
from isthmus.passes.movement import assignments, is_move, moved, shape_at
from isthmus.passes.recover.match import made_by, turned

_MANY = 1 << 26
"""Elements whose places are not followed one by one."""


@dataclass(frozen=True)
class Turned:
    """A value, and the order in which its axes are wanted."""

    value: ir.Value
    order: tuple[int, ...]

    @property
    def sizes(self) -> tuple[int | str | None, ...]:
        found = dims(self.value) or (None,) * len(self.order)
        return tuple(found[axis] for axis in self.order)

    def bare(self) -> Turned:
        """What was transposed to it, in the same order."""
        node = made_by(self.value, "Transpose")
        if node is None or node.inputs[0] is None:
            return self
        perm = attribute(node, "perm") or tuple(reversed(range(len(self.order))))
        return Turned(node.inputs[0], tuple(perm[axis] for axis in self.order)).bare()

    def made(self, edit: Editor, anchor: ir.Node) -> ir.Value:
        """It in that order, made before ``anchor``: what it was moved from, where it was just that."""
        source = _unmoved(self.value, self.order)
        if source is not None:
            return source
        bare = self.bare()
        return turned(edit, anchor, bare.value, bare.order)


@dataclass(frozen=True)
class Contraction:
    """A sum of products over one axis, for each entry of the axes that both operands and the result share."""

    node: ir.Node
    left: Turned
    """Into the shared axes, its own, and the one that is summed over."""
    right: Turned
    """Likewise."""
    result: tuple[int, ...]
    """Where the result's axes lie among those shared, the left operand's own and the right operand's own."""


def contraction(value: ir.Value | None, left: ir.Value | None = None) -> Contraction | None:
    """What ``value`` is the product of, with ``left`` as its left operand where that is given.

    Without it, the left operand is the one whose own axis comes first in the result.
    """
    node = made_by(value, "MatMul", "Einsum")
    terms = None if node is None or len(node.inputs) != 2 else _letters(node)
    if node is None or terms is None or any(len(set(term)) != len(term) for term in terms):
        return None
    first, second, result = terms
    summed = set(first) & set(second) - set(result)
    own = set(first) - set(second), set(second) - set(first)
    if [len(letters) for letters in (summed, *own)] != [1, 1, 1] or set(result) != {*first, *second} - summed:
        return None
    a, b = node.inputs
    (inner,), (rows,), (columns,) = summed, *own
    if result.index(rows) > result.index(columns) if left is None else a is not left:
        a, b, first, second, rows, columns = b, a, second, first, columns, rows
    if a is None or b is None or a is b or (left is not None and a is not left):
        return None
    shared = [letter for letter in (result if left is None else first) if letter in first and letter in second]
    shared = [letter for letter in shared if letter != inner]
    return Contraction(
        node,
        Turned(a, tuple(first.index(letter) for letter in (*shared, rows, inner))),
        Turned(b, tuple(second.index(letter) for letter in (*shared, columns, inner))),
        tuple([*shared, rows, columns].index(letter) for letter in result),
    )


def _letters(node: ir.Node) -> tuple[str, str, str] | None:
    """The axes of both operands and of the result, a letter each."""
    ranks = [len(dims(value) or ()) for value in (*node.inputs, node.outputs[0])]
    if node.op_type == "Einsum":
        terms, arrow, result = str(attribute(node, "equation")).replace(" ", "").partition("->")
        first, comma, second = terms.partition(",")
        plain = arrow and comma and (first + second + result).isalpha()
        return (first, second, result) if plain and ranks == [len(t) for t in (first, second, result)] else None
    if ranks[0] != ranks[1] or ranks[0] < 3:
        return None
    shared = "".join(chr(ord("a") + axis) for axis in range(ranks[0] - 2))
    return shared + "xy", shared + "yz", shared + "xz"


def _unmoved(value: ir.Value, order: Sequence[int]) -> ir.Value | None:
    """An earlier value that is ``value`` with its axes in ``order``, behind nothing but moves."""
    moves: list[ir.Node] = []
    source = value
    while (node := source.producer()) is not None and is_move(node) and node.inputs[0] is not None and len(moves) < 8:
        moves.insert(0, node)
        source = node.inputs[0]
        if len(dims(source) or ()) == len(order) and _is_reordered(source, moves, order):
            return source
    return None


def _is_reordered(source: ir.Value, moves: Sequence[ir.Node], order: Sequence[int]) -> bool:
    """Whether ``moves`` and then a transposition into ``order`` leave ``source`` as it was, whatever its sizes."""
    for sizes in assignments([source]):
        shape = shape_at(source, sizes)
        if shape is None or 0 in shape or np.prod(shape) > _MANY:
            return False
        places = np.arange(int(np.prod(shape))).reshape(shape)
        found = moved(places, moves, sizes)
        if found is None or found.ndim != len(order) or not np.array_equal(found.transpose(order), places):
            return False
    return True
