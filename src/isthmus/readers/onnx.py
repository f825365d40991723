"""ONNX models become hubs: files, live protos and the IR."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import onnx
import onnx_ir as ir

from isthmus.errors import InvalidModel
from isthmus.hub.canonical import canonicalize
from isthmus.hub.io import (
    check_external_data,
    external_tensors,
    load_proto,
    model_of,
    needs_rewriting,
    private_copy,
    signature_of,
    signature_of_proto,
)
from isthmus.hub.model import Hub
from isthmus.hub.structure import check_structure
from isthmus.types import Options

_LIVE_HINT = "give the path of the .onnx file, or load the model together with its external data"


def read_onnx(source: str | PathLike[str] | onnx.ModelProto | ir.Model, *, options: Options | None = None) -> Hub:
    """Read a model into canonical form. The source, file or object, is left as it is; weights on disk stay there.

    ``options`` has nothing that a reader of ONNX needs; it is taken so that all readers are called alike.

    Raises:
        InvalidModel: not an ONNX model, cut off, inconsistent, or its data file is missing.
        UnsafeInput: external data outside of the model's folder.
        Unsupported: operators that have no equal at the hub's opset, all of them.
    """
    del options
    if isinstance(source, ir.Model):
        return _read_ir(source)
    if isinstance(source, onnx.ModelProto):
        return _read_proto(source)
    path = Path(source)
    proto = load_proto(path)
    return _read(proto, path.resolve().parent, str(path))


def _read_proto(proto: onnx.ModelProto) -> Hub:
    if needs_rewriting(proto):
        own = onnx.ModelProto()
        own.CopyFrom(proto)
        proto = own
    return _read(proto, None, "onnx.ModelProto")


def _read(proto: onnx.ModelProto, folder: Path | None, source: str) -> Hub:
    check_structure(proto)
    signature = signature_of_proto(proto.graph)
    model = model_of(proto, folder)
    if folder is not None:
        check_external_data(model, folder)
    elif (tensor := next(external_tensors(model), None)) is not None:
        raise InvalidModel(f"tensor {tensor.name!r} is external, and a live proto has no folder", hint=_LIVE_HINT)
    canonicalize(model)
    return Hub(model, signature, source, "onnx", road="onnx")


def _read_ir(source: ir.Model) -> Hub:
    model = private_copy(source)
    for folder in {str(tensor.base_dir) for tensor in external_tensors(model)}:
        check_external_data(model, Path(folder or "."))
    signature = signature_of(model)
    canonicalize(model)
    return Hub(model, signature, "onnx_ir.Model", "onnx", road="onnx")
