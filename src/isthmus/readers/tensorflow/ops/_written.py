"""What a loop writes into its lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from isthmus.readers.tensorflow.functions import IDENTITIES, Region, arguments_of, called, origin
from isthmus.readers.tensorflow.ops._counting import Counter, Counting, static


@dataclass(frozen=True)
class Collected:
    """A list that gets one element in each iteration: at a counter, or behind what it had where that is None.

    ``grows`` where that may make it longer than it was.
    """

    item: tf.Tensor
    counter: Counter | None
    grows: bool


@dataclass(frozen=True)
class Replaced:
    """A list of which each iteration writes the same element: what the loop carries as its value ``twin`` as well."""

    index: int
    twin: int


_WRITES = {
    "TensorListSetItem": (0, 1, 2),
    "TensorArrayWriteV3": (3, 1, 2),
    "TensorListPushBack": (0, None, 1),
}
"""Which inputs of an operator are the list, the index and the item."""


def collected(cond: Region, body: Region, counting: Counting) -> Mapping[int, Collected]:
    """The lists that are written once in each iteration, one element after the other, and not looked at."""
    found = {}
    for index in range(len(body.inputs)):
        how = _collected(cond, body, index, counting)
        if how is not None:
            found[index] = how
    return found


def _collected(cond: Region, body: Region, index: int, counting: Counting) -> Collected | None:
    node = origin(body.outputs[index]).op
    if node.type not in _WRITES:
        return None
    if not _only_written(cond, body, index, node):
        return None
    _, at, item = _WRITES[node.type]
    if at is None:
        return Collected(node.inputs[item], None, grows=True)
    place = body.position(node.inputs[at])
    counter = None if place is None else counting.counters.get(place)
    if counter is None or abs(counter.step) != 1:
        return None
    grows = _may_grow(node)
    return None if grows is None else Collected(node.inputs[item], counter, grows)


def _may_grow(node: tf.Operation) -> bool | None:
    """Whether a write may make its list longer; None where that cannot be told."""
    if node.type == "TensorListSetItem":
        return bool(node.get_attr("resize_if_index_out_of_bounds"))
    handle = node.inputs[0].op
    while handle.type in (*IDENTITIES, "Enter", "Switch"):
        handle = handle.inputs[0].op
    return bool(handle.get_attr("dynamic_size")) if handle.type == "TensorArrayV3" else None


def replaced(cond: Region, body: Region, known: Mapping[str, np.ndarray]) -> Mapping[int, Replaced]:
    """The lists of which one element is written again and again, and not looked at: the last one written counts."""
    found = {}
    for index, output in enumerate(body.outputs):
        node = origin(output).op
        if node.type not in _WRITES or not _only_written(cond, body, index, node):
            continue
        _, at, item = _WRITES[node.type]
        place = None if at is None else static(node.inputs[at], known)
        wanted = origin(node.inputs[item])
        twins = [k for k, other in enumerate(body.outputs) if origin(other) is wanted and not body.is_invariant(k)]
        if place is not None and twins:
            found[index] = Replaced(int(place), twins[0])
    return found


def _only_written(cond: Region, body: Region, index: int, node: tf.Operation) -> bool:
    """Whether all that happens to a list in an iteration is that ``node`` writes into it."""
    held, _, item = _WRITES[node.type]
    if body.position(node.inputs[held]) != index or _users(body.inputs[index]) != [node]:
        return False
    if _users(cond.inputs[index], but=body) or _users(node.outputs[0], but=body):
        return False
    return body.position(node.inputs[item]) != index


def _users(tensor: tf.Tensor, but: Region | None = None) -> list[tf.Operation]:
    """What uses a tensor, behind identities. ``but`` is the body of a loop, whose ends are no users."""
    found = []
    for node in tensor.consumers():
        if node.type in IDENTITIES:
            found += _users(node.outputs[0], but)
        elif node.type not in ("Switch", "RefSwitch", "NextIteration") or but is None:
            found.append(node)
    return found


def written_element(region: Region, index: int) -> tuple[int | None, ...] | None:
    """The shape of what a region writes into its input ``index``, a list; None where its rank cannot be told."""
    return _written(region.inputs[index], frozenset())


def _written(held: tf.Tensor, seen: frozenset[Any]) -> tuple[int | None, ...] | None:
    for node in held.consumers():
        if node in seen:
            continue
        seen = seen | {node}
        place = next(i for i, tensor in enumerate(node.inputs) if tensor is held)
        if node.type in _WRITES and place == _WRITES[node.type][0]:
            shape = node.inputs[_WRITES[node.type][2]].shape
            if shape.rank is not None:
                return tuple(shape.as_list())
        followed = [node.outputs[0]] if node.type in (*_WRITES, *IDENTITIES, "TensorListResize") else []
        for number, graph in enumerate(called(node)):
            given = arguments_of(node, number)
            followed += [graph.inputs[i] for i, tensor in enumerate(given) if tensor is held]
        for tensor in followed:
            if (found := _written(tensor, seen)) is not None:
                return found
    return None
