"""Write a SavedModel proto whose weights are put in on the way to the file: they are never held as a proto.

Placeholders named for a weight become ``Const`` nodes under the weight's own name. Sizes are known before any value
is read, so the file is written front to back, one tensor at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx_ir as ir
from google.protobuf.message import Message  # type: ignore[import-untyped]

from isthmus.writers.tensorflow.backend import dtype_of, scope_name
from isthmus.writers.tensorflow.names import unique


@dataclass(frozen=True)
class _Payload:
    """A tensor's bytes, read only when they are written."""

    tensor: ir.TensorProtocol

    def __len__(self) -> int:
        return self.tensor.nbytes

    def write(self, file: BinaryIO) -> None:
        array = np.ascontiguousarray(self.tensor.numpy())
        if array.nbytes != len(self):
            raise ValueError(f"{self.tensor.name!r} has {array.nbytes} bytes, and its type and shape say {len(self)}")
        file.write(array.reshape(-1).view(np.uint8).data)


_Piece = bytes | _Payload


def name_constants(function: Any, objects: Any, nodes: Mapping[str, ir.Value]) -> dict[str, ir.Value]:
    """Rename the placeholder nodes of a FunctionDef to their weights' names, and whatever refers to them.

    ``objects`` is the object graph, where gradient functions name the tensors that they take from this one; ``nodes``
    maps node names to the initializers that they stand for. Returns the same by the new names.
    """
    taken = {node.name for node in function.node_def} | {argument.name for argument in function.signature.input_arg}
    renamed: dict[str, str] = {}
    for node in function.node_def:
        if node.name in nodes and node.op == "Placeholder":
            renamed[node.name] = unique(scope_name(str(nodes[node.name].name)), taken)
            taken.add(renamed[node.name])
    for node in function.node_def:
        node.name = renamed.get(node.name, node.name)
        for index, reference in enumerate(node.input):
            node.input[index] = _renamed(reference, renamed)
    for key, reference in function.ret.items():
        function.ret[key] = _renamed(reference, renamed)
    for held in objects.nodes:
        if held.captured_tensor.concrete_function == function.signature.name:
            held.captured_tensor.name = _renamed(held.captured_tensor.name, renamed)
    return {renamed.get(old, old): value for old, value in nodes.items()}


def _renamed(reference: str, names: Mapping[str, str]) -> str:
    """``name``, ``name:output:0`` or ``^name`` under its new name."""
    mark = "^" if reference.startswith("^") else ""
    name, separator, rest = reference[len(mark) :].partition(":")
    return f"{mark}{names.get(name, name)}{separator}{rest}"


def write_proto(proto: Any, path: Path, constants: Mapping[str, Mapping[str, ir.Value]]) -> None:
    """Write a SavedModel proto to ``path``, placeholder nodes of functions as the initializers they stand for.

    ``constants`` maps function names to node names to initializers.
    """
    with path.open("wb") as file:
        for piece in _saved_model(proto, constants):
            if isinstance(piece, bytes):
                file.write(piece)
            else:
                piece.write(file)


def _saved_model(proto: Any, constants: Mapping[str, Mapping[str, ir.Value]]) -> list[_Piece]:
    def node(message: Any, weights: Mapping[str, ir.Value]) -> list[_Piece]:
        if message.op != "Placeholder" or message.name not in weights:
            return [_bytes(message)]
        return _constant(message, weights[message.name].const_value)

    def function(message: Any) -> list[_Piece]:
        weights = constants.get(message.signature.name, {})
        return _split(message, "node_def", lambda m: node(m, weights)) if weights else [_bytes(message)]

    def library(message: Any) -> list[_Piece]:
        return _split(message, "function", function)

    def graph(message: Any) -> list[_Piece]:
        return _split(message, "library", library)

    def meta_graph(message: Any) -> list[_Piece]:
        return _split(message, "graph_def", graph)

    return _split(proto, "meta_graphs", meta_graph)


def _split(message: Any, field: str, inner: Callable[[Any], list[_Piece]]) -> list[_Piece]:
    """``message`` in pieces: what ``inner`` makes of each message in ``field``, and the rest of it as it is."""
    descriptor = message.DESCRIPTOR.fields_by_name[field]
    held = getattr(message, field)
    nested = [_nested(descriptor.number, inner(item)) for item in ([held] if isinstance(held, Message) else held)]
    rest = type(message)()
    for other, value in message.ListFields():
        if other.name != field:
            _set(rest, other.name, value)
    return [_bytes(rest), *(piece for pieces in nested for piece in pieces)]


def _set(message: Any, field: str, value: Any) -> None:
    target = getattr(message, field)
    if isinstance(target, Message):
        target.CopyFrom(value)
    elif hasattr(target, "MergeFrom"):
        target.MergeFrom(value)
    else:
        setattr(message, field, value)


def _constant(placeholder: Any, tensor: ir.TensorProtocol | None) -> list[_Piece]:
    """The NodeDef of a placeholder as a Const that holds ``tensor``."""
    assert tensor is not None
    node = type(placeholder)(name=placeholder.name, op="Const", device=placeholder.device)
    node.attr["dtype"].CopyFrom(placeholder.attr["dtype"])
    node.attr["_output_shapes"].list.shape.add().CopyFrom(placeholder.attr["shape"].shape)
    value = type(placeholder.attr["shape"])()
    value.tensor.dtype = dtype_of(tensor.dtype).as_datatype_enum
    value.tensor.tensor_shape.CopyFrom(placeholder.attr["shape"].shape)
    numbers = {
        (m.DESCRIPTOR.name, f): m.DESCRIPTOR.fields_by_name[f].number
        for m, f in ((node, "attr"), (value, "tensor"), (value.tensor, "tensor_content"))
    }
    content = [_bytes(value.tensor), *_nested(numbers["TensorProto", "tensor_content"], [_Payload(tensor)])]
    entry = [*_nested(1, [b"value"]), *_nested(2, _nested(numbers["AttrValue", "tensor"], content))]
    return [_bytes(node), *_nested(numbers["NodeDef", "attr"], entry)]


def _nested(number: int, pieces: Iterable[_Piece]) -> list[_Piece]:
    """A length-delimited field of the wire format."""
    held = list(pieces)
    return [_varint(number << 3 | 2) + _varint(sum(map(len, held))), *held]


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def _bytes(message: Any) -> bytes:
    return bytes(message.SerializeToString(deterministic=True))
