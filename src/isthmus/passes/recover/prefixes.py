"""Masks over time that are lengths: true for as many first steps of each sequence, and false behind."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from isthmus.passes.edit import attribute, dims, known
from isthmus.passes.recover.match import made_by, scalar

COMPARED = {
    "GreaterOrEqual": (True, False),
    "Less": (False, False),
    "LessOrEqual": (True, True),
    "Greater": (False, True),
}
"""Comparisons of the step with the lengths: whether they hold behind the end, and whether the lengths come first."""


def prefix_of(mask: ir.Value | None, time: int = 0) -> tuple[ir.Value, bool] | None:
    """The lengths that a mask of rank 2 and more tells along the axis ``time``, and whether it holds behind them."""
    while (node := made_by(mask, "Transpose", "Unsqueeze", "Identity")) is not None:
        rank = len(dims(mask) or ())
        if node.op_type == "Transpose":
            perm = attribute(node, "perm") or tuple(reversed(range(rank)))
            time = perm[time]
        elif node.op_type == "Unsqueeze":
            axes = known(node.inputs[1])
            if axes is None or time in (added := {int(a) % rank for a in axes.reshape(-1)}):
                return None
            time -= sum(axis < time for axis in added)
        mask = node.inputs[0]
    node = made_by(mask, "Not")
    if node is not None:
        inner = prefix_of(node.inputs[0], time)
        return None if inner is None else (inner[0], not inner[1])
    node = made_by(mask, *COMPARED)
    if node is None or len(dims(mask) or ()) != 2:
        return None
    holds, is_turned = COMPARED[node.op_type]
    lengths, steps = node.inputs if is_turned else node.inputs[::-1]
    found = _along(lengths, 1 - time)
    if found is None or not _counts(_along(steps, time)):
        return None
    return found, holds


def _along(value: ir.Value | None, axis: int) -> ir.Value | None:
    """The vector that is spread along one axis of a matrix; None where it is another thing."""
    shape = dims(value)
    if shape is None or len(shape) not in (1, 2):
        return None
    if len(shape) == 1:
        return value if axis == 1 else None
    if shape[1 - axis] != 1:
        return None
    node = made_by(value, "Unsqueeze", "Reshape")
    if node is None:
        return value
    return node.inputs[0] if len(dims(node.inputs[0]) or ()) == 1 else None


def _counts(steps: ir.Value | None) -> bool:
    """Whether a vector is 0, 1, 2 and so on."""
    array = known(steps)
    if array is not None:
        return np.array_equal(array.reshape(-1), np.arange(array.size))
    node = made_by(steps, "Cast", "Identity")
    if node is not None:
        return _counts(node.inputs[0])
    node = made_by(steps, "Range")
    return node is not None and scalar(node.inputs[0]) == 0.0 and scalar(node.inputs[2]) == 1.0
