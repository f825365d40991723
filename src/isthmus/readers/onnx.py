"""ONNX models become hubs: files, live protos and the IR."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

import onnx
import onnx_ir as ir

from isthmus.errors import InvalidModel, UsageError
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
from isthmus.hub.model import ROLE, Hub
from isthmus.hub.state import KEY, STATE, State, read
from isthmus.hub.structure import check_structure
from isthmus.types import Dim, Options, Signature

_LIVE_HINT = "give the path of the .onnx file, or load the model together with its external data"


DynamicShapes = Mapping[str, Sequence[Dim] | Mapping[int, Dim]]
"""Input → its whole shape, or the axes that change: a string frees a dimension under that name, a number fixes it."""


def read_onnx(
    source: str | PathLike[str] | onnx.ModelProto | ir.Model,
    *,
    dynamic_shapes: DynamicShapes | None = None,
    options: Options | None = None,
) -> Hub:
    """Read a model into canonical form. The source, file or object, is left as it is; weights on disk stay there.

    ``options`` has nothing that a reader of ONNX needs; it is taken so that all readers are called alike.

    Raises:
        InvalidModel: not an ONNX model, cut off, inconsistent, or its data file is missing.
        UnsafeInput: external data outside of the model's folder.
        Unsupported: operators that have no equal at the hub's opset, all of them.
        UsageError: ``dynamic_shapes`` of an input that is not there, or of another rank.
    """
    del options
    if isinstance(source, ir.Model):
        model = private_copy(source)
        for base in {str(tensor.base_dir) for tensor in external_tensors(model)}:
            check_external_data(model, Path(base or "."))
        return _hub(model, signature_of(model), "onnx_ir.Model", dynamic_shapes)
    if isinstance(source, onnx.ModelProto):
        return _read(_own(source), None, "onnx.ModelProto", dynamic_shapes)
    path = Path(source)
    return _read(load_proto(path), path.absolute().parent, str(path), dynamic_shapes)


def _read(proto: onnx.ModelProto, folder: Path | None, source: str, dynamic_shapes: DynamicShapes | None) -> Hub:
    check_structure(proto)
    signature = signature_of_proto(proto.graph)
    return _hub(_with_data(model_of(proto, folder), folder), signature, source, dynamic_shapes)


def _own(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The proto itself where reading leaves it alone, else a copy."""
    if not needs_rewriting(proto):
        return proto
    own = onnx.ModelProto()
    own.CopyFrom(proto)
    return own


def _with_data(model: ir.Model, folder: Path | None) -> ir.Model:
    if folder is not None:
        check_external_data(model, folder)
    elif (tensor := next(external_tensors(model), None)) is not None:
        raise InvalidModel(f"tensor {tensor.name!r} is external, and a live proto has no folder", hint=_LIVE_HINT)
    return model


def _hub(model: ir.Model, signature: Signature, source: str, dynamic_shapes: DynamicShapes | None) -> Hub:
    if dynamic_shapes:
        _reshape_inputs(model, dynamic_shapes)
    state = _state(model)
    canonicalize(model)
    if dynamic_shapes:
        signature = signature_of(model)
    return Hub(model, signature, source, "onnx", road="onnx", extras={} if state is None else {STATE: state})


def _state(model: ir.Model) -> State | None:
    """What a file of ours tells of the PyTorch model that it was; the marks of weights go to their values."""
    for value in model.graph.initializers.values():
        told = value.const_value.metadata_props if value.const_value is not None else {}
        for key in (ROLE, KEY):
            if text := told.get(key):
                value.metadata_props.setdefault(key, text)
    text = model.metadata_props.pop(STATE, "")
    return read(text) if text else None


def _reshape_inputs(model: ir.Model, shapes: DynamicShapes) -> None:
    """Inputs get the shapes that were asked for; what was declared of outputs no longer holds, and is inferred."""
    constant = set(model.graph.initializers)
    inputs = {value.name: value for value in model.graph.inputs if value.name not in constant}
    for name, asked in shapes.items():
        value = inputs.get(name)
        if value is None:
            raise UsageError(f"the model has no input {name!r}", hint=f"its inputs are {', '.join(map(str, inputs))}")
        dims: list[int | ir.SymbolicDim] = list(value.shape or ())
        if isinstance(asked, Mapping):
            axes = dict(asked)
        else:
            axes = dict(enumerate(asked))
            dims = dims if value.shape is not None else [ir.SymbolicDim(None)] * len(axes)
            if len(axes) != len(dims):
                raise UsageError(f"input {name!r} has {len(dims)} dimensions, and {len(axes)} were given")
        for axis, dim in axes.items():
            if not -len(dims) <= axis < len(dims):
                raise UsageError(f"input {name!r} has {len(dims)} dimensions, and no axis {axis}")
            dims[axis] = dim if isinstance(dim, int) else ir.SymbolicDim(dim)
        value.shape = ir.Shape(dims)
    for value in model.graph.outputs:
        if value.producer() is not None:
            value.shape = None
