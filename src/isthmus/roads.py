"""Which reader and which writer serve which kind: the one place that knows them all, each imported late."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus.doctor import require
from isthmus.hub.model import Hub
from isthmus.source import Source, SourceKind
from isthmus.types import Blocker, Change, Kind, Note, Options, Signature, StoredWeight

FRAMEWORK_OF: Mapping[Kind, SourceKind] = {
    "onnx": "onnx",
    "saved_model": "tensorflow",
    "torch": "torch",
    "python": "torch",
}
"""Which of the three worlds a target belongs to."""


SUFFIXES: Mapping[Kind, str] = {"onnx": ".onnx", "saved_model": "", "torch": ".pt2", "python": ".py"}
"""How the names of targets end."""


@dataclass(frozen=True)
class Written:
    """The live result, what it takes and gives, and what happened on the way to it."""

    model: Any
    signature: Signature
    ledger: tuple[Change, ...]
    notes: tuple[Note, ...]
    weights: tuple[StoredWeight, ...] = ()


def read(source: Source, *, inputs: Any, dynamic_shapes: Any, options: Options) -> Hub:
    """The source as a hub."""
    if source.kind == "onnx":
        from isthmus.readers.onnx import read_onnx

        return read_onnx(source.value, dynamic_shapes=dynamic_shapes, options=options)
    if source.kind == "torch":
        from isthmus.readers.torch import read_torch

        value = source.factory.callable if source.factory is not None else source.value
        weights = source.factory.weights if source.factory is not None else None
        return read_torch(value, inputs=inputs, dynamic_shapes=dynamic_shapes, options=options, weights=weights)
    from isthmus.readers.tensorflow import read_tensorflow

    return read_tensorflow(source.value, inputs=inputs, dynamic_shapes=dynamic_shapes, options=options)


def write(hub: Hub, kind: Kind, path: Path | None, options: Options) -> Written:
    """The live result; written to ``path`` as well unless that is None."""
    if kind == "onnx":
        from isthmus.writers.onnx import write_onnx

        written = write_onnx(hub, path, options=options)
        return _written(written.model, written.hub)
    if kind in ("torch", "python"):
        from isthmus.writers.torch import write_program, write_python

        recorded = (write_program if kind == "torch" else write_python)(hub, path, options=options)
        return _written(recorded.module, recorded.hub, recorded.weights)
    from isthmus.writers.tensorflow import write_saved_model

    module = write_saved_model(hub, path, options=options)
    return _written(module, module.hub)


def _written(model: Any, hub: Hub, weights: tuple[StoredWeight, ...] = ()) -> Written:
    return Written(model, hub.signature, hub.ledger, hub.notes, weights)


def blockers(hub: Hub, kind: Kind, options: Options) -> list[Blocker]:
    """Everything that stands in the way of writing ``hub`` as ``kind``."""
    if kind == "onnx":
        from isthmus.writers.onnx import blockers as onnx_blockers

        return onnx_blockers(hub, options)
    if kind in ("torch", "python"):
        from isthmus.writers.torch import blockers as torch_blockers

        return torch_blockers(hub, options)
    from isthmus.writers.tensorflow import blockers as tensorflow_blockers

    return tensorflow_blockers(hub, options)


def require_target(kind: Kind) -> None:
    """Refuse a target whose framework is missing, before any work."""
    if kind in ("torch", "python"):
        require("torch", f"a {kind} target is written by it")
    if kind == "python":
        require("safetensors", "the weights beside the source are written by it")
    if kind == "saved_model":
        require("tensorflow", "a SavedModel is written by it")


def require_reader(kind: SourceKind) -> None:
    """Raise errors.FrameworkMissing where the source's framework is absent."""
    if kind == "torch":
        require("torch", "the source is a PyTorch model")
        require("onnxscript", "torch.onnx needs it to capture PyTorch models")
    if kind == "tensorflow":
        require("tensorflow", "the source is a TensorFlow model")


def require_judge(kind: SourceKind) -> None:
    """Raise errors.FrameworkMissing where a model of this world cannot be run here."""
    package = {"onnx": "onnxruntime", "torch": "torch", "tensorflow": "tensorflow"}[kind]
    require(package, f"{kind} models are judged by running them there (or pass --no-verify)")
