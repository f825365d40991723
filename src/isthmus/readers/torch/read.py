"""From an opened source to the hub: the roads in order, then names, dimensions and the signature."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from torch.utils import _pytree as pytree

from isthmus.errors import Unsupported, UsageError
from isthmus.hub.canonical import canonicalize
from isthmus.hub.model import Hub
from isthmus.hub.state import STATE
from isthmus.passes.base import run
from isthmus.passes.pipelines import simplify
from isthmus.readers.torch import capture, names, programs
from isthmus.readers.torch.dims import Axes, asked_axes, ranges
from isthmus.readers.torch.emit import emit, missing_operators
from isthmus.readers.torch.feeds import Feeds, feeds_of
from isthmus.readers.torch.graph import Graph
from isthmus.readers.torch.quiet import quiet, undisturbed
from isthmus.readers.torch.sources import Opened, open_source
from isthmus.readers.torch.state import told_state
from isthmus.readers.torch.structure import (
    forward_with_named_outputs,
    leaf_names,
    nesting_of_spec,
    output_names,
    plain_outputs,
)
from isthmus.types import Blocker, Note, Options, Signature, TensorSpec


def read(source: Any, inputs: Any, dynamic_shapes: Any, options: Options, weights: Path | None) -> Hub:
    """See :func:`isthmus.readers.torch.read_torch`."""
    opened = open_source(source, options, weights)
    if opened.kind == "torch.pt2":
        graph = _from_program(opened.thing, dynamic_shapes)
    elif opened.kind == "torchscript":
        from isthmus.readers.torch.script import from_torchscript

        graph = from_torchscript(opened.thing, inputs, dynamic_shapes, options)
    else:
        graph = _from_module(opened.thing, inputs, dynamic_shapes, options)
    return _hub(opened, graph)


def _hub(opened: Opened, graph: Graph) -> Hub:
    canonicalize(graph.model)
    hub = Hub(
        model=graph.model,
        signature=signature_of(graph.model.graph),
        source=opened.name,
        source_kind=opened.kind,
        road=graph.road,
        notes=(*opened.notes, *graph.notes),
        extras={"dims": graph.dims},
    )
    # torch's translations are verbose (a zero bias is expanded from the input's shape, sizes are cast and squeezed).
    # What may train is left alone, whatever the target will be.
    hub = run(hub, [simplify(trainable=True)])
    return hub.with_(extras={**hub.extras, STATE: told_state(opened.thing, hub.model, graph.outputs)})


def signature_of(graph: ir.Graph) -> Signature:
    """Names, element types and shapes of a graph's inputs and outputs."""
    return Signature(tuple(map(_spec, graph.inputs)), tuple(map(_spec, graph.outputs)))


def _spec(value: ir.Value) -> TensorSpec:
    shape = None if value.shape is None else tuple(d if isinstance(d, int) else d.value for d in value.shape)
    dtype = "" if value.dtype is None else value.dtype.name.lower()
    return TensorSpec(str(value.name), {"float": "float32", "double": "float64"}.get(dtype, dtype), shape)


def _from_module(module: torch.nn.Module, inputs: Any, dynamic_shapes: Any, options: Options) -> Graph:
    with undisturbed(module):
        feeds = feeds_of(inputs, module)
        axes = asked_axes(dynamic_shapes, feeds.bound(module))
        feeds = axes.grown(feeds, feeds.bound(module))
        try:
            with quiet():
                result = module(*feeds.args, **feeds.kwargs)
        except capture.refusals() as error:
            reason = capture.one_line(error)
            raise UsageError(f"{type(module).__name__} fails on the given inputs: {reason}") from error
        _refuse_complex(feeds, result)
        notes = _fixed_inputs(feeds.bound(module))
        if all(isinstance(leaf, torch.Tensor) for leaf in pytree.tree_leaves(result)):
            graph = _by_roads(module, feeds, axes, options)
            return dataclasses.replace(graph, notes=(*graph.notes, *notes))
        with forward_with_named_outputs(module):
            graph = _by_roads(module, feeds, axes, options)
        return dataclasses.replace(graph, notes=(*graph.notes, *notes, *_left_out(result)))


def _fixed_inputs(bound: Mapping[str, Any]) -> list[Note]:
    leaves = zip(leaf_names(bound), pytree.tree_leaves(dict(bound)), strict=True)
    return [
        Note("input", f"{name} is the constant {leaf!r} in the result")
        for name, leaf in leaves
        if leaf is not None and not isinstance(leaf, torch.Tensor)
    ]


def _left_out(result: Any) -> list[Note]:
    plain = plain_outputs(result)
    leaves = zip(output_names(plain), pytree.tree_leaves(plain), strict=True)
    return [
        Note("output", f"{name} is {leaf!r}, not a tensor, and is left out")
        for name, leaf in leaves
        if leaf is not None and not isinstance(leaf, torch.Tensor)
    ]


def _by_roads(module: torch.nn.Module, feeds: Feeds, axes: Axes, options: Options) -> Graph:
    """torch.export without Dynamo, with Dynamo, then the TorchScript exporter: the first that succeeds."""
    refused: list[tuple[str, BaseException]] = []
    captured: capture.Captured | None = None
    for road, strict in (("torch.export", False), ("torch.export(strict=True)", True)):
        try:
            captured = capture.export(module, feeds, axes, strict=strict, trainable=options.trainable)
            graph = _graph_of(captured, road)
        except capture.refusals() as error:
            refused.append((road, error))
            continue
        return _with_refusals(graph, refused)
    from isthmus.readers.torch.script import traced

    road = "torch.onnx TorchScript exporter"
    try:
        return _with_refusals(traced(module, feeds, axes, options), refused)
    except capture.refusals() as error:
        refused.append((road, error))
    raise _unsupported(module, captured, refused)


def _with_refusals(graph: Graph, refused: Sequence[tuple[str, BaseException]]) -> Graph:
    notes = tuple(Note("road", f"{road} refused: {capture.one_line(error)}") for road, error in refused)
    return dataclasses.replace(graph, notes=(*notes, *graph.notes))


def _unsupported(
    module: torch.nn.Module,
    captured: capture.Captured | None,
    refused: Sequence[tuple[str, BaseException]],
) -> Unsupported:
    """Every untranslated operator where the module was captured, every road's reason where it was not."""
    name = type(module).__name__
    if captured is not None:
        operators = [b for _, error in refused for b in missing_operators(captured.program, error)]
        if operators:
            unique = {blocker.op: blocker for blocker in operators}
            return Unsupported(f"{name} uses operators that ONNX cannot express", list(unique.values()))
    roads = [Blocker(road, capture.one_line(error)) for road, error in refused]
    return Unsupported(f"{name} cannot be captured as a graph", roads)


def _graph_of(captured: capture.Captured, road: str) -> Graph:
    program, axes = captured.program, captured.axes
    inputs = captured.inputs
    outputs, notes = capture.named_outputs(program)
    dims, fell = capture.dimension_names(program, axes, inputs)
    model, decomposed = emit(program)
    names.merge_tied_weights(model, program.state_dict)
    names.name_inputs_and_outputs(model, inputs, outputs)
    names.rename_dimensions(model, dims)
    notes = [*captured.notes, *fell, *notes, *capture.state_notes(decomposed)]
    nesting = (
        nesting_of_spec(program.call_spec.out_spec) if program.call_spec.out_spec.num_leaves == len(outputs) else None
    )
    return Graph(model, road, ranges(axes), tuple(notes), nesting)


def _from_program(program: torch.export.ExportedProgram, dynamic_shapes: Any) -> Graph:
    axes = programs.axes_of(program, dynamic_shapes)
    try:
        return _graph_of(capture.Captured(program, tuple(capture.named_inputs(program)), axes, ()), "ExportedProgram")
    except capture.refusals() as error:
        blockers = missing_operators(program, error) or (Blocker("ExportedProgram", capture.one_line(error)),)
        raise Unsupported("the exported program cannot be translated", blockers) from error


def _refuse_complex(feeds: Feeds, result: Any) -> None:
    leaves = pytree.tree_leaves((feeds.args, feeds.kwargs, result))
    if any(isinstance(leaf, torch.Tensor) and leaf.is_complex() for leaf in leaves):
        hint = "take and return torch.view_as_real(…) in forward"
        raise Unsupported(
            "complex tensors cannot cross the model's border",
            [Blocker("complex", "ONNX operators take no complex inputs and give no complex outputs", hint)],
        )
