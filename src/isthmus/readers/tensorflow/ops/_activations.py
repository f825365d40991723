"""Activations that several operators share."""

from __future__ import annotations

import onnx_ir as ir

from isthmus.readers.tensorflow.builder import Builder


def relu6(op: Builder, x: ir.Value) -> ir.Value:
    """Between 0 and 6, of every number type."""
    return op.Clip(x, 0, 6)


def gelu(op: Builder, x: ir.Value, *, approximate: bool) -> ir.Value:
    """GELU, exact or by tanh."""
    return op.Gelu(x, approximate="tanh" if approximate else "none")
