"""What is known of a mask of attention before it is computed: that every query sees a key."""

from __future__ import annotations

from collections.abc import Sequence

import ml_dtypes
import numpy as np
import onnx_ir as ir

from isthmus.hub.model import ROLE
from isthmus.passes.edit import attribute, dims, known
from isthmus.passes.movement import MOVES
from isthmus.passes.recover.match import made_by, operands, scalar

_MOVES = MOVES | {"Cast", "Expand", "GatherElements", "GatherND", "Identity", "Slice", "Split", "Tile"}
_DEEP = 32
_MANY = 1 << 24
_Interval = tuple[float, float]
_EVERYTHING = (-np.inf, np.inf)


def all_see(value: ir.Value) -> bool:
    """Whether every row of a Boolean has a true element, and every row of a float one above minus infinity.

    Weights are numbers, and whole numbers that the caller gives, from which masks are made, are not negative.
    """
    array = known(value)
    if array is None:
        above = value.dtype != ir.DataType.BOOL and _interval(value, _DEEP, {})[0] > -np.inf
        return above or triangle(value, weights=True) is True
    if not array.ndim or not array.shape[-1]:
        return False
    seen = array if array.dtype == bool else np.asarray(array, np.float64) > -np.inf
    return bool(seen.any(-1).all())


def is_all_true(value: ir.Value | None) -> bool:
    """Whether every element is true, or no element is zero."""
    node = made_by(value, "Expand")
    array = known(value if node is None else node.inputs[0])
    return array is not None and array.dtype.kind in "bif" and array.size < _MANY and bool(array.all())


def triangle(value: ir.Value | None, *, weights: bool = False) -> bool | None:
    """True where a mask tells which keys stand no later than a query, False where it tells all others.

    With ``weights``, also where a weight of the source tells so: it may be loaded anew, and must stay.
    """
    if value is None or (not weights and value.metadata_props.get(ROLE) in ("parameter", "buffer")):
        return None
    array, node = known(value), value.producer()
    if array is not None:
        return _of_triangle(array)
    if node is None or node.domain:
        return None
    first = node.inputs[0]
    if node.op_type in ("Identity", "Cast", "Not"):
        found = triangle(first, weights=weights)
        return not found if node.op_type == "Not" and found is not None else found
    if node.op_type == "Unsqueeze":
        at, rank = known(node.inputs[1]), len(dims(value) or ())
        outer = at is not None and all(int(axis) % rank < rank - 2 for axis in at.reshape(-1))
        return triangle(first, weights=weights) if outer else None
    if node.op_type == "Equal":
        found = next((triangle(a, weights=weights) for a, b in operands(value, "Equal") if scalar(b) == 0), None)
        return None if found is None else not found
    if node.op_type == "Slice":
        return triangle(first, weights=weights) if _cuts_the_end(node) else None
    if node.op_type != "Trilu" or not is_all_true(first):
        return None
    place = node.inputs[1] if len(node.inputs) > 1 else None
    side = attribute(node, "upper", 1), 0.0 if place is None else scalar(place)
    return True if side == (0, 0.0) else False if side == (1, 1.0) else None


def _cuts_the_end(node: ir.Node) -> bool:
    """Whether a Slice leaves what is at the start of the last two axes."""
    starts, axes, steps = (known(node.inputs[i]) if i < len(node.inputs) else None for i in (1, 3, 4))
    if starts is None or axes is None or (len(node.inputs) > 4 and (steps is None or (steps != 1).any())):
        return False
    rank = len(dims(node.inputs[0]) or ())
    return all(
        not start or axis % rank < rank - 2 for start, axis in zip(starts.tolist(), axes.tolist(), strict=True)
    )


def _of_triangle(array: np.ndarray) -> bool | None:
    if array.ndim < 2 or array.dtype.kind not in "bif" or not array.size:
        return None
    seen, lower = array != 0, np.tri(*array.shape[-2:]) != 0
    return True if (seen == lower).all() else False if (seen != lower).all() else None


def _interval(value: ir.Value | None, depth: int, seen: dict[ir.Value, _Interval]) -> _Interval:
    """The least and the largest that an element can be; ``seen`` are those worked out before."""
    if value is None or value.dtype is None or not depth:
        return _EVERYTHING
    if value not in seen:
        array, node = known(value), value.producer()
        if array is not None:
            seen[value] = _of_array(array)
        elif node is None or node.domain or value.dtype == ir.DataType.BOOL:
            low, high = _of_type(value.dtype)
            seen[value] = (
                (max(low, 0.0), high) if value.is_graph_input() and value.dtype.is_integer() else (low, high)
            )
        else:
            found = _computed(node, [_interval(operand, depth - 1, seen) for operand in node.inputs])
            seen[value] = _held(found, value.dtype)
    return seen[value]


def _computed(node: ir.Node, given: Sequence[_Interval]) -> _Interval:
    if node.op_type in _MOVES:
        return given[0]
    if node.op_type in ("Where", "Concat"):
        parts = given[1:] if node.op_type == "Where" else given
        return min(low for low, _ in parts), max(high for _, high in parts)
    if node.op_type in ("Sigmoid", "Tanh", "Softmax"):
        return -1.0, 1.0
    if node.op_type == "Neg":
        return -given[0][1], -given[0][0]
    if node.op_type in ("Add", "Sub"):
        (low, high), (least, most) = given
        return (low + least, high + most) if node.op_type == "Add" else (low - most, high - least)
    if node.op_type == "Mul":
        ends = [a * b if a and b else 0.0 for a in given[0] for b in given[1]]
        return min(ends), max(ends)
    return _EVERYTHING


def _held(found: _Interval, dtype: ir.DataType) -> _Interval:
    """As the element type holds it: whole numbers beyond it come round, floats become infinite."""
    (low, high), (least, most) = found, _limits(dtype)
    if dtype.is_floating_point():
        return (-np.inf if not low >= least else low), (np.inf if not high <= most else high)
    return found if least <= low and high <= most else (least, most)


def _of_array(array: np.ndarray) -> _Interval:
    if array.dtype.kind not in "biufV" or not array.size:
        return _EVERYTHING
    wide = np.asarray(array, np.float64)
    return _EVERYTHING if np.isnan(wide).any() else (float(wide.min()), float(wide.max()))


def _of_type(dtype: ir.DataType) -> _Interval:
    return _EVERYTHING if dtype.is_floating_point() else _limits(dtype)


def _limits(dtype: ir.DataType) -> _Interval:
    """The least and the largest number of an element type."""
    if dtype == ir.DataType.BOOL:
        return 0.0, 1.0
    if not dtype.is_floating_point() and not dtype.is_integer():
        return _EVERYTHING
    limits = (ml_dtypes.finfo if dtype.is_floating_point() else ml_dtypes.iinfo)(dtype.numpy())
    return float(limits.min), float(limits.max)
