"""Padding, plain and by mirror."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from isthmus.readers.tensorflow.builder import Builder

_ALL = 2**63 - 1


def edges_of(op: Builder, paddings: ir.Value | np.ndarray) -> ir.Value | np.ndarray:
    """TensorFlow's (axes, 2) as ONNX's ``pads``: all begins, then all ends."""
    if isinstance(paddings, ir.Value):
        flat: ir.Value = op.Reshape(op.Transpose(op.Cast(paddings, to=ir.DataType.INT64), perm=[1, 0]), [-1])
        return flat
    return paddings.T.astype("int64").reshape(-1)


def mirrored(op: Builder, value: ir.Value, paddings: ir.Value | np.ndarray, rank: int, mode: str) -> ir.Value:
    """Padded by reflection: REFLECT leaves the edge itself out, SYMMETRIC repeats it, which ONNX does not know."""
    if mode == "REFLECT":
        made: ir.Value = op.Pad(value, edges_of(op, paddings), mode="reflect")
        return made
    if not isinstance(paddings, ir.Value):
        for axis, (before, after) in enumerate(paddings.tolist()):
            value = _symmetric(op, value, axis, [before] if before else None, [after] if after else None)
        return value
    listed = op.Cast(paddings, to=ir.DataType.INT64)
    for axis in range(rank):
        before, after = (op.Slice(listed, [axis, side], [axis + 1, side + 1]) for side in (0, 1))
        value = _symmetric(op, value, axis, op.Reshape(before, [1]), op.Reshape(after, [1]))
    return value


def _symmetric(op, value, axis, before, after):
    parts = [value]
    if before is not None:
        parts.insert(0, _reversed(op, op.Slice(value, [0], before, [axis]), axis))
    if after is not None:
        size = op.Shape(value, start=axis, end=axis + 1)
        parts.append(_reversed(op, op.Slice(value, op.Sub(size, after), [_ALL], [axis]), axis))
    return op.Concat(*parts, axis=axis) if len(parts) > 1 else value


def _reversed(op, value, axis):
    return op.Slice(value, [-1], [-_ALL], [axis], [-1])
