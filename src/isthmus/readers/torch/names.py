"""Names in the emitted graph: inputs, outputs, weights and free dimensions as the source calls them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import onnx_ir as ir
import torch

from isthmus.hub.state import KEY


def all_values(model: ir.Model) -> Iterator[ir.Value]:
    """Every value of the model, those of subgraphs and functions included."""
    graphs: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    for graph in graphs:
        yield from graph.inputs
        for node in graph.all_nodes():
            for attribute in node.attributes.values():
                if attribute.type == ir.AttributeType.GRAPH:
                    yield from attribute.as_graph().inputs
            yield from node.outputs
    yield from model.graph.initializers.values()


def name_inputs_and_outputs(model: ir.Model, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Give the graph's inputs and outputs these names; whoever else carried one of them steps aside.

    An output that is an input, a weight, or the same value as an earlier output gets an Identity of its own.
    """
    graph = model.graph
    taken: set[int] = {id(value) for value in graph.inputs}
    for index, value in enumerate(graph.outputs):
        if value.producer() is None or id(value) in taken:
            node = ir.node("Identity", inputs=[value])
            copy = node.outputs[0]
            copy.shape, copy.type = value.shape, value.type
            graph.append(node)
            graph.outputs[index] = copy
        taken.add(id(graph.outputs[index]))
    reserved = {*inputs, *outputs}
    given = {id(v) for v in (*graph.inputs, *graph.outputs)}
    used = {str(value.name) for value in all_values(model)} | reserved
    for value in [v for v in all_values(model) if v.name in reserved and id(v) not in given]:
        fresh, count = f"{value.name}_", 1
        while fresh in used:
            fresh, count = f"{value.name}_{count}", count + 1
        used.add(fresh)
        _rename(graph, value, fresh)
    for value in (*graph.inputs, *graph.outputs):
        value.name = None
    for value, name in zip((*graph.inputs, *graph.outputs), (*inputs, *outputs), strict=True):
        value.name = name


def _rename(graph: ir.Graph, value: ir.Value, name: str) -> None:
    if value.name in graph.initializers and graph.initializers[str(value.name)] is value:
        value.metadata_props[KEY] = str(value.name)
        graph.initializers.pop(str(value.name))
        value.name = name
        graph.initializers[name] = value
    else:
        value.name = name


def merge_tied_weights(model: ir.Model, state: Mapping[str, torch.Tensor]) -> None:
    """Weights that are one tensor in memory become one initializer, named as first in ``state``."""
    names: dict[tuple[object, ...], str] = {}
    for name, tensor in state.items():
        names.setdefault(memory(tensor), name)
    first: dict[tuple[object, ...], ir.Value] = {}
    for name, value in list(model.graph.initializers.items()):
        raw = getattr(value.const_value, "raw", None)
        if not isinstance(raw, torch.Tensor) or raw.numel() == 0:
            continue
        kept = first.setdefault(memory(raw), value)
        if kept is not value:
            value.replace_all_uses_with(kept, replace_graph_outputs=True)
            del model.graph.initializers[name]
    for key, value in first.items():
        name = names.get(key, str(value.name))
        if name != value.name and name not in model.graph.initializers:
            del model.graph.initializers[str(value.name)]
            value.name = name
            model.graph.initializers[name] = value


def memory(tensor: torch.Tensor) -> tuple[object, ...]:
    """What two names of one tensor share."""
    return tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype


def rename_dimensions(model: ir.Model, names: Mapping[str, str]) -> None:
    """Replace torch's symbols (``s23``, ``2*s7``) by the user's names, whole expressions first."""
    if not names:
        return
    symbols = {text: name for text, name in names.items() if text.isidentifier()}
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, symbols)) + r")\b") if symbols else None

    def renamed(text: str) -> str:
        if text in names:
            return names[text]
        return pattern.sub(lambda found: symbols[found.group()], text) if pattern else text

    for value in all_values(model):
        if value.shape is None:
            continue
        dims = [d if isinstance(d, int) else (renamed(d.value) if d.value else None) for d in value.shape]
        value.shape = ir.Shape(dims)
