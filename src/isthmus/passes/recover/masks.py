"""Masks of attention: which keys a query sees, as the operator Attention takes it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from isthmus.hub.model import ROLE
from isthmus.passes.edit import Editor, dims, known
from isthmus.passes.recover.match import made_by, scalar
from isthmus.passes.recover.scores import HIDDEN, Mask
from isthmus.passes.recover.sight import all_see, triangle


@dataclass(frozen=True)
class Sight:
    """A mask, and what becomes of a query from which it hides every key."""

    mask: Mask | None
    guarded: bool
    """Whether weights that are no numbers, as those over nothing but minus infinity, are made zeros."""
    whole: bool = False
    """Whether the mask must be of all queries, even where it is the same for them."""

    def misfit(self, scores: Sequence[int | str | None]) -> str:
        """Why Attention cannot take it over scores of this shape; empty where it can."""
        if self.mask is None:
            return ""
        shape = dims(self.mask.value)
        if shape is None or not 1 <= len(shape) <= len(scores):
            return "its mask is laid out otherwise"
        spread = [whole == 1 != size for size, whole in zip(shape[::-1], scores[::-1], strict=False)]
        if any(spread):
            return "its mask has more entries than the scores"
        if self.is_triangle(scores):
            return ""
        blinding = self.mask.hides if self.mask.adds is None else self.mask.adds
        blinding = -math.inf if blinding is None else blinding
        if blinding == -math.inf and not self.guarded and not self.all_see:
            return "its mask may hide every key from a query, which gives no numbers then"
        return ""

    @property
    def all_see(self) -> bool:
        """Whether every query sees a key."""
        if self.mask is None or not self.mask.negated:
            return self.mask is None or all_see(self.mask.value)
        return triangle(self.mask.value, weights=True) is False

    def is_triangle(self, scores: Sequence[int | str | None]) -> bool:
        """Whether each query sees the keys up to its own place, and no others."""
        if self.mask is None or (shape := dims(self.mask.value)) is None or len(shape) < 2:
            return False
        return shape[-2:] == tuple(scores[-2:]) and None not in shape and _shows_triangle(self.mask)


def _shows_triangle(mask: Mask) -> bool:
    if mask.hides is not None:
        return triangle(mask.value) is not mask.negated and triangle(mask.value) is not None
    if mask.adds is not None:
        return mask.adds <= HIDDEN and triangle(mask.value) is mask.negated
    if mask.value.metadata_props.get(ROLE) in ("parameter", "buffer"):
        return False
    array, node = known(mask.value), made_by(mask.value, "Where")
    if array is not None and array.dtype.kind == "f" and (array[array != 0] <= HIDDEN).all():
        return triangle(mask.value) is False
    if node is None:
        return False
    yes, no = (scalar(value) for value in node.inputs[1:])
    if yes is None or no is None or max(yes, no) != 0 or min(yes, no) > HIDDEN:
        return False
    return triangle(node.inputs[0]) is (yes == 0)


def sight(
    edit: Editor, anchor: ir.Node, found: Sight, query: ir.Value, key: ir.Value
) -> tuple[ir.Value, ir.Value | None, bool]:
    """The queries, the mask, and whether it is the usual triangle instead.

    From a query that sees no key, Attention gives zeros. A softmax over equal scores gives the mean of all values:
    such a query is made zero, so that all keys are alike to it and no gradient reaches it, and sees them all.
    """
    if found.mask is None:
        return query, None, False
    mask, value = found.mask, found.mask.value
    if found.is_triangle([*(dims(query) or ())[:-1], (dims(key) or ())[-2]]):
        return query, None, True
    if mask.negated:
        value = edit.before(anchor, "Not", [value], shape=value.shape)
    if mask.adds is not None:
        share = edit.before(anchor, "Cast", [value], {"to": query.dtype}, dtype=query.dtype, shape=value.shape)
        value = edit.before(anchor, "Mul", [share, _number(edit, query, mask.adds)], shape=value.shape)
    elif mask.hides not in (None, -math.inf) and not found.all_see:
        shape = dims(value) or ()
        last = edit.ints([-1], "last")
        seeing = edit.before(anchor, "ReduceMax", [value, last], {"keepdims": 1}, shape=[*shape[:-1], 1])
        blind = edit.before(anchor, "Not", [seeing], shape=seeing.shape)
        value = edit.before(anchor, "Or", [value, blind], shape=shape)
        choice = [seeing, query, _number(edit, query, 0.0)]
        query = edit.before(anchor, "Where", choice, dtype=query.dtype, shape=query.shape)
    return query, _shaped(edit, anchor, value, query if found.whole else None, key), False


def _number(edit: Editor, like: ir.Value, number: float) -> ir.Value:
    assert like.dtype is not None
    made = edit.constant(np.asarray(number, like.dtype.numpy()), "number")
    made.metadata_props[ROLE] = "constant"
    return made


def _shaped(edit: Editor, anchor: ir.Node, mask: ir.Value, query: ir.Value | None, key: ir.Value) -> ir.Value:
    """A mask that tells of every key, and of every ``query``, in two axes or in four: batch, heads, queries, keys.

    Of one whose last axis is shorter, Attention takes it that the other keys are hidden.
    """
    shape, keys = dims(mask) or (), dims(key) or ()
    tail = (keys[-2],) if query is None else ((dims(query) or ())[-2], keys[-2])
    if shape[-len(tail) :] != tail:
        counts = [_count(edit, anchor, side) for side in (query, key) if side is not None]
        if len(counts) > 1:
            counts = [edit.before(anchor, "Concat", counts, {"axis": 0}, shape=[2])]
        shape = (*shape[: -len(tail)], *tail)
        mask = edit.before(anchor, "Expand", [mask, *counts], shape=shape)
    axis = {1: 0, 3: 1 if len(keys) == 3 else None}.get(len(shape))
    if axis is None:
        return mask
    at = edit.ints([axis], "axis")
    return edit.before(anchor, "Unsqueeze", [mask, at], shape=[*shape[:axis], 1, *shape[axis:]])


def _count(edit: Editor, anchor: ir.Node, side: ir.Value) -> ir.Value:
    """How many queries or keys there are."""
    return edit.before(anchor, "Shape", [side], {"start": -2, "end": -1}, dtype=ir.DataType.INT64, shape=[1])
