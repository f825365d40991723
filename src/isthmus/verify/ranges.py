"""Which integers a graph can take, proved from what it does with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir

_INTEGERS = frozenset(("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"))
_MOVES = frozenset(
    ("Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Expand", "Slice", "Split", "Tile")
)
"""Operators whose first input's entries come out as they are, elsewhere."""

_COMPARISONS = frozenset(("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"))
_MASK = (0, 1)
_DIVIDING = frozenset(("Div", "Mod"))
_DIVISORS = (1, 9)
"""Integers that may divide: no framework says what it makes of a division by 0."""


@dataclass(frozen=True)
class _Use:
    """``value + offset`` reaches input ``place`` of ``node``."""

    node: ir.Node
    place: int
    offset: int


def integer_ranges(graph: ir.Graph) -> dict[str, tuple[int, int]]:
    """The least and the greatest value of each integer input that is an index, a divisor or a mask, both included.

    An input that indexes an axis of known size (Gather, GatherElements, GatherND, Scatter…, OneHot), straight or
    through casts, reshapes and constants added, stays within that axis. One that divides is above 0. One that is only
    compared, cast to a float or a boolean, or chosen by, is a mask of 0 and 1. Other integer inputs are not in the
    result.
    """
    found: dict[str, tuple[int, int]] = {}
    for value in graph.inputs:
        if value.name is None or value.dtype is None or value.dtype.name not in _INTEGERS:
            continue
        uses = list(_uses(value, 0, set()))
        bounds = [bound for use in uses if (bound := _bound(use)) is not None]
        if bounds:
            low, high = max(low for low, _ in bounds), min(high for _, high in bounds)
            found[value.name] = (low, max(low, high))
        elif uses and all(_is_mask(use) for use in uses):
            found[value.name] = _MASK
    return found


def _uses(value: ir.Value, offset: int, seen: set[int]) -> Iterator[_Use]:
    """Where the value ends up, followed through everything that only moves, widens or shifts it."""
    if id(value) in seen:
        return
    seen.add(id(value))
    for node, place in value.uses():
        onward = _passed_on(node, place, offset)
        if onward is None:
            yield _Use(node, place, offset)
        else:
            for output in node.outputs:
                yield from _uses(output, onward, seen)


def _passed_on(node: ir.Node, place: int, offset: int) -> int | None:
    """The offset behind the node where it passes its input on as integers, else None."""
    if node.op_type in _MOVES and place == 0:
        return offset
    if node.op_type == "Concat":
        return offset
    if node.op_type == "Cast":
        to = node.outputs[0].dtype
        return offset if to is not None and to.name in _INTEGERS else None
    if node.op_type == "Add" or (node.op_type == "Sub" and place == 0):
        constant = _scalar(node.inputs[1 - place])
        if constant is not None:
            return offset + constant if node.op_type == "Add" else offset - constant
    if node.op_type == "Where" and place > 0:
        return offset
    return None


def _bound(use: _Use) -> tuple[int, int] | None:
    if use.node.op_type in _DIVIDING and use.place == 1:
        return _DIVISORS[0] - use.offset, _DIVISORS[1] - use.offset
    rule = _BOUNDS.get((use.node.op_type, use.place))
    size = rule(use.node) if rule is not None else None
    return None if size is None or size < 1 else (max(0, -use.offset), size - 1 - use.offset)


def _gathered(node: ir.Node) -> int | None:
    return _axis_size(node.inputs[0], node.attributes.get_int("axis", 0))


def _gathered_nd(node: ir.Node) -> int | None:
    """The smallest of the axes that an index tuple addresses: one range must serve all of its places."""
    indices, batch = node.inputs[1], node.attributes.get_int("batch_dims", 0)
    depth = _axis_size(indices, -1)
    if depth is None:
        return None
    sizes = [_axis_size(node.inputs[0], batch + axis) for axis in range(depth)]
    known = [size for size in sizes if size is not None]
    return min(known) if known and len(known) == len(sizes) else None


def _depth(node: ir.Node) -> int | None:
    return _scalar(node.inputs[1])


_BOUNDS: dict[tuple[str, int], Callable[[ir.Node], int | None]] = {
    ("Gather", 1): _gathered,
    ("GatherElements", 1): _gathered,
    ("ScatterElements", 1): _gathered,
    ("GatherND", 1): _gathered_nd,
    ("ScatterND", 1): _gathered_nd,
    ("OneHot", 0): _depth,
}


def _is_mask(use: _Use) -> bool:
    if use.node.op_type == "Cast":
        return True  # to a float or a boolean: to an integer it would have been followed
    return use.node.op_type in _COMPARISONS or (use.node.op_type == "ReduceSum" and use.place == 0)


def _axis_size(value: ir.Value | None, axis: int) -> int | None:
    if value is None or value.shape is None:
        return None
    if not -len(value.shape) <= axis < len(value.shape):
        return None
    size = value.shape[axis]
    return size if isinstance(size, int) else None


def _scalar(value: ir.Value | None) -> int | None:
    constant = value.const_value if value is not None else None
    if constant is None or constant.size != 1:
        return None
    number = constant.numpy().reshape(()).item()
    return number if isinstance(number, int) else None
