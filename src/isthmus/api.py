"""The verbs: convert, verify, locate, inspect, check. Read → prepare → write → judge, and publish what holds."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from isthmus import roads
from isthmus import target as places
from isthmus.doctor import framework_versions
from isthmus.errors import Unsupported, UsageError
from isthmus.hub.io import relocate
from isthmus.hub.model import Hub, op_counts
from isthmus.shapes import Shapes, example, free_axes
from isthmus.source import Source, judged, recognise, target_kind
from isthmus.types import (
    Artifact,
    Conversion,
    Divergence,
    Kind,
    Options,
    Report,
    Summary,
    Support,
    TensorSpec,
    Verdict,
)

Step = Callable[[str], None]


def convert(
    source: Any,
    target: str | Path | None = None,
    *,
    to: Kind | None = None,
    inputs: Any = None,
    dynamic_shapes: Any = None,
    options: Options | None = None,
) -> Conversion:
    """Carry ``source`` to ``target`` and judge the result against it.

    Args:
        source: a path (``.onnx``, ``.pt2``, TorchScript ``.pt``, a SavedModel, ``.keras``, ``.h5``, ``.pb``,
            ``.meta``), ``package.module:factory``, or a live object: ``nn.Module`` (with ``inputs``),
            ``ExportedProgram``, ``keras.Model``, ``tf.Module``, ``tf.function``, ``ConcreteFunction``,
            ``onnx.ModelProto``, ``onnx_ir.Model``.
        target: ``model.onnx``, ``model.pt2``, ``model.py`` or a folder for a SavedModel; ``None`` keeps the result in
            memory.
        to: ``onnx``, ``saved_model``, ``torch`` or ``python``, where the target's name does not tell.
        inputs: a tuple or dict of arrays or tensors, or the path of an ``.npz``; synthesised where missing.
        dynamic_shapes: as in ``torch.export``; for other sources ``{name: shape}`` with words for free dimensions.
        options: see ``Options``.

    Returns:
        The conversion: truthy where it agrees with its source. A result that disagrees is kept beside the target,
        with ``.unverified`` added to its name.

    Raises:
        errors.IsthmusError: one of its kinds, with a hint; nothing half-written stays, nothing there is lost.
    """
    return run_conversion(source, target, to=to, inputs=inputs, dynamic_shapes=dynamic_shapes, options=options)


def verify(reference: Any, candidate: Any, *, inputs: Any = None, options: Options | None = None) -> Verdict:
    """Judge ``candidate`` against ``reference`` on the same inputs. Truthy where every output agrees.

    Either is whatever ``convert`` takes as a source, or Python source that Isthmus wrote, which is run.
    """
    return run_verification(reference, candidate, inputs=inputs, options=options)


def locate(
    reference: Any, candidate: Any, *, inputs: Any = None, options: Options | None = None
) -> Divergence | None:
    """The first value whose inputs agree and which does not, or None where nothing diverges. ONNX models only."""
    from isthmus.verify.locate import first_divergence

    return first_divergence(reference, candidate, inputs=inputs, options=options or Options())


def inspect(source: Any) -> Summary:
    """Signature, operators, parameters, types and opset of ``source``, which is never run."""
    return run_inspection(source)


def check(source: Any, *, to: Kind, inputs: Any = None, dynamic_shapes: Any = None) -> Support:
    """Every blocker on the way from ``source`` to ``to``, each with its remedy, before any work."""
    return run_check(source, to=to, inputs=inputs, dynamic_shapes=dynamic_shapes)


def run_conversion(
    source: Any,
    target: str | Path | None = None,
    *,
    to: str | None = None,
    inputs: Any = None,
    dynamic_shapes: Any = None,
    shapes: Shapes | None = None,
    options: Options | None = None,
    progress: Step = lambda step: None,
) -> Conversion:
    """``convert`` with what only the command line has: ``--input-shapes`` and progress."""
    options = options or Options()
    place = None if target is None else Path(target)
    kind = target_kind(place, to)
    origin = recognise(source)
    _require_ways(origin, kind, options)
    if place is not None:
        places.require_free(place, overwrite=options.overwrite)
    inputs, dynamic_shapes = _from_shapes(origin, shapes, inputs, dynamic_shapes, options)
    with ExitStack() as stack:
        progress(f"reading {origin.label}")
        hub = roads.read(origin, inputs=inputs, dynamic_shapes=dynamic_shapes, options=options)
        if place is not None:
            staged = stack.enter_context(places.staging(place))
            path: Path | None = staged.path
        else:
            staged = None
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="isthmus-")))
            path = scratch / f"model{roads.SUFFIXES[kind]}" if options.verify else None
        progress(f"writing {kind}")
        written = roads.write(hub, kind, path, options)
        files = places.fingerprints(path) if path is not None else {}
        verdict = None
        if options.verify and path is not None:
            progress("judging the result against its source")
            verdict = _judge(origin, judged(path), hub, inputs, dynamic_shapes, options)
        label = place.name if place is not None else None
        artifact = Artifact(kind, label, written.signature, files)
        report = _report(origin, hub, written, artifact, verdict, options)
        if staged is not None:
            disagrees = verdict is not None and not verdict
            staged.path.with_name(f"{staged.path.name}.isthmus.json").write_text(report.to_json(), encoding="utf-8")
            if disagrees and kind == "onnx":
                relocate(staged.path, places.UNVERIFIED)
            staged.publish(unverified=disagrees)
        return Conversion(written.model, artifact, verdict, report)


def run_verification(
    reference: Any,
    candidate: Any,
    *,
    inputs: Any = None,
    shapes: Shapes | None = None,
    options: Options | None = None,
) -> Verdict:
    """``verify`` with ``--input-shapes``."""
    from isthmus import judging
    from isthmus.verify.judge import judge
    from isthmus.verify.paired import paired

    options = options or Options()
    first, second = judged(reference), judged(candidate)
    for side in (first, second):
        roads.require_judge(side.kind)
        judging.require_safe(side, options)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="isthmus-")))
        told = judging.told_inputs(shapes, inputs)
        one = judging.runner(first, None, inputs=inputs, options=options, scratch=scratch, told=told)
        stack.callback(one.close)
        other = judging.runner(second, None, inputs=inputs, options=options, scratch=scratch, told=told)
        stack.callback(other.close)
        one, other, notes = paired(one, other)
        hub = judging.readable((first, second), options)
        feeds = judging.common_feeds(
            (first, second), (one, other), hub, inputs=inputs, shapes=shapes, options=options
        )
        verdict = judge(
            one,
            other,
            feeds,
            options=options,
            tolerance=judging.tolerance(hub, options),
            floor=judging.common_floor((first, second), hub, options),
            channels_last=first.kind == "tensorflow",
        )
        return dataclasses.replace(verdict, notes=(*notes, *verdict.notes))


def run_inspection(source: Any, *, options: Options | None = None) -> Summary:
    """``inspect`` with options."""
    from isthmus.inspection import summarize

    return summarize(recognise(source), options or Options())


def run_check(
    source: Any,
    *,
    to: str,
    inputs: Any = None,
    dynamic_shapes: Any = None,
    shapes: Shapes | None = None,
    options: Options | None = None,
) -> Support:
    """``check`` with options and ``--input-shapes``."""
    options = options or Options()
    kind = target_kind(None, to)
    origin = recognise(source)
    roads.require_reader(origin.kind)
    roads.require_target(kind)
    inputs, dynamic_shapes = _from_shapes(origin, shapes, inputs, dynamic_shapes, options)
    try:
        hub = roads.read(origin, inputs=inputs, dynamic_shapes=dynamic_shapes, options=options)
    except Unsupported as refusal:  # what cannot be read cannot be carried anywhere
        return Support(kind, refusal.blockers, {})
    return Support(kind, tuple(roads.blockers(hub, kind, options)), op_counts(hub.model))


def _require_ways(origin: Source, kind: Kind, options: Options) -> None:
    """Refuse before any work what cannot be read, written or judged here, and options that would not be heeded."""
    if options.dtype is not None:
        raise UsageError("dtype: this version keeps the source's element types", hint="convert without it")
    if options.opset is not None and kind != "onnx":
        raise UsageError(f"opset: a {kind} target has none", hint="pin it for an .onnx target")
    roads.require_reader(origin.kind)
    roads.require_target(kind)
    if options.verify:
        roads.require_judge(origin.kind)
        roads.require_judge(roads.FRAMEWORK_OF[kind])


def _from_shapes(
    origin: Source, shapes: Shapes | None, inputs: Any, dynamic_shapes: Any, options: Options
) -> tuple[Any, Any]:
    """Inputs and dynamic shapes out of ``--input-shapes``, where these are not given themselves."""
    if not shapes:
        return inputs, dynamic_shapes
    if origin.kind == "onnx":
        return inputs, {name: shape for name, (shape, _) in shapes.items()}
    if origin.kind == "tensorflow":
        return inputs, {name: TensorSpec(name, dtype or "", shape) for name, (shape, dtype) in shapes.items()}
    return (example(shapes, options.seed) if inputs is None else inputs), free_axes(shapes)


def _judge(origin: Source, made: Source, hub: Hub, inputs: Any, dynamic_shapes: Any, options: Options) -> Verdict:
    """The result of a conversion against where it came from."""
    from isthmus import judging
    from isthmus.verify.judge import judge

    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="isthmus-")))
        reference = judging.runner(
            origin, hub.signature, inputs=inputs, options=options, scratch=scratch, dynamic_shapes=dynamic_shapes
        )
        stack.callback(reference.close)
        plain = dataclasses.replace(options, signature=None)
        candidate = judging.runner(made, hub.signature, inputs=None, options=plain, scratch=scratch)
        stack.callback(candidate.close)
        feeds = judging.feeds(origin, hub, inputs, options)
        tolerance = judging.tolerance(hub, options)
        # The writer has worked on the hub, so that a measurement reads the source again.
        again = partial(roads.read, origin, inputs=inputs, dynamic_shapes=dynamic_shapes, options=options)
        floor = judging.floor(again, options)
        return judge(
            reference,
            candidate,
            feeds,
            options=options,
            tolerance=tolerance,
            floor=floor,
            converted=True,
            channels_last=hub.channels_last,
        )


def _report(
    origin: Source, hub: Hub, written: roads.Written, artifact: Artifact, verdict: Verdict | None, options: Options
) -> Report:
    return Report(
        source=origin.label,
        source_kind=hub.source_kind,
        target=artifact.path,
        kind=artifact.kind,
        road=hub.road,
        signature=hub.signature,
        ledger=written.ledger,
        notes=written.notes,
        artifact=artifact,
        verdict=verdict,
        versions=framework_versions(),
        options=options,
        weights=written.weights,
    )
