"""Which inputs do not share the batch, though the first dimension of each is free.

TensorFlow does not name dimensions. The first one is taken for the batch, in every input that has one, unless the
inputs given have other sizes there, or one input tells which rows of another are meant.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from isthmus.opening.shapes import loaded
from isthmus.readers.tensorflow.program import Port, Program

_BATCH = "batch"
_INDEXING: Mapping[str, str] = {
    "Gather": "axis",
    "GatherElements": "axis",
    "GatherND": "batch_dims",
    "ScatterElements": "axis",
    "ScatterND": "",
}
"""Operators whose second input tells places on the first axis of the first, where this attribute is 0."""

_ROW_BY_ROW = frozenset(
    (
        *("Abs", "Add", "Cast", "Clip", "Div", "Exp", "Floor", "Identity", "Log", "Max", "Min", "Mul", "Neg"),
        *("Relu", "Round", "Sigmoid", "Slice", "Sqrt", "Sub", "Tanh", "Where"),
    )
)
"""Operators that leave rows where they are, or drop some."""
_COMPUTING = _ROW_BY_ROW | frozenset(
    ("Concat", "Expand", "Gather", "Mod", "Reshape", "Split", "Squeeze", "Transpose", "Unsqueeze")
)
"""Operators that make places of places."""


def untied(program: Program, inputs: Any) -> Program:
    """The program with a name of its own for the first dimension of each input that was given another batch."""
    if inputs is None:
        return program
    given = loaded(inputs)
    arrays = given if isinstance(given, (Mapping, list, tuple)) else [given]
    named = (
        arrays if isinstance(arrays, Mapping) else dict(zip((p.name for p in program.inputs), arrays, strict=False))
    )
    sizes = {
        port.name: found.shape[0]
        for port in program.inputs
        if _shares(port.shape) and isinstance(found := named.get(port.name), np.ndarray) and found.ndim
    }
    batch = next(iter(sizes.values()), None)
    ports = [_alone(port) if sizes.get(port.name, batch) != batch else port for port in program.inputs]
    return dataclasses.replace(program, inputs=tuple(ports))


def untie_indexed(graph: ir.Graph) -> None:
    """Name the first dimension of every input anew whose rows another input tells: it is no batch of theirs."""
    sharing = {value for value in graph.inputs if value.shape is not None and _shares(tuple(value.shape))}
    if len(sharing) < 2:
        return
    for node in graph.all_nodes():
        attribute = _INDEXING.get(node.op_type)
        if attribute is None or node.domain or node.attributes.get_int(attribute, 0) != 0:
            continue
        places = {value for value in _inputs_of(node.inputs[1], _COMPUTING) if _is_whole(value)}
        for rows in sharing.intersection(_inputs_of(node.inputs[0], _ROW_BY_ROW)):
            if places - {rows}:
                assert rows.shape is not None
                rows.shape = ir.Shape([f"{rows.name}_dim_0", *rows.shape[1:]])
                sharing.discard(rows)


def _is_whole(value: ir.Value) -> bool:
    return value.dtype is not None and value.dtype.is_integer()


def _shares(shape: tuple[Any, ...] | None) -> bool:
    return bool(shape) and shape is not None and shape[0] == _BATCH


def _alone(port: Port) -> Port:
    assert port.shape is not None
    return dataclasses.replace(port, shape=(f"{port.name}_dim_0", *port.shape[1:]))


def _inputs_of(value: ir.Value | None, passing: frozenset[str]) -> Iterator[ir.Value]:
    """The inputs of the graph that a value is made of by the operators ``passing`` alone."""
    seen: set[ir.Value] = set()
    pending = [value]
    while pending:
        one = pending.pop()
        if one is None or one in seen:
            continue
        seen.add(one)
        node = one.producer()
        if one.is_graph_input():
            yield one
        elif node is not None and not node.domain and node.op_type in passing:
            pending += node.inputs
