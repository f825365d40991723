"""The same graph in double precision: what it would say if nothing were rounded."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from isthmus.hub.model import ONNX, Hub

_NARROW = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
_TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype", "output_datatype", "stash_type", "softmax_precision", "precision")
"""Attributes that hold an element type: of what a node gives, or of what it computes in."""


def in_float64(hub: Hub) -> Hub:
    """A copy of ``hub`` in which every float32, float16 and bfloat16 is a float64.

    Inputs, weights, constants, casts, all that is computed. What is fewer than 16 bits wide keeps its steps: there
    rounding is the point.
    """
    model = hub.model.clone()
    for graph in model.graphs():
        for value in graph.inputs:
            _widen(value)
        for value in graph.initializers.values():
            _widen(value)
            if value.const_value is not None:
                value.const_value = _wide_tensor(value.const_value)
        for node in graph:
            _widen_attributes(node)
            for value in node.outputs:
                _widen(value)
    return hub.with_(model=model)


def _widen(value: ir.Value) -> None:
    if value.type is not None:
        value.type = _wide_type(value.type)


def _wide_type(kind: ir.TypeProtocol) -> ir.TypeProtocol:
    if isinstance(kind, (ir.SequenceType, ir.OptionalType)):
        return type(kind)(_wide_type(kind.elem_type))
    return ir.TensorType(ir.DataType.DOUBLE) if kind.dtype in _NARROW else kind


def _wide_tensor(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    if tensor.dtype not in _NARROW:
        return tensor
    return ir.Tensor(tensor.numpy().astype(np.float64), name=tensor.name)


def _widen_attributes(node: ir.Node) -> None:
    for name, attribute in node.attributes.items():
        if attribute.type == ir.AttributeType.TENSOR:
            node.attributes[name] = ir.AttrTensor(name, _wide_tensor(attribute.as_tensor()))
        elif name in _TYPE_ATTRIBUTES and attribute.type == ir.AttributeType.INT and attribute.as_int() in _NARROW:
            node.attributes[name] = ir.AttrInt64(name, ir.DataType.DOUBLE)
    if node.op_type == "ConstantOfShape" and node.domain == ONNX and "value" not in node.attributes:
        node.attributes["value"] = ir.AttrTensor("value", ir.Tensor(np.zeros(1)))
