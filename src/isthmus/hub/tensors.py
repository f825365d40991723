"""Is a stored tensor well formed? A known type, a possible shape, and as much content as both ask for."""

from __future__ import annotations

import math
from collections.abc import Iterator

import onnx
import onnx_ir as ir
from onnx import TensorProto

_KNOWN = frozenset(TensorProto.DataType.values()) - {TensorProto.UNDEFINED}

_FIELDS = {
    TensorProto.FLOAT: ("float_data", 1),
    TensorProto.COMPLEX64: ("float_data", 2),
    TensorProto.DOUBLE: ("double_data", 1),
    TensorProto.COMPLEX128: ("double_data", 2),
    TensorProto.INT64: ("int64_data", 1),
    TensorProto.UINT64: ("uint64_data", 1),
    TensorProto.UINT32: ("uint64_data", 1),
    TensorProto.STRING: ("string_data", 1),
}
"""Element type → the field that holds its content unless that is raw, and how many entries an element takes."""

_BYTE = 8


def tensor_problems(tensor: TensorProto) -> Iterator[str]:
    """What is wrong with a tensor; nothing is said of content that lies outside of the model."""
    name = f"tensor {tensor.name!r}"
    if tensor.data_type not in _KNOWN:
        yield f"{name} has the element type {tensor.data_type}, which ONNX does not have"
        return
    if any(dim < 0 for dim in tensor.dims):
        yield f"{name} has a negative dimension"
        return
    if tensor.data_location == TensorProto.EXTERNAL:
        return
    count = math.prod(tensor.dims)
    kind = ir.DataType(tensor.data_type)
    if tensor.HasField("raw_data"):
        needs = -(-count * (kind.bitwidth if kind != ir.DataType.STRING else 0) // _BYTE)
        if kind == ir.DataType.STRING or len(tensor.raw_data) != needs:
            yield f"{name} holds {len(tensor.raw_data)} bytes; its type and shape ask for {needs}"
        return
    field, each = _FIELDS.get(tensor.data_type, ("int32_data", 1))
    held = len(getattr(tensor, field))
    needs = -(-count * kind.bitwidth // _BYTE) if field == "int32_data" and kind.bitwidth < _BYTE else count * each
    if held != needs:
        yield f"{name} holds {held} values; its type and shape ask for {needs}"


def type_problems(info: onnx.ValueInfoProto) -> Iterator[str]:
    """Element types that ONNX does not have; an absent one is no problem, for it can be inferred."""
    waiting = [info.type]
    while waiting:
        kind = waiting.pop()
        for field in ("tensor_type", "sparse_tensor_type"):
            if kind.HasField(field) and getattr(kind, field).elem_type not in _KNOWN | {TensorProto.UNDEFINED}:
                yield f"{info.name!r} has the element type {getattr(kind, field).elem_type}, which ONNX does not have"
        if kind.HasField("sequence_type"):
            waiting.append(kind.sequence_type.elem_type)
        if kind.HasField("optional_type"):
            waiting.append(kind.optional_type.elem_type)
        if kind.HasField("map_type"):
            waiting.append(kind.map_type.value_type)
