"""An ONNX file in ONNX Runtime, or, on request, in onnx's own reference evaluator."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.errors import InvalidModel, Unsupported
from isthmus.types import Blocker, Signature, TensorSpec, ValueKind, told
from isthmus.verify.runners import codec
from isthmus.verify.runners.codec import Array, Value
from isthmus.verify.runners.protocol import DEFAULT, Loaded, require

_RUNTIME = "onnxruntime"
_ELEMENT = re.compile(r"tensor\((\w+)\)")
_WIDTHS = {"int4": 4, "uint4": 4, "float4e2m1": 4, "int2": 2, "uint2": 2}
"""Bits an element of the types that ONNX Runtime packs into bytes, the first element in the lowest bits."""


def load(source: str, options: Mapping[str, Any]) -> Loaded:
    """Open the file at ``source``, by path, so that external data and more than 2 GB work.

    ``options``: ``engine`` is ``onnxruntime`` (default) or ``reference``, for opsets that ONNX Runtime no longer
    runs. Raises ``InvalidModel`` for a broken file, ``Unsupported`` where ONNX Runtime lacks a kernel.
    """
    if not Path(source).is_file():
        raise InvalidModel(f"{source} is not a file")
    return _Reference(source) if options.get("engine") == "reference" else _Session(source)


class _Session:
    """A file in ONNX Runtime on the CPU."""

    variants = (DEFAULT,)

    def __init__(self, source: str) -> None:
        runtime = require(_RUNTIME, "an ONNX file is judged by running it there")
        state = runtime.capi.onnxruntime_pybind11_state
        settings = runtime.SessionOptions()
        settings.log_severity_level = 3
        try:
            self._session = runtime.InferenceSession(
                source, sess_options=settings, providers=["CPUExecutionProvider"]
            )
        except state.NotImplemented as error:
            raise _no_kernel(str(error)) from error
        except (state.InvalidGraph, state.InvalidProtobuf, state.InvalidArgument, state.Fail) as error:
            raise InvalidModel(f"ONNX Runtime refuses {Path(source).name}: {_first_line(error)}") from error
        self._ort_value = runtime.OrtValue
        self.signature = Signature(
            tuple(_spec(arg) for arg in self._session.get_inputs()),
            tuple(_spec(arg) for arg in self._session.get_outputs()),
        )
        specs = (*self.signature.inputs, *self.signature.outputs)
        self._exotic = any(codec.dtype_bits(spec.dtype) is not None for spec in specs)

    def run(self, feeds: Mapping[str, Value], variant: str = DEFAULT) -> dict[str, Value]:
        names = [spec.name for spec in self.signature.outputs]
        given = {spec.name: feeds[spec.name] for spec in self.signature.inputs}
        if not self._exotic:
            outputs = self._session.run(None, given)
        else:  # numpy has no such type, so bits go in and bits come out
            packed = {name: self._packed(value) for name, value in given.items()}
            outputs = [_unpacked(value) for value in self._session.run_with_ort_values(None, packed)]
        return {name: _value(output) for name, output in zip(names, outputs, strict=True)}

    def _packed(self, value: Value) -> Any:
        if not isinstance(value, np.ndarray):
            lacks = "ONNX Runtime's Python interface takes no sequence, map or empty optional beside such types"
            raise Unsupported("the model cannot be fed", [Blocker(op="bfloat16 or float8", reason=lacks)])
        name = codec.dtype_name(value.dtype)
        bits = codec.dtype_bits(name)
        if bits is None:
            return self._ort_value.ortvalue_from_numpy(value)
        onnx = require("onnx", "its names of types are needed")
        code = onnx.TensorProto.DataType.Value(name.upper())
        stored = value.view(bits)
        if name in _WIDTHS:
            stored = _in_bytes(stored, _WIDTHS[name])
        return self._ort_value.ortvalue_from_numpy_with_onnx_type(stored, code)


class _Reference:
    """A file in onnx's reference evaluator: slow, for opsets older than ONNX Runtime's."""

    variants = (DEFAULT,)

    def __init__(self, source: str) -> None:
        onnx = require("onnx", "an ONNX file is read by it")
        evaluator = require("onnx.reference", "an ONNX file of an old opset is judged by running it there")
        try:
            model = onnx.load(source)
        except onnx.checker.ValidationError as error:
            raise InvalidModel(f"{Path(source).name}: {error}") from error
        self._session = evaluator.ReferenceEvaluator(model)
        fixed = {tensor.name for tensor in model.graph.initializer}
        inputs = [info for info in model.graph.input if info.name not in fixed]
        self.signature = Signature(
            tuple(_proto_spec(onnx, info) for info in inputs),
            tuple(_proto_spec(onnx, info) for info in model.graph.output),
        )

    def run(self, feeds: Mapping[str, Value], variant: str = DEFAULT) -> dict[str, Value]:
        names = [spec.name for spec in self.signature.outputs]
        outputs = self._session.run(None, dict(feeds))
        return {name: _value(output) for name, output in zip(names, outputs, strict=True)}


def _spec(arg: Any) -> TensorSpec:
    element = _ELEMENT.search(arg.type)
    dtype = codec.dtype_name(codec.numpy_dtype(element.group(1))) if element else ""
    shape = tuple(told(d) for d in arg.shape) if not arg.type.startswith("seq") else None
    return TensorSpec(arg.name, dtype, shape, kind=_kind(arg.type))


def _kind(text: str) -> ValueKind:
    kinds: Sequence[tuple[str, ValueKind]] = (("seq", "sequence"), ("optional", "optional"), ("map", "map"))
    return next((kind for prefix, kind in kinds if text.startswith(prefix)), "tensor")


def _proto_spec(onnx: Any, info: Any) -> TensorSpec:
    which = info.type.WhichOneof("value")
    kinds: dict[str, ValueKind] = {"sequence_type": "sequence", "optional_type": "optional", "map_type": "map"}
    inner = info.type
    while inner.WhichOneof("value") in ("sequence_type", "optional_type"):
        inner = getattr(inner, inner.WhichOneof("value")).elem_type
    tensor = inner.tensor_type
    dtype = codec.dtype_name(codec.numpy_dtype(onnx.TensorProto.DataType.Name(tensor.elem_type).lower()))
    dims = (told(d.dim_value if d.HasField("dim_value") else d.dim_param) for d in tensor.shape.dim)
    return TensorSpec(
        info.name, dtype, tuple(dims) if tensor.HasField("shape") else None, kind=kinds.get(which, "tensor")
    )


def _unpacked(value: Any) -> Any:
    """An OrtValue as numpy, also for the types that ``OrtValue.numpy`` lacks."""
    element = _ELEMENT.fullmatch(value.data_type())
    name = codec.dtype_name(codec.numpy_dtype(element.group(1))) if element else ""
    bits = codec.dtype_bits(name) if name else None
    if bits is None:
        return value.numpy()
    shape = tuple(value.shape())
    size = int(np.prod(shape, dtype=np.int64))
    width = _WIDTHS.get(name, 8 * np.dtype(bits).itemsize)
    count = -(-size * width // 8)
    raw = np.frombuffer(ctypes.string_at(value.data_ptr(), count) if count else b"", dtype=bits)
    stored = _out_of_bytes(raw, size, width) if name in _WIDTHS else raw
    return stored.reshape(shape).view(codec.numpy_dtype(name))


def _in_bytes(codes: Array, width: int) -> Array:
    """Elements of ``width`` bits packed into the first bytes of an array of the same shape."""
    flat, each = codes.reshape(-1), 8 // width
    made = np.zeros(flat.size, np.uint8)
    for place in range(each):
        part = flat[place::each] & ((1 << width) - 1)
        made[: part.size] |= part << (place * width)
    return made.reshape(codes.shape)


def _out_of_bytes(packed: Array, size: int, width: int) -> Array:
    """The inverse of ``_in_bytes``: the low bits of ``size`` bytes, the sign repeated by whoever reads them."""
    each = 8 // width
    made = np.zeros(packed.size * each, np.uint8)
    for place in range(each):
        made[place::each] = packed >> (place * width) & ((1 << width) - 1)
    return made[:size]


def _value(output: Any) -> Value:
    if isinstance(output, np.ndarray | np.generic):
        array: Array = np.asarray(output)
        return codec.as_text(array) if codec.dtype_name(array.dtype) == "string" else array
    if isinstance(output, Mapping):
        return {key: _value(item) for key, item in output.items()}
    if isinstance(output, list | tuple):
        return [_value(item) for item in output]
    return None if output is None else np.asarray(output)


def _no_kernel(message: str) -> Unsupported:
    found = re.search(r"implementation for ([\w.]+)\((\d+)\) node with name '([^']*)'", message)
    op = f"{found.group(1)}-{found.group(2)}" if found else "an operator"
    reason = "ONNX Runtime has no CPU kernel for it with these types"
    return Unsupported(
        "ONNX Runtime cannot run the file, so it cannot be judged there",
        [Blocker(op=op, reason=reason, hint="convert without judging: --no-verify")],
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
