"""How many channels an image has, where only its convolution tells."""

from __future__ import annotations

import onnx_ir as ir

from isthmus.hub.infer import infer_shapes
from isthmus.hub.model import ONNX


def settle_channels(model: ir.Model) -> None:
    """A free dimension that a convolution takes for its channels is of their number: with another, nothing runs.

    One in a branch or a loop tells nothing, for it may not run at all.
    """
    sizes = dict(found for node in model.graph if (found := _told(node)) is not None)
    if not sizes:
        return
    values = [value for graph in model.graphs() for value in graph.inputs]
    values += [value for node in model.graph.all_nodes() for value in node.outputs]
    for value in values:
        if value.shape is not None:
            value.shape = ir.Shape(
                [dim if isinstance(dim, int) else sizes.get(dim.value, dim) for dim in value.shape]
            )
    infer_shapes(model)


def _told(node: ir.Node) -> tuple[str | None, int] | None:
    """The name of the free dimension that this convolution's channels are, and how many there are."""
    if node.op_type != "Conv" or node.domain != ONNX:
        return None
    image, filters = node.inputs[:2]
    if image is None or image.shape is None or filters is None or filters.shape is None:
        return None
    channels, depth = image.shape[1], filters.shape[1]
    if isinstance(channels, int) or channels.value is None or not isinstance(depth, int):
        return None
    group = node.attributes.get("group")
    return channels.value, depth * (1 if group is None else group.as_int())
