"""Sizes that the source computes from other sizes, followed through its own graph."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import tensorflow as tf


@dataclass(frozen=True)
class Extent:
    """``factor`` times the size of ``tensor`` along ``axis``, and ``offset``."""

    tensor: str
    axis: int
    factor: int = 1
    offset: int = 0


Entry = int | Extent | None
"""A size that is known, one that hangs on another, or neither."""


def entries(tensor: tf.Tensor) -> list[Entry] | None:
    """What is known of each element of a scalar or vector of integers; None where not even their number is."""
    if tensor.shape.rank not in (0, 1):
        return None
    value = tf.get_static_value(tensor)
    if value is not None:
        return [int(element) for element in np.reshape(value, -1)]
    rule = _RULES.get(tensor.op.type)
    return None if rule is None else rule(tensor.op)


def extent_of(tensor: tf.Tensor, axis: int) -> Extent:
    """The size of ``tensor`` along ``axis``, told of the tensor that it is a copy or a view of."""
    node = tensor.op
    if node.type in _COPIES:
        return extent_of(node.inputs[0], axis)
    if node.type == "ExpandDims" and tensor.shape.rank is not None:
        where = tf.get_static_value(node.inputs[1])
        if where is not None and int(where) % tensor.shape.rank != axis:
            return extent_of(node.inputs[0], axis - (int(where) % tensor.shape.rank < axis))
    return Extent(tensor.name, axis)


def over(entry: Entry, tensor: tf.Tensor, axis: int) -> tuple[int, int] | None:
    """(factor, offset) where ``entry`` is that of the size of ``tensor`` along ``axis``."""
    if not isinstance(entry, Extent):
        return None
    plain = dataclasses.replace(entry, factor=1, offset=0)
    return (entry.factor, entry.offset) if plain == extent_of(tensor, axis) else None


def _shape(node: tf.Operation) -> list[Entry] | None:
    given = node.inputs[0]
    if given.shape.rank is None:
        return None
    return [size if size is not None else extent_of(given, axis) for axis, size in enumerate(given.shape)]


def _through(node: tf.Operation) -> list[Entry] | None:
    return entries(node.inputs[0])


def _sliced(node: tf.Operation) -> list[Entry] | None:
    bounds = [tf.get_static_value(tensor) for tensor in node.inputs[1:]]
    given = entries(node.inputs[0])
    if given is None or any(bound is None or bound.size != 1 for bound in bounds):
        return None
    begin, end, step = (int(bound[0]) for bound in bounds)
    if node.get_attr("ellipsis_mask") or node.get_attr("new_axis_mask"):
        return None
    if node.get_attr("shrink_axis_mask"):
        return given[begin : begin + 1] if begin != -1 else given[-1:]
    return given[None if node.get_attr("begin_mask") else begin : None if node.get_attr("end_mask") else end : step]


def _packed(node: tf.Operation) -> list[Entry] | None:
    return [(entries(tensor) or [None])[0] for tensor in node.inputs] if node.inputs[0].shape.rank == 0 else None


def _concatenated(node: tf.Operation) -> list[Entry] | None:
    found: list[Entry] = []
    for tensor in list(node.inputs)[:-1]:
        part = entries(tensor)
        if part is None and (tensor.shape.rank != 1 or tensor.shape[0] is None):
            return None
        found += [None] * int(tensor.shape[0]) if part is None else part
    return found


def _gathered(node: tf.Operation) -> list[Entry] | None:
    given, where = entries(node.inputs[0]), tf.get_static_value(node.inputs[1])
    return None if given is None or where is None else [given[int(index)] for index in np.reshape(where, -1)]


def _of_two(combine: Callable[[Entry, Entry], Entry]) -> Callable[[tf.Operation], list[Entry] | None]:
    def rule(node: tf.Operation) -> list[Entry] | None:
        one, other = (entries(tensor) for tensor in node.inputs)
        if one is None or other is None:
            return None
        length = max(len(one), len(other))
        if len(one) not in (1, length) or len(other) not in (1, length):
            return None
        return [combine(one[i % len(one)], other[i % len(other)]) for i in range(length)]

    return rule


def _times(one: Entry, other: Entry) -> Entry:
    if isinstance(one, int) and isinstance(other, int):
        return one * other
    if isinstance(one, Extent) and isinstance(other, int):
        return dataclasses.replace(one, factor=one.factor * other, offset=one.offset * other)
    return _times(other, one) if isinstance(one, int) and isinstance(other, Extent) else None


def _moved(sign: Callable[[int, int], int]) -> Callable[[Entry, Entry], Entry]:
    def combine(one: Entry, other: Entry) -> Entry:
        if not isinstance(other, int):
            return combine(other, one) if isinstance(one, int) and sign is operator.add and other else None
        if isinstance(one, int):
            return sign(one, other)
        return None if one is None else dataclasses.replace(one, offset=sign(one.offset, other))

    return combine


_COPIES = frozenset({"Identity", "StopGradient", "Snapshot"})

_RULES: Mapping[str, Callable[[tf.Operation], list[Entry] | None]] = MappingProxyType(
    {
        "Shape": _shape,
        **dict.fromkeys((*_COPIES, "Cast", "Squeeze", "ExpandDims"), _through),
        "StridedSlice": _sliced,
        "Pack": _packed,
        "ConcatV2": _concatenated,
        "GatherV2": _gathered,
        "Mul": _of_two(_times),
        **dict.fromkeys(("Add", "AddV2"), _of_two(_moved(operator.add))),
        "Sub": _of_two(_moved(operator.sub)),
    }
)
