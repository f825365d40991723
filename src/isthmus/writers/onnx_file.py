"""An ONNX model as bytes, written piece by piece: no copy of the weights is ever held.

A protobuf message is the sequence of its fields in any order, so that the file is the model without its weights,
followed by one field a weight whose content streams from where it lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import onnx
import onnx_ir as ir

from isthmus.hub.io import MAP_TYPE
from isthmus.hub.model import ROLE
from isthmus.hub.state import KEY

_GRAPH_IN_MODEL = onnx.ModelProto.GRAPH_FIELD_NUMBER
_INITIALIZER_IN_GRAPH = onnx.GraphProto.INITIALIZER_FIELD_NUMBER
_RAW_IN_TENSOR = onnx.TensorProto.RAW_DATA_FIELD_NUMBER

_LENGTH_DELIMITED = 2
_SMALL = 1024
"""Tensors up to this many bytes stay within the model even where the others are beside it."""

_ALIGNMENT = 64
_PAGE = 4096
_PAGE_FROM = 1 << 20
"""Tensors from this size on begin at a page, so that a runtime can map them instead of reading them."""


def write_file(model: ir.Model, path: Path, *, external_from: int) -> None:
    """Write ``model`` to ``path``; where its weights have ``external_from`` bytes or more, to ``<name>.data`` too."""
    # A tensor may bear another name than the value that it is the content of, or none: the value's is what nodes use.
    values = {name: value for name, value in model.graph.initializers.items() if value.const_value is not None}
    weights = {name: value.const_value for name, value in values.items() if value.const_value is not None}
    tensors = list(weights.values())
    outside = path.with_name(f"{path.name}.data")
    external = sum(tensor.nbytes for tensor in tensors) >= external_from
    heads = _beside(weights, outside) if external else [_head(name, tensor) for name, tensor in weights.items()]
    for head, value in zip(heads, values.values(), strict=True):
        _tell(head, value)
    shell = _without_weights(model)
    graph = shell.graph.SerializeToString(deterministic=True)
    shell.ClearField("graph")
    with path.open("wb") as file:
        file.write(shell.SerializeToString(deterministic=True))
        bodies = [_streamed_size(tensor, head) for tensor, head in zip(tensors, heads, strict=True)]
        length = len(graph) + sum(size + len(_key(_INITIALIZER_IN_GRAPH, size)) for size in bodies)
        file.write(_key(_GRAPH_IN_MODEL, length))
        file.write(graph)
        for tensor, head, size in zip(tensors, heads, bodies, strict=True):
            file.write(_key(_INITIALIZER_IN_GRAPH, size))
            _write_tensor(file, tensor, head)


def _head(name: str, tensor: ir.TensorProtocol) -> onnx.TensorProto:
    """The tensor's name, type and shape; its content too where that has no raw form."""
    if tensor.dtype == ir.DataType.STRING:
        proto: onnx.TensorProto = ir.serde.serialize_tensor(tensor)
        proto.name = name
        return proto
    return onnx.TensorProto(name=name, data_type=tensor.dtype.value, dims=tensor.shape.numpy())


def _tell(head: onnx.TensorProto, value: ir.Value) -> None:
    """Note what the weight is in its source: a parameter or a buffer, and its name where that is another one."""
    told = {ROLE: value.metadata_props.get(ROLE), KEY: value.metadata_props.get(KEY)}
    for key, text in told.items():
        if text and (key, text) != (ROLE, "constant"):
            head.metadata_props.add(key=key, value=text)


def _streams(tensor: ir.TensorProtocol, head: onnx.TensorProto) -> bool:
    return tensor.dtype != ir.DataType.STRING and not head.external_data


def _streamed_size(tensor: ir.TensorProtocol, head: onnx.TensorProto) -> int:
    size = int(head.ByteSize())
    return size + len(_key(_RAW_IN_TENSOR, tensor.nbytes)) + tensor.nbytes if _streams(tensor, head) else size


def _write_tensor(file: BinaryIO, tensor: ir.TensorProtocol, head: onnx.TensorProto) -> None:
    file.write(head.SerializeToString(deterministic=True))
    if _streams(tensor, head):
        file.write(_key(_RAW_IN_TENSOR, tensor.nbytes))
        _write_content(file, tensor)


def _write_content(file: BinaryIO, tensor: ir.TensorProtocol) -> None:
    if tensor.nbytes:
        start = file.tell()
        file.flush()
        tensor.tofile(file)  # type: ignore[attr-defined] # every tensor class of onnx-ir has it, its protocol has not
        file.seek(start + tensor.nbytes)


def _beside(weights: Mapping[str, ir.TensorProtocol], path: Path) -> list[onnx.TensorProto]:
    """Write the large ones to ``path``, in order, and return what the model says of each."""
    heads = []
    with path.open("wb") as file:
        for name, tensor in weights.items():
            head = _head(name, tensor)
            if tensor.nbytes > _SMALL and tensor.dtype != ir.DataType.STRING:
                step = _PAGE if tensor.nbytes >= _PAGE_FROM else _ALIGNMENT
                file.write(b"\0" * (-file.tell() % step))
                place = {"location": path.name, "offset": str(file.tell()), "length": str(tensor.nbytes)}
                head.data_location = onnx.TensorProto.EXTERNAL
                for key, value in place.items():
                    head.external_data.add(key=key, value=value)
                _write_content(file, tensor)
            heads.append(head)
    return heads


def _without_weights(model: ir.Model) -> onnx.ModelProto:
    """The model's proto with no initializer in it. The model is as before when this returns."""
    held = list(model.graph.initializers.values())
    model.graph.initializers.clear()
    try:
        proto: onnx.ModelProto = ir.serde.serialize_model(model)
    finally:
        for value in held:
            model.graph.initializers.add(value)
    for values, infos in ((model.graph.inputs, proto.graph.input), (model.graph.outputs, proto.graph.output)):
        for value, info in zip(values, infos, strict=True):
            if MAP_TYPE in value.meta:
                info.type.ParseFromString(value.meta[MAP_TYPE])
    return proto


def _key(field: int, length: int) -> bytes:
    """The tag of a length-delimited field, and its length, as protobuf writes them."""
    return _varint(field << 3 | _LENGTH_DELIMITED) + _varint(length)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
