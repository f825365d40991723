"""The table as the walk uses it: shape arithmetic stays on the host; tensors are made of it where they are due."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx_ir as ir
from torch import fx

from isthmus.lower.contract import Lowering, LoweringTable, Passing
from isthmus.lower.walk import Context, Subgraph
from isthmus.writers.torch import host
from isthmus.writers.torch.backend import TorchBackend
from isthmus.writers.torch.recorder import VALUE

Layer = Callable[[Context, TorchBackend, Callable[[int], Any]], Any]
"""What may lower a node to a layer, given its operands by number: None where the node is no such layer exactly."""


def prepared(table: LoweringTable, backend: TorchBackend, layers: Mapping[str, Layer] | None = None) -> LoweringTable:
    """``table`` for one walk with ``backend``; ``layers`` are tried first, by the operators' names."""
    return MappingProxyType({op: _prepared(entry, backend, (layers or {}).get(op[1])) for op, entry in table.items()})


def _prepared(entry: Lowering, backend: TorchBackend, layer: Layer | None) -> Lowering:
    hosted = entry.op[1] in host.RULES or entry.op[1] in ("Shape", "Size")

    def body(c: Context, *given: Any, **attributes: Any) -> Any:
        return _marked(c.node, lowered(c, *given, **attributes))

    def lowered(c: Context, *given: Any, **attributes: Any) -> Any:
        if hosted and (found := _on_host(c.node, given)) is not None:
            return found

        def operand(index: int) -> Any:
            return _handed(c.node, index, given[index], entry.passing(index), backend)

        def tensor(index: int) -> Any:
            return _handed(c.node, index, given[index], "tensor", backend)

        # A layer takes the weights itself: they must not stand elsewhere by then, nor outside of a body that runs it.
        outermost = backend.recorder is not None and backend.recorder.is_outermost
        if layer is not None and outermost and (made := layer(c, backend, tensor)) is not None:
            return made
        tensors = [operand(i) for i in range(len(given))]
        graphs = {k: _tensors_out(v, backend) for k, v in attributes.items() if isinstance(v, Subgraph)}
        context = (dataclasses.replace(c, _tensors=tuple(tensors)),) if entry.takes_context else ()
        return entry.body(*context, *tensors, **{**attributes, **graphs})

    # Whatever the lowering itself wants is made here, so that initializers and sizes arrive as they are.
    inputs: tuple[Passing, ...] = tuple("static" if p == "static" else "host" for p in entry.inputs)
    return dataclasses.replace(entry, body=body, takes_context=True, inputs=inputs)


def _marked(node: ir.Node, made: Any) -> Any:
    """``made``; the fx nodes of it remember which value of the hub they are."""
    for value, held in zip(node.outputs, made if isinstance(made, tuple | list) else (made,), strict=False):
        if isinstance(held, fx.Proxy):
            held.node.meta.setdefault(VALUE, value)
    return made


def _on_host(node: ir.Node, given: Sequence[Any]) -> list[Any] | None:
    """The outputs of shape arithmetic on what is on the host already."""
    if node.op_type in ("Shape", "Size"):
        return _extent(node, given[0])
    if not all(held is None or isinstance(held, np.ndarray) for held in given):
        return None
    if any(held is not None and held.dtype.kind not in "iubO" for held in given):
        return None
    return host.evaluate(node, given)


def _extent(node: ir.Node, x: Any) -> list[Any] | None:
    """The shape or the number of elements of a tensor; ints where the hub knows them."""
    value = node.inputs[0]
    assert value is not None
    if isinstance(x, np.ndarray):
        sizes = host.packed(x.shape)
    elif value.shape is not None and not isinstance(x, list):
        sizes = host.sizes(x, [d if isinstance(d, int) else None for d in value.shape])
    else:
        return None
    if node.op_type == "Shape":
        start, end = (node.attributes.get(name) for name in ("start", "end"))
        first, last = (None if bound is None else bound.as_int() for bound in (start, end))
        return [host.settled(sizes[slice(first, last)])]
    return [host.product(sizes)]


def _handed(node: ir.Node, index: int, held: Any, passing: str, backend: TorchBackend) -> Any:
    """One operand as the lowering wants it."""
    if not isinstance(held, np.ndarray) or passing in ("static", "host"):
        return held
    value = node.inputs[index]
    assert value is not None
    if value.const_value is not None:
        return backend.constant(value)
    return backend.tensor(held, value.dtype or ir.DataType.INT64)


def _tensors_out(graph: Subgraph, backend: TorchBackend) -> Subgraph:
    """An inner graph that gives tensors only."""

    def run(inner: ir.Graph, inputs: Sequence[Any]) -> list[Any]:
        return as_tensors(inner, graph._run(inner, inputs), backend)

    return Subgraph(graph.graph, run)


def as_tensors(graph: ir.Graph, made: Sequence[Any], backend: TorchBackend) -> list[Any]:
    """The outputs of a graph, sizes among them as tensors."""
    pairs = zip(graph.outputs, made, strict=True)
    return [backend.tensor(held, value.dtype or ir.DataType.INT64) for value, held in pairs]
