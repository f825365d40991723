"""From sources to what the judge needs: a runner of each, and what both are fed."""

from __future__ import annotations

import builtins
import importlib.util
import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from isthmus import roads
from isthmus.errors import InvalidModel, IsthmusError, Unsupported
from isthmus.hub.io import dtype_name
from isthmus.hub.model import Hub
from isthmus.shapes import Shapes
from isthmus.source import Factory, Source
from isthmus.types import Options, Signature, TensorSpec
from isthmus.verify.feeds import Feeds, load_inputs, named_specs
from isthmus.verify.float64 import in_float64
from isthmus.verify.floor import Floor, Programs
from isthmus.verify.ranges import integer_ranges
from isthmus.verify.runners.process import ProcessRunner
from isthmus.verify.runners.protocol import Runner, plain_signature
from isthmus.verify.tolerance import ScaledTolerance, Tolerance, coarsest

logger = logging.getLogger(__name__)

_LARGEST = 4 << 30
"""Bytes of weights that are still held once more as they are, and once in float64, to measure a noise floor."""


def runner(
    source: Source,
    signature: Signature | None,
    *,
    inputs: Any,
    options: Options,
    scratch: Path,
    dynamic_shapes: Any = None,
    told: Sequence[TensorSpec] = (),
) -> Runner:
    """A runner of ``source``: in a process of its own, or in this one where the model is alive here.

    ``signature`` names inputs and outputs where the source does not itself, ``told`` is what the user says of inputs
    where there is no signature; ``scratch`` is a private folder. ``inputs`` and ``dynamic_shapes`` are as they were
    given to the reader.
    An ONNX model that ONNX Runtime will not load (opsets before 7, ahead of it, operators without a kernel) is run
    by onnx's reference evaluator, and its name says so.
    """
    named: dict[str, Any] = {"signature": plain_signature(signature)} if signature is not None else {}
    common: dict[str, Any] = {"name": source.label, "timeout": options.timeout}
    if source.factory is not None:
        extra: dict[str, Any] = {"trust_pickle": options.trust_pickle}
        if source.factory.weights is not None:
            extra["weights"] = str(_loaded_weights(source.factory, options, scratch))
        return ProcessRunner("torch", source.factory.callable, **common, **named, **extra)
    if source.path is not None:
        given = named if source.kind == "torch" else {}
        if source.kind == "tensorflow":
            given = {"trust_pickle": options.trust_pickle, "custom_objects": list(options.custom_objects)}
            given |= {"signature_key": options.signature} if options.signature else {}
            if source.path.is_dir():  # a function that was traced for several shapes
                given["inputs"] = plain_signature(signature or Signature(tuple(told), ()))
        if source.kind == "onnx":
            return _onnx(source.path, common)
        return ProcessRunner(source.kind, str(source.path), **common, **given)
    if source.kind == "onnx":
        return _onnx(_saved(source.value, scratch), common)
    if source.kind == "torch":
        return _live_torch(source, signature, inputs)
    named_inputs = {spec.name: spec for spec in told} or None
    return _live_tensorflow(source, named_inputs if inputs is None else inputs, dynamic_shapes, options)


def told_inputs(shapes: Shapes | None, inputs: Any) -> tuple[TensorSpec, ...]:
    """What the user says of inputs: their shapes, or what he gives by name."""
    if not shapes:
        return named_specs(inputs)
    return tuple(TensorSpec(name, dtype or "", shape) for name, (shape, dtype) in shapes.items())


def require_safe(source: Source, options: Options) -> None:
    """Refuse what torch would unpickle out of an exported program, unless it is trusted.

    Raises errors.UnsafeInput, errors.InvalidModel.
    """
    if source.kind == "torch" and source.path is not None and not options.trust_pickle:
        from isthmus.readers.torch.sources import require_safe_program

        require_safe_program(source.path)


def feeds(origin: Source, hub: Hub, inputs: Any, options: Options) -> Feeds:
    """What a conversion's source and result are fed: the user's inputs first, then seeded ones."""
    if inputs is not None and _is_live_torch(origin):
        inputs = _live_tensors(origin, inputs)
    limits = hub.extras.get("dims", {})
    return Feeds(
        hub.signature,
        samples=options.samples,
        seed=options.seed,
        ranges=integer_ranges(hub.graph),
        sizes={name: _sizes(**limit) for name, limit in limits.items() if _is_narrow(**limit)},
        user=None if inputs is None else load_inputs(inputs, hub.signature),
    )


def tolerance(hub: Hub | None, options: Options) -> Tolerance:
    """How far apart right answers may lie: by the coarsest type that the graph computes in, or as the user says."""
    if hub is None:
        return ScaledTolerance.from_options(options)
    made = {value.dtype for node in hub.graph.all_nodes() for value in node.outputs}
    return ScaledTolerance.from_options(options, coarsest(dtype_name(dtype) for dtype in made if dtype is not None))


def floor(read: Callable[[], Hub], options: Options) -> Floor | None:
    """What measures how far rounding takes a graph, where PyTorch is there and the user set no bounds himself."""
    if options.atol is not None or options.rtol is not None or importlib.util.find_spec("torch") is None:
        return None

    def programs() -> Programs | None:
        try:
            hub = read()
            if _weighs(hub) > _LARGEST:
                return None
            wide = in_float64(hub)  # before the writer works on the hub
            return _written(hub, options), _written(wide, options)
        except (IsthmusError, RuntimeError, TypeError, ValueError) as error:
            logger.debug("no noise floor: %s", error)
            return None

    return Floor(programs)


def _written(hub: Hub, options: Options) -> Runner:
    """The hub as PyTorch computes it, alive in this process."""
    import torch

    from isthmus.verify.runners import torch as judged

    module, signature = roads.write(hub, "torch", None, options).model, hub.signature

    def call(feeds: dict[str, Any]) -> Mapping[str, Any]:
        return judged.named_leaves(torch, module(*(feeds[spec.name] for spec in signature.inputs)), signature)

    return judged.live_module(module, call, signature)


def _weighs(hub: Hub) -> int:
    """The bytes of the weights."""
    held = (value.const_value for value in hub.graph.initializers.values())
    return sum(tensor.nbytes for tensor in held if tensor is not None)


def common_floor(sources: Sequence[Source], hub: Hub | None, options: Options) -> Floor | None:
    """The same for two models that know nothing of each other: of ``hub``, or of TensorFlow's among them."""
    if hub is not None:
        return floor(lambda: hub, options)
    saved = next((source for source in sources if source.kind == "tensorflow"), None)
    if saved is None:
        return None
    return floor(partial(roads.read, saved, inputs=None, dynamic_shapes=None, options=options), options)


def readable(sources: Sequence[Source], options: Options) -> Hub | None:
    """The hub of the first ONNX model among ``sources``: what can be read without running anything."""
    onnx = next((source for source in sources if source.kind == "onnx"), None)
    return None if onnx is None else roads.read(onnx, inputs=None, dynamic_shapes=None, options=options)


def common_feeds(
    sources: Sequence[Source],
    runners: Sequence[Runner],
    hub: Hub | None,
    *,
    inputs: Any,
    shapes: Shapes | None,
    options: Options,
) -> Feeds:
    """What two models that know nothing of each other are fed: by the more telling of their signatures.

    ``hub`` is what ``readable`` found among them: it proves ranges of integers.
    """
    first = 1 if options.input_layouts else len(runners)  # the other has its axes elsewhere
    signature = max((runner.signature for runner in runners[:first]), key=_telling)
    if shapes:
        signature = Signature(tuple(_reshaped(spec, shapes) for spec in signature.inputs), signature.outputs)
    ranges = integer_ranges(hub.graph) if hub is not None else {}
    user = None
    if inputs is not None:
        live = next((source for source in sources if _is_live_torch(source)), None)
        user = load_inputs(inputs if live is None else _live_tensors(live, inputs), signature)
    return Feeds(signature, samples=options.samples, seed=options.seed, ranges=ranges, user=user)


def _telling(signature: Signature) -> tuple[int, int]:
    """How much a signature tells: inputs whose type and rank it knows, then dimensions that are named."""
    known = sum(bool(spec.dtype) and spec.shape is not None for spec in signature.inputs)
    return known, len(signature.free_dims)


def _reshaped(spec: TensorSpec, shapes: Shapes) -> TensorSpec:
    shape, dtype = shapes.get(spec.name, (spec.shape, None))
    return replace(spec, shape=shape, dtype=dtype or spec.dtype or "float32")


def _is_narrow(min: int | None, max: int | None, multiple: int, offset: int) -> bool:
    """Whether a free dimension's limits must be heeded, since usual sizes may not lie within."""
    return (min or 0) > 2 or max is not None or multiple > 1


def _sizes(min: int | None, max: int | None, multiple: int, offset: int) -> list[int]:
    """A few sizes of ``multiple * n + offset`` within the limits, none of them 1."""
    least = -(-(builtins.max(min or 2, 2) - offset) // multiple)
    sizes = [multiple * (least + step) + offset for step in (0, 3, 7, 1)]
    return [size for size in sizes if max is None or size <= max]


def _onnx(path: Path, common: dict[str, Any]) -> Runner:
    try:
        return ProcessRunner("onnx", str(path), **common)
    except (InvalidModel, Unsupported) as refusal:
        named = {**common, "name": f"{common['name']} in onnx's reference evaluator"}
        try:
            return ProcessRunner("onnx", str(path), engine="reference", **named)
        except IsthmusError:
            raise refusal from None


def _loaded_weights(factory: Factory, options: Options, scratch: Path) -> Path:
    """The state dict that the reader makes of the factory's weights: all keys, tied ones too, and no checkpoint."""
    import torch

    from isthmus.readers.torch.sources import open_source

    module = open_source(factory.callable, options, factory.weights).thing
    descriptor, path = tempfile.mkstemp(suffix=".pt", dir=scratch)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
        torch.save(module.state_dict(), file)
    return Path(path)


def _saved(model: Any, scratch: Path) -> Path:
    import onnx
    import onnx_ir as ir

    path = scratch / "reference.onnx"
    if isinstance(model, onnx.ModelProto):
        onnx.save(model, path)
    else:
        ir.save(model, path, external_data=f"{path.name}.data")
    return path


def _is_live_torch(source: Source) -> bool:
    return source.kind == "torch" and source.path is None and source.factory is None


def _live_tensors(source: Source, inputs: Any) -> Any:
    """The user's tensors by input name, where they nest as ``forward`` wants them."""
    from isthmus.readers.torch.live import live_call

    return live_call(_module(source.value), inputs).tensors


def _live_torch(source: Source, signature: Signature | None, inputs: Any) -> Runner:
    from isthmus.readers.torch.live import live_call
    from isthmus.verify.runners import codec
    from isthmus.verify.runners import torch as judged

    module = _module(source.value)
    call = live_call(module, inputs)
    if signature is None:
        arrays = {name: judged.to_numpy(tensor) for name, tensor in call.tensors.items()}
        signature = Signature(tuple(TensorSpec(n, codec.dtype_name(a.dtype), a.shape) for n, a in arrays.items()), ())
    return judged.live_module(module, call, signature, name=source.label)


def _live_tensorflow(source: Source, inputs: Any, dynamic_shapes: Any, options: Options) -> Runner:
    from isthmus.opening.source import open_source
    from isthmus.verify.runners.tensorflow import live_model

    opened = open_source(source.value, inputs, dynamic_shapes, signature=options.signature)
    return live_model(opened, name=source.label)


def _module(value: Any) -> Any:
    """The callable module of a live PyTorch source."""
    import torch

    return value.module() if isinstance(value, torch.export.ExportedProgram) else value
