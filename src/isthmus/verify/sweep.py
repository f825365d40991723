"""Which sizes the free dimensions take, sample by sample, and what to try next where a model refuses some."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from isthmus.types import Signature

Role = Literal["batch", "image", "length"]

_OPERATORS: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


@dataclass(frozen=True)
class Sweep:
    """The sizes to feed a signature at.

    Within a sample, axes differ in size, so that a mix-up of two is seen; over two samples every axis takes two
    sizes; 1 comes third. ``offered`` holds sizes to choose from, by dimension; ``known`` one size each that the
    model is known to take. A model may refuse a choice (a stride, a longest sequence, two axes that must be
    equal though named apart), so there are ``levels`` of choices, the likeliest first.
    """

    signature: Signature
    offered: Mapping[str, Sequence[int]] = field(default_factory=dict)
    known: Mapping[str, int] = field(default_factory=dict)

    @property
    def levels(self) -> int:
        if not self.dims:
            return 1
        return len(_POLICIES) + (2 if self.known else 0)

    @property
    def dims(self) -> dict[str, Role]:
        """Every free dimension by its key, in order of appearance; expressions of others are left out."""
        found: dict[str, Role] = {}
        for spec in self.signature.inputs:
            for axis, dim in enumerate(spec.shape or ()):
                if isinstance(dim, int) or _is_expression(dim):
                    continue
                key = dim_key(spec.name, axis, dim)
                role = _role(axis, len(spec.shape or ()))
                found[key] = _shared(found.get(key, role), role)
        return found

    def sizes(self, sample: int, level: int) -> dict[str, int]:
        """The size of every free dimension for one sample, at one level of choices."""
        dims = self.dims
        if level >= len(_POLICIES):
            near = {key: _near(self.known.get(key, 2), sample, level - len(_POLICIES)) for key in dims}
            return {**near, **self._offers(dims, sample + level)}
        chosen: dict[str, int] = {}
        places = dict.fromkeys(dims.values(), 0)
        for key, role in dims.items():
            chosen[key] = _POLICIES[level](role, places[role], sample, list(dims.values()).count(role))
            places[role] += 1
        return {**chosen, **self._offers(dims, sample + level)}

    def shape(self, name: str, sizes: Mapping[str, int]) -> tuple[int, ...] | None:
        """The shape of one input at these sizes; ``None`` where its rank is unknown."""
        shape = self.signature.input(name).shape
        if shape is None:
            return None
        return tuple(
            d if isinstance(d, int) else _evaluate(d, sizes) if _is_expression(d) else sizes[dim_key(name, axis, d)]
            for axis, d in enumerate(shape)
        )

    def _offers(self, dims: Mapping[str, Role], turn: int) -> dict[str, int]:
        offers = ((place, key, self.offered.get(key)) for place, key in enumerate(dims))
        return {key: offer[(turn + place) % len(offer)] for place, key, offer in offers if offer}


def dim_key(name: str, axis: int, dim: str | None) -> str:
    """How a free dimension is called: by its name, or, without one, by its place.

    First axes without a name count as one dimension: they are the batch in all that frameworks write.
    """
    if dim is not None:
        return dim
    return "batch?" if axis == 0 else f"{name}.{axis}"


def _role(axis: int, rank: int) -> Role:
    if axis == 0 and rank > 1:
        return "batch"
    return "image" if rank in (4, 5) else "length"


def _shared(one: Role, other: Role) -> Role:
    """Of one dimension in two places. A batch that is another's second axis is one: that other is a state."""
    if one == other:
        return one
    return "batch" if "batch" in (one, other) else "length"


Policy = Callable[[Role, int, int, int], int]
"""(role, its place among that role, sample, how many have that role) → size."""

_BATCHES = (2, 3, 1, 4)


def _small(role: Role, place: int, sample: int, count: int) -> int:
    if role == "batch":
        return _BATCHES[sample % len(_BATCHES)] + place * len(_BATCHES)
    if role == "image":
        return 32 * (2 + place + sample % 8)
    return 5 + place + (count + 1) * (sample % 8)


def _one_height(role: Role, place: int, sample: int, count: int) -> int:
    """Images of the first sample's height: what reads lines of text may take no other."""
    return _small(role, place, 0 if role == "image" and place == 0 else sample, count)


def _large(role: Role, place: int, sample: int, count: int) -> int:
    if role == "batch":
        return _small(role, place, sample, count)
    return 32 * (7 + place + sample % 8) if role == "image" else 16 * (1 + place + (count + 1) * (sample % 4))


def _line(height: int) -> Policy:
    """Images of a line of text: of one height, and wider than high."""

    def policy(role: Role, place: int, sample: int, count: int) -> int:
        if role == "image":
            return height if place == 0 else 32 * (4 + place + sample % 8)
        return _small(role, place, sample, count)

    return policy


def _tiny(role: Role, place: int, sample: int, count: int) -> int:
    return _small(role if role == "batch" else "length", place, sample, count)


def _equal(role: Role, place: int, sample: int, count: int) -> int:
    return _small(role, 0, sample, 1)


def _all_equal(role: Role, place: int, sample: int, count: int) -> int:
    return 2 + sample % 8


def _square(role: Role, place: int, sample: int, count: int) -> int:
    return _large(role, 0, sample, 1)


def _long(role: Role, place: int, sample: int, count: int) -> int:
    return _small(role, place, sample, count) if role != "length" else 1600 * (1 + place + sample % 4)


def _frame(least: int) -> Policy:
    """Pieces of sound, as long as those that detectors of speech take at once."""

    def policy(role: Role, place: int, sample: int, count: int) -> int:
        if role != "length":
            return _small(role, place, sample, count)
        return least + least // 8 * (place + count * (sample % 3))

    return policy


def _single(role: Role, place: int, sample: int, count: int) -> int:
    """A batch of one: for models that declare it free and bind it by a state of fixed size."""
    return 1 if role == "batch" else _large(role, place, sample, count)


_POLICIES: tuple[Policy, ...] = (
    _small,
    _one_height,
    _large,
    _single,
    _line(32),
    _line(48),
    _equal,
    _tiny,
    _square,
    _frame(512),
    _frame(256),
    _long,
    _all_equal,
)


def _near(size: int, sample: int, level: int) -> int:
    """Another size close to a known good one, then the known one itself."""
    step = 32 if size >= 64 and size % 32 == 0 else 1
    return max(1, size + step * (1 + sample)) if level == 0 else size


def _is_expression(dim: str | None) -> bool:
    return dim is not None and not isinstance(_parsed(dim), ast.Name | None)


def _parsed(dim: str) -> ast.expr | None:
    """A dimension's name as an expression, where it is one of names, numbers and integer operators."""
    try:
        tree = ast.parse(dim, mode="eval").body
    except (SyntaxError, ValueError):
        return None
    allowed = (ast.BinOp, ast.Name, ast.Constant, ast.operator, ast.Load)
    return tree if all(isinstance(node, allowed) for node in ast.walk(tree)) else None


def _evaluate(dim: str | None, sizes: Mapping[str, int]) -> int:
    def value(node: ast.expr) -> int:
        match node:
            case ast.Constant(value=int(number)):
                return number
            case ast.Name(id=name):
                return sizes.get(name, 2)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return _OPERATORS[type(op)](value(left), value(right))
        return 2

    tree = _parsed(dim or "")
    return max(0, value(tree)) if tree is not None else 2
