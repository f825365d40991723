"""What passes in and out of loops and branches: tensors as they are, lists and complex numbers by their parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import onnx_ir as ir

from isthmus.readers.tensorflow.handles import REFUSED, Complex, Refused
from isthmus.readers.tensorflow.ops._lists import TensorList, parts, rebuilt

Bound = Any


def refused(values: Iterable[Bound]) -> bool:
    """Whether one of these could not be read: then nothing that hangs on them can."""
    return any(isinstance(value, Refused) for value in values)


def all_refused(count: int) -> list[Bound]:
    return [REFUSED] * count


def tensors_of(bound: Bound) -> list[ir.Value] | None:
    """The tensors that make up what a tensor of the source is read as; None for a resource."""
    if isinstance(bound, ir.Value):
        return [bound]
    if isinstance(bound, Complex):
        return [bound.pairs]
    if isinstance(bound, TensorList) and bound.value is not None:
        return parts(bound)
    return None


def of_tensors(like: Bound, tensors: Sequence[ir.Value]) -> Bound:
    """The same kind of thing as ``like``, made of other tensors."""
    if isinstance(like, Complex):
        return dataclasses.replace(like, pairs=tensors[0])
    if isinstance(like, TensorList):
        return rebuilt(like, tensors)
    return tensors[0]


def returned(op: Any, graph: ir.Graph, values: Sequence[ir.Value]) -> None:
    """Let ``graph``, which is being built, return ``values``: what it did not make itself it returns as a copy."""
    for value in values:
        producer = value.producer()
        if producer is None or producer.graph is not graph or value in graph.outputs:
            shape, value = value.shape, op.Identity(value)
            value.shape = None if shape is None else shape.copy()
        graph.outputs.append(value)


def typed_like(outputs: Sequence[ir.Value], values: Sequence[ir.Value]) -> None:
    """Outputs of a loop or a choice have the element types of what its bodies return."""
    for output, value in zip(outputs, values, strict=True):
        output.type = value.type
        output.shape = None


def common_shape(first: ir.Value, second: ir.Value) -> ir.Shape | None:
    """What the shapes of two values have in common; None where their ranks do not."""
    if first.shape is None or second.shape is None or len(first.shape) != len(second.shape):
        return None
    return ir.Shape([a if a == b else None for a, b in zip(first.shape, second.shape, strict=True)])
