"""Softmax, LogSoftmax and Hardmax: before opset 13 they flattened everything from ``axis`` on into one row."""

from __future__ import annotations

import onnx_ir as ir

from isthmus.hub.upgrades.base import Rule, Step, upgrade


@upgrade(13, "Softmax", "LogSoftmax", "Hardmax")
def flattened_rows(c: Step) -> None:
    """Old ``Softmax<axis=1>`` of [N, C, H] is a softmax over C·H; new ``axis`` names one dimension."""
    axis, data = c.take("axis", 1), c.data()
    rank = c.rank(data)
    if data.shape is not None and rank is not None and _one_dim(data.shape, axis + rank if axis < 0 else axis):
        c.set("axis", axis)
        return
    if axis < 0 and rank is not None:
        axis += rank
    shape = c.op("Shape", [data])
    rows = c.op("Flatten", [data], axis=axis)
    out = c.op(c.node.op_type, [rows], axis=-1)
    c.replace(c.op("Reshape", [out, shape]))


def _one_dim(shape: ir.Shape, axis: int) -> bool:
    """Whether the row that starts at ``axis`` spans that dimension alone: the others after it are all 1."""
    return axis < len(shape) and all(d == 1 for d in list(shape)[axis + 1 :])


RULES: tuple[Rule, ...] = (flattened_rows,)
