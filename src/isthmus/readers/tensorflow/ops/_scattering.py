"""Scattering rows with a reduction, in element types that ONNX Runtime reduces."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from isthmus.readers.tensorflow.builder import Builder

_HALVES = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


def scattered(op: Builder, into: ir.Value, indices: Any, updates: ir.Value, reduction: str) -> ir.Value:
    """``into`` with ``updates`` where ``indices``, int64, say: written, or reduced one after the other."""
    if reduction == "none" or updates.dtype not in _HALVES:
        return op.ScatterND(into, indices, updates, reduction=reduction)
    # ONNX Runtime has a kernel for float16 that refuses to reduce when it is run.
    wide = [op.Cast(value, to=ir.DataType.FLOAT) for value in (into, updates)]
    return op.Cast(op.ScatterND(wide[0], indices, wide[1], reduction=reduction), to=updates.dtype)
