"""Which reader, writer and runner serve which kind: the one place that knows them all, each imported late."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.doctor import require
from isthmus.errors import UsageError
from isthmus.hub.model import Hub
from isthmus.source import Source, SourceKind
from isthmus.types import Blocker, Change, Dim, Kind, Note, Options, Signature, TensorSpec

Shapes = Mapping[str, tuple[tuple[Dim, ...], str | None]]
"""{input: (shape, dtype or None)}: what ``--input-shapes`` says."""

_EXAMPLE_SIZES = (2, 5, 7, 3)
"""Sizes that free dimensions take in a synthesised example: distinct, and never 1."""


def read(source: Source, *, inputs: Any, dynamic_shapes: Any, options: Options) -> Hub:
    """The source as a hub."""
    if source.kind == "onnx":
        from isthmus.readers.onnx import read_onnx

        return read_onnx(source.value, dynamic_shapes=dynamic_shapes, options=options)
    if source.kind == "torch":
        require_reader("torch")
        from isthmus.readers.torch import read_torch

        value = source.factory.callable if source.factory is not None else source.value
        weights = source.factory.weights if source.factory is not None else None
        return read_torch(value, inputs=inputs, dynamic_shapes=dynamic_shapes, options=options, weights=weights)
    raise UsageError(
        f"{source.label}: this version reads PyTorch and ONNX models, not TensorFlow's",
        hint="TensorFlow models can be judged (isthmus verify) but not carried yet",
    )


@dataclass(frozen=True)
class Written:
    """The live result, and what happened on the way to it."""

    model: Any
    ledger: tuple[Change, ...]
    notes: tuple[Note, ...]


def write(hub: Hub, kind: Kind, path: Path | None, options: Options) -> Written:
    """The live result; written to ``path`` as well unless that is None."""
    if kind == "onnx":
        from isthmus.writers.onnx import write_onnx

        written = write_onnx(hub, path, options=options)
        return Written(written.model, written.hub.ledger, written.hub.notes)
    from isthmus.writers.tensorflow import write_saved_model

    module = write_saved_model(hub, path, options=options)
    return Written(module, module.hub.ledger, module.hub.notes)


def blockers(hub: Hub, kind: Kind, options: Options) -> list[Blocker]:
    """Everything that stands in the way of writing ``hub`` as ``kind``."""
    if kind == "onnx":
        from isthmus.writers.onnx import blockers as onnx_blockers

        return onnx_blockers(hub, options)
    from isthmus.writers.tensorflow import blockers as tensorflow_blockers

    return tensorflow_blockers(hub, options)


def require_target(kind: Kind) -> None:
    """Refuse a target that this version does not write, or whose framework is missing, before any work."""
    if kind in ("torch", "python"):
        raise UsageError(f"this version does not write {kind} targets", hint="it writes onnx and saved_model")
    if kind == "saved_model":
        require("tensorflow", "a SavedModel is written by it")


def require_reader(kind: SourceKind) -> None:
    """Raise errors.FrameworkMissing where the source's framework is absent."""
    if kind == "torch":
        require("torch", "the source is a PyTorch model")
        require("onnxscript", "torch.onnx needs it to capture PyTorch models")
    if kind == "tensorflow":
        require("tensorflow", "the source is a TensorFlow model")


def framework_of(kind: Kind) -> SourceKind:
    """Which of the three worlds a target belongs to."""
    return {"onnx": "onnx", "saved_model": "tensorflow", "torch": "torch", "python": "torch"}[kind]


def require_judge(kind: SourceKind) -> None:
    """Raise errors.FrameworkMissing where a model of this world cannot be run here."""
    package = {"onnx": "onnxruntime", "torch": "torch", "tensorflow": "tensorflow"}[kind]
    require(package, f"{kind} models are judged by running them there (or pass --no-verify)")


def runner(source: Source, signature: Signature | None, *, inputs: Any, options: Options, scratch: Path) -> Any:
    """A runner of ``source``: in a process of its own, or in this one where the model is alive here.

    ``signature`` names inputs and outputs where the source does not itself; ``scratch`` is a private folder.
    """
    from isthmus.verify.runners.process import ProcessRunner
    from isthmus.verify.runners.protocol import plain_signature

    named = {"signature": plain_signature(signature)} if signature is not None else {}
    common: dict[str, Any] = {"name": source.label, "timeout": options.timeout}
    if source.factory is not None:
        weights = {"weights": str(source.factory.weights)} if source.factory.weights else {}
        trust = {"trust_pickle": options.trust_pickle}
        return ProcessRunner("torch", source.factory.callable, **common, **named, **weights, **trust)
    if source.path is not None:
        chosen = {"signature_key": options.signature} if options.signature and source.kind == "tensorflow" else {}
        given = named if source.kind == "torch" else {}
        return ProcessRunner(source.kind, str(source.path), **common, **given, **chosen)
    if source.kind == "onnx":
        return ProcessRunner("onnx", str(_saved(source.value, scratch)), **common)
    if source.kind == "torch":
        return _live_torch(source, signature, inputs)
    raise UsageError(f"{source.label}: a live TensorFlow model cannot be judged", hint="save it first")


def feeds(origin: Source, hub: Hub, inputs: Any, options: Options) -> Any:
    """What a conversion's source and result are fed: the user's inputs first, then seeded ones."""
    from isthmus.verify.feeds import Feeds, load_inputs
    from isthmus.verify.ranges import integer_ranges

    if inputs is not None and origin.kind == "torch" and _is_live(origin):
        inputs = _live_tensors(origin, inputs)
    return Feeds(
        hub.signature,
        samples=options.samples,
        seed=options.seed,
        ranges=integer_ranges(hub.graph),
        sizes={name: _sizes(**limits) for name, limits in hub.extras.get("dims", {}).items() if _is_narrow(**limits)},
        user=None if inputs is None else load_inputs(inputs, hub.signature),
    )


def common_feeds(
    sources: Sequence[Source], runners: Sequence[Any], inputs: Any, shapes: Shapes | None, options: Options
) -> Any:
    """What two models that know nothing of each other are fed: by the more telling of their signatures."""
    from isthmus.verify.feeds import Feeds, load_inputs
    from isthmus.verify.ranges import integer_ranges

    signature = max((runner.signature for runner in runners), key=_telling)
    if shapes:
        signature = Signature(tuple(_reshaped(spec, shapes) for spec in signature.inputs), signature.outputs)
    hubs = [
        read(source, inputs=None, dynamic_shapes=None, options=options) for source in sources if source.kind == "onnx"
    ]
    ranges = integer_ranges(hubs[0].graph) if hubs else {}
    user = None
    if inputs is not None:
        live = next((source for source in sources if source.kind == "torch" and _is_live(source)), None)
        user = load_inputs(inputs if live is None else _live_tensors(live, inputs), signature)
    return Feeds(signature, samples=options.samples, seed=options.seed, ranges=ranges, user=user)


def _telling(signature: Signature) -> tuple[int, int]:
    """How much a signature tells: inputs whose type and rank it knows, then dimensions that are named."""
    known = sum(bool(spec.dtype) and spec.shape is not None for spec in signature.inputs)
    return known, len(signature.free_dims)


def _reshaped(spec: TensorSpec, shapes: Shapes) -> TensorSpec:
    shape, dtype = shapes.get(spec.name, (spec.shape, None))
    return replace(spec, shape=shape, dtype=dtype or spec.dtype or "float32")


def _is_live(source: Source) -> bool:
    return source.path is None and source.factory is None


def _live_tensors(source: Source, inputs: Any) -> Any:
    """The user's tensors by input name, where they nest as ``forward`` wants them."""
    from isthmus.readers.torch.live import live_call

    return live_call(_module(source.value), inputs).tensors


def _is_narrow(min: int | None, max: int | None, multiple: int, offset: int) -> bool:
    """Whether a free dimension's limits must be heeded, since usual sizes may not lie within."""
    return (min or 0) > 2 or max is not None or multiple > 1


def _sizes(min: int | None, max: int | None, multiple: int, offset: int) -> list[int]:
    """A few sizes of ``multiple * n + offset`` within the limits, none of them 1."""
    least = -(-(builtins.max(min or 2, 2) - offset) // multiple)
    sizes = [multiple * (least + step) + offset for step in (0, 3, 7, 1)]
    return [size for size in sizes if max is None or size <= max]


def example(shapes: Shapes, seed: int) -> dict[str, np.ndarray]:
    """Arrays of the given shapes: free dimensions of one name get one size; seeded; integers are small."""
    generator = np.random.default_rng(seed)
    names = dict.fromkeys(d for shape, _ in shapes.values() for d in shape if isinstance(d, str))
    sizes = {name: _EXAMPLE_SIZES[i % len(_EXAMPLE_SIZES)] + 4 * (i // 4) for i, name in enumerate(names)}
    arrays = {}
    for name, (shape, dtype) in shapes.items():
        extent = [sizes[d] if isinstance(d, str) else d for d in shape]
        kind = np.dtype(dtype or "float32")
        if kind.kind in "iub":
            arrays[name] = generator.integers(0, 2, extent).astype(kind)
        else:
            arrays[name] = generator.standard_normal(extent).astype(kind)
    return arrays


def free_axes(shapes: Shapes) -> dict[str, dict[int, str]]:
    """{input: {axis: name}}, as torch.export wants its dynamic shapes."""
    return {
        name: {axis: d for axis, d in enumerate(shape) if isinstance(d, str)} for name, (shape, _) in shapes.items()
    }


def _saved(model: Any, scratch: Path) -> Path:
    import onnx
    import onnx_ir as ir

    path = scratch / "reference.onnx"
    if isinstance(model, onnx.ModelProto):
        onnx.save(model, path)
    else:
        ir.save(model, path, external_data=f"{path.name}.data")
    return path


def _live_torch(source: Source, signature: Signature | None, inputs: Any) -> Any:
    from isthmus.readers.torch.live import live_call
    from isthmus.verify.runners import codec
    from isthmus.verify.runners import torch as judged

    module = _module(source.value)
    call = live_call(module, inputs)

    def run(feeds: dict[str, Any]) -> dict[str, Any]:
        outputs = call({name: judged.to_torch(array) for name, array in feeds.items()})
        return {name: judged.to_numpy(tensor) for name, tensor in outputs.items()}

    if signature is None:
        arrays = {name: judged.to_numpy(tensor) for name, tensor in call.tensors.items()}
        signature = Signature(tuple(TensorSpec(n, codec.dtype_name(a.dtype), a.shape) for n, a in arrays.items()), ())
    return judged.live_module(module, run, signature, name=source.label)


def _module(value: Any) -> Any:
    """The callable module of a live PyTorch source."""
    import torch

    return value.module() if isinstance(value, torch.export.ExportedProgram) else value
