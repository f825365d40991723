"""What crosses the border between processes: any ONNX value as an npz file that holds no pickle."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np

from isthmus.errors import UnsafeInput, UsageError

Array: TypeAlias = "np.ndarray[Any, Any]"

Value: TypeAlias = "Array | Sequence[Value] | Mapping[Any, Value] | None"
"""A tensor, a sequence of values, a map of values (scikit-learn's ZipMap), or an optional that is empty."""

_TO_NUMPY = {
    "float8e4m3fn": "float8_e4m3fn",
    "float8e4m3fnuz": "float8_e4m3fnuz",
    "float8e5m2": "float8_e5m2",
    "float8e5m2fnuz": "float8_e5m2fnuz",
    "float8e8m0": "float8_e8m0fnu",
    "float4e2m1": "float4_e2m1fn",
    "bfloat16": "bfloat16",
    "int4": "int4",
    "uint4": "uint4",
    "int2": "int2",
    "uint2": "uint2",
}
_FROM_NUMPY = {numpy: onnx for onnx, numpy in _TO_NUMPY.items()}
_ALIASES = {"float": "float32", "double": "float64", "half": "float16", "boolean": "bool", "str": "string"}


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The numpy type of an ONNX element type (``float8e4m3fn``, ``string``…); strings are ``object``."""
    name = _ALIASES.get(name, name)
    if name == "string":
        return np.dtype(object)
    if name in _TO_NUMPY:
        return np.dtype(getattr(ml_dtypes, _TO_NUMPY[name]))
    return np.dtype(name)


def dtype_name(dtype: np.dtype[Any]) -> str:
    """The ONNX element type, in lower case, of a numpy type."""
    if dtype.kind in "OUST":
        return "string"
    return _FROM_NUMPY.get(dtype.name, dtype.name)


def dtype_bits(name: str) -> str | None:
    """The unsigned type that holds the bits of an element type which numpy itself lacks, else ``None``."""
    return f"u{numpy_dtype(name).itemsize}" if name in _TO_NUMPY else None


def as_text(array: Array) -> Array:
    """An array of strings or bytes as an object array of ``str``; bytes that are no UTF-8 survive as surrogates."""
    flat = [_text(item) for item in np.asarray(array, dtype=object).reshape(-1)]
    out = np.empty(len(flat), dtype=object)
    out[:] = flat
    return out.reshape(array.shape)


def save(path: Path, values: Mapping[str, Value]) -> None:
    """Write named values to an npz file. Types that npz lacks travel as their bits, with a tag."""
    arrays: dict[str, Array] = {}
    manifest = {name: _encode(value, arrays) for name, value in values.items()}
    np.savez(path, manifest=_json_bytes(manifest), **arrays)  # type: ignore[arg-type]


def load(path: Path) -> dict[str, Value]:
    """Read what ``save`` wrote. A pickle inside raises ``UnsafeInput``."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            manifest = json.loads(archive["manifest"].tobytes())
            return {name: _decode(entry, archive) for name, entry in manifest.items()}
    except ValueError as error:
        raise UnsafeInput(f"{path.name} holds a pickled object: {error}") from error


class Archive(Mapping[str, Value]):
    """What ``save`` wrote, each value read from the file when it is asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with np.load(path, allow_pickle=False) as archive:
            self._manifest: dict[str, Any] = json.loads(archive["manifest"].tobytes())

    def __getitem__(self, name: str) -> Value:
        with np.load(self._path, allow_pickle=False) as archive:
            return _decode(self._manifest[name], archive)

    def __iter__(self) -> Iterator[str]:
        return iter(self._manifest)

    def __len__(self) -> int:
        return len(self._manifest)


def _encode(value: Value, arrays: dict[str, Array]) -> Any:
    if value is None:
        return {"kind": "none"}
    if isinstance(value, Mapping):
        return {"kind": "map", "items": [[_plain_key(k), _encode(v, arrays)] for k, v in value.items()]}
    if isinstance(value, np.ndarray | np.generic):
        return _encode_array(np.asarray(value), arrays)
    return {"kind": "sequence", "items": [_encode(item, arrays) for item in value]}


def _encode_array(array: Array, arrays: dict[str, Array]) -> Any:
    name = dtype_name(array.dtype)
    key = f"a{len(arrays)}"
    if name == "string":
        arrays[key] = _json_bytes([_text(item) for item in array.reshape(-1).tolist()])
    elif (bits := dtype_bits(name)) is not None:
        arrays[key] = array.view(bits)
    else:
        arrays[key] = array
    return {"kind": "tensor", "key": key, "dtype": name, "shape": list(array.shape)}


def _decode(entry: Any, archive: Mapping[str, Array]) -> Value:
    match entry["kind"]:
        case "none":
            return None
        case "map":
            return {key: _decode(item, archive) for key, item in entry["items"]}
        case "sequence":
            return [_decode(item, archive) for item in entry["items"]]
    stored, shape, name = archive[entry["key"]], tuple(entry["shape"]), entry["dtype"]
    if name == "string":
        text = np.empty(len(items := json.loads(stored.tobytes())), dtype=object)
        text[:] = items
        return text.reshape(shape)
    return stored.view(numpy_dtype(name)) if name in _TO_NUMPY else stored


def _text(item: Any) -> str:
    if isinstance(item, bytes):
        return item.decode("utf-8", "surrogateescape")
    if isinstance(item, str):
        return item
    raise UsageError(
        f"an array of Python objects holds a {type(item).__name__}, where only strings can be fed",
        hint="feed arrays of numbers, booleans or strings",
    )


def _plain_key(key: Any) -> Any:
    return key.item() if isinstance(key, np.generic) else key


def _json_bytes(value: Any) -> Array:
    return np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)
