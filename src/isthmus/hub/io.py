"""Files of the ONNX format and what may be wrong with them; a proto becomes the IR, weights stay on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto

from isthmus.errors import InvalidModel, UnsafeInput
from isthmus.hub.model import ONNX
from isthmus.types import Dim, Signature, TensorSpec, ValueKind, told

MAP_TYPE = "isthmus.map_type"
"""Key in a value's ``meta``: the serialized type of a map, for which the IR has no class."""

_OTHER_KINDS = (
    (b"PK\x03\x04", "a zip archive, such as a PyTorch checkpoint, a .pt2 program or a .keras model"),
    (b"\x89HDF", "an HDF5 file, such as Keras weights"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"version https://git-lfs", "a Git LFS pointer; the model itself was not fetched"),
    (b"<", "a web page or XML file"),
)
_SPELLING = {"float": "float32", "double": "float64"}


# ---- reading ----------------------------------------------------------------------------------------
def load_proto(path: Path) -> onnx.ModelProto:
    """Parse a file, external data left where it is.

    Raises:
        InvalidModel: no such file, empty, cut off, of another kind, or without a graph.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise InvalidModel(f"{path} {what}", hint="name the .onnx file")
    data = path.read_bytes()
    if not data:
        raise InvalidModel(f"{path} is empty")
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError as error:
        raise InvalidModel(_not_onnx(path.name, data), hint="was it copied or downloaded in full?") from error
    if not proto.HasField("graph") or not (proto.graph.node or proto.graph.output) or proto.ir_version < 1:
        raise InvalidModel(_not_onnx(path.name, data))
    return proto


def _not_onnx(name: str, data: bytes) -> str:
    for magic, kind in _OTHER_KINDS:
        if data.startswith(magic):
            return f"{name} is not an ONNX model: it is {kind}"
    head = data[:512]
    if all(byte in b"\t\n\r\x0c" or byte >= 32 for byte in head):
        return f"{name} is not an ONNX model: it is a text file"
    return f"{name} is not an ONNX model, or it is cut off: it holds no complete graph"


def model_of(proto: onnx.ModelProto, folder: Path | None) -> ir.Model:
    """The IR of a proto that may be changed; its external data is read lazily from ``folder``.

    Sparse initializers become dense ones, for nothing after this knows them; map types go to ``value.meta``.
    """
    _check_places(proto)
    _densify(proto.graph)
    maps = _take_map_types(proto.graph)
    try:
        model = ir.serde.deserialize_model(proto)
    except ir.serde.SerdeError as error:
        cause = error.__cause__ or error
        raise InvalidModel(f"the model is inconsistent: {cause}") from error
    if folder is not None:
        for tensor in external_tensors(model):
            tensor.base_dir = str(folder)
    if maps:
        for graph in model.graphs():
            for value in (*graph.inputs, *graph.outputs, *(v for node in graph for v in node.outputs)):
                if value.name in maps:
                    value.meta[MAP_TYPE] = maps[value.name]
    return model


def _check_places(proto: onnx.ModelProto) -> None:
    """Offsets and lengths of external data are numbers."""
    for graph in proto_graphs(proto):
        attributes = [attribute for node in graph.node for attribute in node.attribute]
        for tensor in (*graph.initializer, *(a.t for a in attributes if a.HasField("t"))):
            for entry in tensor.external_data:
                if entry.key in ("offset", "length") and not entry.value.isdigit():
                    raise InvalidModel(f"tensor {tensor.name!r} is said to have the {entry.key} {entry.value!r}")


def needs_rewriting(proto: onnx.ModelProto) -> bool:
    """Whether :func:`model_of` would have to change the proto: sparse weights or map types."""
    infos = (*proto.graph.input, *proto.graph.output, *proto.graph.value_info)
    if proto.graph.sparse_initializer or any(
        info.type.HasField("map_type") or holds_map(info.type) for info in infos
    ):
        return True
    return any(a.HasField("sparse_tensor") for graph in proto_graphs(proto) for n in graph.node for a in n.attribute)


def private_copy(model: ir.Model) -> ir.Model:
    """A copy that shares the weights and nothing else with the caller's model."""
    copy = model.clone()
    for graph in copy.graphs():
        for value in graph.initializers.values():
            if value.const_value is not None and value.const_value.name != value.name:
                value.const_value = renamed(value.const_value, value.name or "")
    return copy


def renamed(tensor: ir.TensorProtocol, name: str) -> ir.TensorProtocol:
    """The same content under another name. The tensor of the source, which may be the user's, stays as it is."""
    shape = ir.Shape(tensor.shape.numpy())
    if isinstance(tensor, ir.ExternalTensor):
        place = (tensor.location, tensor.offset, tensor.length)
        return ir.ExternalTensor(*place, tensor.dtype, shape=shape, name=name, base_dir=tensor.base_dir)
    if tensor.dtype == ir.DataType.STRING:
        return ir.StringTensor(tensor.numpy(), shape=shape, name=name)
    return ir.Tensor(tensor.numpy(), dtype=tensor.dtype, shape=shape, name=name)


def external_tensors(model: ir.Model) -> Iterator[ir.ExternalTensor]:
    """Every tensor on disk: initializers and attributes, in all graphs and functions."""
    for graph in (*model.graphs(), *(g for f in model.functions.values() for g in (f.graph, *f.subgraphs()))):
        for value in graph.initializers.values():
            if isinstance(value.const_value, ir.ExternalTensor):
                yield value.const_value
        for node in graph:
            for attribute in node.attributes.values():
                if attribute.is_ref():
                    continue
                found = [attribute.value] if attribute.type == ir.AttributeType.TENSOR else ()
                found = attribute.value if attribute.type == ir.AttributeType.TENSORS else found
                yield from (tensor for tensor in found if isinstance(tensor, ir.ExternalTensor))


def check_external_data(model: ir.Model, folder: Path) -> None:
    """Every byte that a model refers to lies in its own folder, and is there.

    Raises:
        UnsafeInput: a location that leaves the folder: absolute, by ``..``, by a symbolic or a hard link.
        InvalidModel: a file that is missing, or an offset or length that does not fit it.
    """
    sizes: dict[str, int] = {}
    for tensor in external_tensors(model):
        location = str(tensor.location)
        if location not in sizes:
            sizes[location] = _safe_size(folder, location, tensor.name or "")
        offset, length = tensor.offset or 0, tensor.nbytes if tensor.length is None else tensor.length
        if offset < 0 or length != tensor.nbytes or offset + length > sizes[location]:
            raise InvalidModel(
                f"tensor {tensor.name!r} is said to be {length} bytes at offset {offset} of {location!r}; "
                f"it needs {tensor.nbytes}, and the file has {sizes[location]}"
            )


def _safe_size(folder: Path, location: str, tensor: str) -> int:
    if not location:
        raise InvalidModel(f"tensor {tensor!r} is external, and names no file")
    path = Path(location)
    windows = location.startswith("\\") or location[1:3] in (":\\", ":/")
    escape = "external data must lie in the folder of its model"
    if path.is_absolute() or windows or ".." in path.parts or ".." in location.split("\\"):
        raise UnsafeInput(f"tensor {tensor!r} points outside of the model's folder: {location!r}", hint=escape)
    base, full = folder.resolve(), (folder / path).resolve()
    if not full.is_relative_to(base):
        hint = "copy the data file itself into the model's folder (download caches often hold links only)"
        raise UnsafeInput(f"{location!r} is a link that leaves the model's folder", hint=hint)
    if not full.is_file():
        raise InvalidModel(f"the external data file {location!r} of tensor {tensor!r} is missing", hint=escape)
    status = full.stat()
    if status.st_nlink > 1:
        raise UnsafeInput(
            f"{location!r} is a hard link: it may be a file from elsewhere",
            hint="copy the data file, so that it has one name only",
        )
    return status.st_size


# ---- what goes in and out ---------------------------------------------------------------------------
def signature_of_proto(graph: onnx.GraphProto) -> Signature:
    """Inputs that a caller must give, and outputs; an initializer that is also an input is not one."""
    constant = {t.name for t in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
    inputs = tuple(_spec(info) for info in graph.input if info.name not in constant)
    return Signature(inputs, tuple(_spec(info) for info in graph.output))


def signature_of(model: ir.Model) -> Signature:
    """The same for the IR."""
    constant = set(model.graph.initializers)
    inputs = [_spec(_info(value)) for value in model.graph.inputs if value.name not in constant]
    return Signature(tuple(inputs), tuple(_spec(_info(value)) for value in model.graph.outputs))


def dtype_name(elem_type: int) -> str:
    """``float32``, ``int64``, ``bfloat16``, ``string`` … of an ONNX element type."""
    name = TensorProto.DataType.Name(elem_type).lower()
    return _SPELLING.get(name, name)


def _info(value: ir.Value) -> onnx.ValueInfoProto:
    info = ir.serde.serialize_value(value)
    if MAP_TYPE in value.meta:
        info.type.ParseFromString(value.meta[MAP_TYPE])
    return info


def _spec(info: onnx.ValueInfoProto) -> TensorSpec:
    kind, tensor = _element(info.type)
    field = tensor.sparse_tensor_type if tensor.HasField("sparse_tensor_type") else tensor.tensor_type
    shape: tuple[Dim, ...] | None = tuple(_dim(d) for d in field.shape.dim) if field.HasField("shape") else None
    return TensorSpec(info.name, dtype_name(field.elem_type), shape, kind=kind)


def _element(proto: onnx.TypeProto) -> tuple[ValueKind, onnx.TypeProto]:
    """The outermost kind, and the tensor type at the bottom."""
    if proto.HasField("sequence_type"):
        inner, tensor = _element(proto.sequence_type.elem_type)
        return ("map" if inner == "map" else "sequence"), tensor
    if proto.HasField("optional_type"):
        return "optional", _element(proto.optional_type.elem_type)[1]
    if proto.HasField("map_type"):
        return "map", _element(proto.map_type.value_type)[1]
    return "tensor", proto


def _dim(dim: onnx.TensorShapeProto.Dimension) -> Dim:
    if dim.HasField("dim_value"):
        return told(int(dim.dim_value))
    return told(str(dim.dim_param))


# ---- what the IR lacks ------------------------------------------------------------------------------
def proto_graphs(proto: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    """The main graph and every body within it."""
    waiting = [proto.graph]
    while waiting:
        graph = waiting.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                waiting += [attribute.g] if attribute.HasField("g") else []
                waiting += list(attribute.graphs)


def _densify(graph: onnx.GraphProto) -> None:
    for sparse in graph.sparse_initializer:
        graph.initializer.append(_dense(sparse, sparse.values.name))
    del graph.sparse_initializer[:]
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("sparse_tensor") and (node.op_type, node.domain) == ("Constant", ONNX):
                dense = _dense(attribute.sparse_tensor, node.output[0])
                attribute.Clear()
                attribute.name, attribute.type = "value", onnx.AttributeProto.TENSOR
                attribute.t.CopyFrom(dense)
            for inner in [attribute.g] if attribute.HasField("g") else list(attribute.graphs):
                _densify(inner)


def _dense(sparse: onnx.SparseTensorProto, name: str) -> TensorProto:
    """Indices are linear, or one coordinate tuple a row."""
    values, indices = onnx.numpy_helper.to_array(sparse.values), onnx.numpy_helper.to_array(sparse.indices)
    dense = np.zeros(tuple(sparse.dims), values.dtype)
    where = np.unravel_index(indices, dense.shape) if indices.ndim == 1 else tuple(indices.T)
    dense[where] = values
    return onnx.numpy_helper.from_array(dense, name)


def holds_map(proto: onnx.TypeProto) -> bool:
    """Whether a map is anywhere in the type: the IR has no class for it."""
    return _element(proto)[0] == "map"


def _take_map_types(graph: onnx.GraphProto) -> dict[str, bytes]:
    taken: dict[str, bytes] = {}
    for info in (*graph.input, *graph.output, *graph.value_info):
        if holds_map(info.type):
            taken[info.name] = info.type.SerializeToString(deterministic=True)
            info.ClearField("type")
    return taken


def relocate(path: Path, suffix: str) -> None:
    """Let the external tensors of the file at ``path`` point to data files whose names end in ``suffix`` as well."""
    proto = onnx.load(path, load_external_data=False)
    for graph in proto_graphs(proto):
        for tensor in graph.initializer:
            for entry in tensor.external_data:
                entry.value += suffix if entry.key == "location" else ""
    path.write_bytes(proto.SerializeToString(deterministic=True))
