"""What a PyTorch source has beside its graph: keys of its state dict that no operator reads, and its module tree.

A hub carries it in ``extras[STATE]``; in an ONNX file it stands in the model's metadata, where runtimes pass over it.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir

from isthmus.errors import InvalidModel
from isthmus.types import Note

STATE = "isthmus.state"
"""Key of a hub's extras, and of an ONNX model's metadata."""

KEY = "isthmus.name"
"""Metadata of an initializer that had to step aside: its key in the source's state dict."""

PLACE = "isthmus.place"
"""Metadata of an initializer of another source than PyTorch: the key that a layer of PyTorch's would give it."""

LARGEST = 256 << 20
"""So many bytes of tensors that nothing reads are written into an ONNX file at most."""

_DTYPES = frozenset(
    {
        *("FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16", "BOOL", "COMPLEX64", "COMPLEX128"),
        *("FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ"),
        *("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"),
    }
)


@dataclass(frozen=True)
class Kept:
    """A tensor that no operator reads: ``parameter`` tells what is trained from a buffer."""

    tensor: ir.TensorProtocol
    parameter: bool


@dataclass(frozen=True)
class State:
    """``tied``: further keys of a weight → its first key. ``kept``: key → what no operator reads.

    ``frozen``: the parameters that are not trained. ``modules``: every module's path → its class, in order; that of
    the model itself is empty.
    """

    tied: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, Kept] = field(default_factory=dict)
    frozen: tuple[str, ...] = ()
    modules: Mapping[str, str] = field(default_factory=dict)
    outputs: Any = None
    """How ``forward`` gives its results, where that is no tensor and no tuple of tensors: the numbers of the outputs
    in dicts, lists and tuples."""

    def aliases(self, key: str) -> tuple[str, ...]:
        """The further keys of a weight."""
        return tuple(alias for alias, first in self.tied.items() if first == key)


def state_of(extras: Mapping[str, Any]) -> State:
    """The state in a hub's extras; an empty one where the source told of none."""
    found = extras.get(STATE)
    return found if isinstance(found, State) else State()


def key_of(value: ir.Value) -> str:
    """What an initializer is called in the source's state dict."""
    return value.metadata_props.get(KEY) or str(value.name)


def place_of(value: ir.Value) -> str:
    """The key in a PyTorch module that an initializer asks for."""
    return value.metadata_props.get(PLACE) or key_of(value)


def written(state: State) -> tuple[str, tuple[str, ...]]:
    """The state as text for a model's metadata, empty where there is nothing; and the keys that are too large."""
    left_out, kept, total = [], {}, 0
    for key, one in state.kept.items():
        total += one.tensor.nbytes
        if total > LARGEST or one.tensor.dtype.name not in _DTYPES:
            left_out.append(key)
            continue
        kept[key] = {
            "dtype": one.tensor.dtype.name,
            "shape": [int(d) for d in one.tensor.shape.numpy()],
            "parameter": one.parameter,
            "data": base64.b64encode(one.tensor.tobytes()).decode("ascii"),
        }
    parts: dict[str, Any] = {
        "tied": dict(state.tied),
        "kept": kept,
        "frozen": list(state.frozen),
        "modules": dict(state.modules),
        "outputs": None if state.outputs is None else _spelled(state.outputs),
    }
    parts = {name: part for name, part in parts.items() if part}
    return (json.dumps(parts, separators=(",", ":")) if parts else ""), tuple(left_out)


def left_out(keys: Sequence[str]) -> Iterator[Note]:
    """What to tell of the keys that :func:`written` found too large."""
    if keys:
        shown = ", ".join(keys[:5]) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")
        text = f"{shown}: no operator reads them, and the file keeps {LARGEST >> 20} MB of such weights at most"
        yield Note("state", text)


def read(text: str) -> State:
    """The state that :func:`written` wrote. Raises InvalidModel where the text is something else."""
    try:
        parts = json.loads(text)
        kept = {str(key): _kept(str(key), entry) for key, entry in dict(parts.get("kept", {})).items()}
        return State(
            tied={str(key): str(first) for key, first in dict(parts.get("tied", {})).items()},
            kept=kept,
            frozen=tuple(str(key) for key in list(parts.get("frozen", ()))),
            modules={str(path): str(name) for path, name in dict(parts.get("modules", {})).items()},
            outputs=_structure(parts["outputs"]) if "outputs" in parts else None,
        )
    except (ValueError, TypeError, AttributeError, KeyError, binascii.Error, RecursionError) as error:
        raise InvalidModel(
            f"the metadata {STATE!r} is damaged: {error}", hint="remove that entry; only a PyTorch target reads it"
        ) from error


def _spelled(structure: Any) -> Any:
    """Numbers in dicts, lists and tuples as JSON has them, which knows no tuples."""
    if isinstance(structure, dict):
        return {"dict": {key: _spelled(part) for key, part in structure.items()}}
    if isinstance(structure, list | tuple):
        return {"list" if isinstance(structure, list) else "tuple": [_spelled(part) for part in structure]}
    return structure


def _structure(spelled: Any) -> Any:
    if type(spelled) is int:
        return spelled
    ((kind, parts),) = spelled.items()
    if kind == "dict":
        return {str(key): _structure(part) for key, part in parts.items()}
    made = [_structure(part) for part in parts]
    return tuple(made) if kind == "tuple" else made


def leaves(structure: Any) -> list[Any]:
    """What dicts, lists and tuples hold, in order."""
    if isinstance(structure, dict):
        return [leaf for part in structure.values() for leaf in leaves(part)]
    if isinstance(structure, list | tuple):
        return [leaf for part in structure for leaf in leaves(part)]
    return [structure]


def filled(structure: Any, made: Sequence[Any]) -> Any:
    """``structure`` with the results in the places of their numbers."""
    if isinstance(structure, dict):
        return {key: filled(part, made) for key, part in structure.items()}
    if isinstance(structure, list):
        return [filled(part, made) for part in structure]
    return tuple(filled(part, made) for part in structure) if isinstance(structure, tuple) else made[structure]


def _kept(key: str, entry: Mapping[str, Any]) -> Kept:
    name, shape = str(entry["dtype"]), [int(d) for d in entry["shape"]]
    if name not in _DTYPES or any(d < 0 for d in shape):
        raise ValueError(f"{key!r} is no tensor")
    dtype = ir.DataType[name]
    data = base64.b64decode(str(entry["data"]), validate=True)
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{key!r} has {len(data)} bytes")
    array = np.frombuffer(data, dtype=dtype.numpy()).reshape(shape)
    return Kept(ir.Tensor(array, dtype=dtype, name=key), bool(entry["parameter"]))
