"""Dimensions that exporters wrote down without saying anything: negative sizes, question marks."""

from __future__ import annotations

import onnx_ir as ir

from isthmus.types import told


def forget_nameless(model: ir.Model) -> None:
    """Make such dimensions of inputs, outputs and values unknown, in place."""
    for graph in model.graphs():
        for value in (*graph.inputs, *(made for node in graph for made in node.outputs)):
            if value.shape is None:
                continue
            dims = [d if isinstance(d, int) else d.value for d in value.shape]
            kept = [told(d) for d in dims]
            if kept != dims:
                value.shape = ir.Shape(kept)
