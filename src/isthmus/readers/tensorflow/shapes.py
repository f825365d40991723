"""Shapes of what was made, where TensorFlow does not know them: behind the loops of TensorFlow 1, say."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from isthmus.hub.model import HUB_OPSET, ONNX
from isthmus.hub.ranks import ranks_of_outputs
from isthmus.hub.schema import schema_of

_DATA = 1 << 8
"""Constants of up to this many elements are shown to the inference: shapes, axes and pads are made of them."""


def tell_shape(value: ir.Value) -> None:
    """Give ``value`` the shape that follows from what it is made of, or at least its rank, where that can be told."""
    pending = [value]
    seen: set[ir.Node] = set()
    while pending:
        node = pending[-1].producer()
        if pending[-1].shape is not None or node is None:
            pending.pop()
            continue
        missing = [v for v in node.inputs if v is not None and v.shape is None and v.producer() is not None]
        if node in seen or not missing:
            _infer(node)
            pending.pop()
        else:
            seen.add(node)
            pending += [v for v in missing if v.producer() not in seen]


def _infer(node: ir.Node) -> None:
    schema = schema_of(node.domain, node.op_type)
    if schema is None or any(a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for a in _attributes(node)):
        return
    given = [value for value in node.inputs if value is not None]
    types = {str(v.name): _type_proto(v) for v in given if v.type is not None}
    data = {
        str(v.name): ir.to_proto(v.const_value)
        for v in given
        if v.const_value is not None and v.const_value.size <= _DATA and not v.is_graph_input()
    }
    try:
        found = onnx.shape_inference.infer_node_outputs(
            schema, ir.to_proto(node), types, data, opset_imports=[onnx.helper.make_opsetid(ONNX, HUB_OPSET)]
        )
    except (onnx.shape_inference.InferenceError, RuntimeError):
        found = {}
    for value, rank in zip(node.outputs, ranks_of_outputs(node), strict=True):
        if value.shape is not None:
            continue
        proto = found.get(str(value.name))
        if proto is not None and proto.tensor_type.HasField("shape"):
            value.shape = ir.Shape([_dim(dim) for dim in proto.tensor_type.shape.dim])
        elif rank is not None and rank >= 0:
            value.shape = ir.Shape([None] * rank)


def _attributes(node: ir.Node) -> list[ir.Attr]:
    return list(node.attributes.values())


def _type_proto(value: ir.Value) -> onnx.TypeProto:
    dims = None if value.shape is None else [d if isinstance(d, int) else d.value for d in value.shape]
    assert value.dtype is not None
    return onnx.helper.make_tensor_type_proto(value.dtype.value, dims)


def _dim(dim: onnx.TensorShapeProto.Dimension) -> int | str | None:
    if dim.HasField("dim_value"):
        return int(dim.dim_value)
    return str(dim.dim_param) if dim.dim_param else None
