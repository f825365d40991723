"""Sequences and optionals.

A sequence is a Python list of tensors; its length is known while a model is recorded. One whose length only a run can
tell (an input of the model, carried by a loop) is a proxy of such a list: it is asked by functions of Python.

An optional is its value, or None where it is empty.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from isthmus.lower.contract import Host, Lowerings
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import call, dim, host_list, host_scalar, leaf, positive
from isthmus.writers.torch.ops._dims import is_known
from isthmus.writers.torch.ops._loops import recorder_of

table = Lowerings()
lower, alias = table.lower, table.alias


@lower("SequenceEmpty", ignore=("dtype",))
def sequence_empty():
    return []


@lower("SequenceConstruct")
def sequence_construct(*xs):
    return list(xs)


@lower("SequenceLength")
def sequence_length(c, sequence):
    length = len(sequence) if isinstance(sequence, list) else call(c, len, sequence)
    return call(c, torch.tensor, length, dtype=torch.int64)


@lower("SequenceAt")
def sequence_at(c, sequence, position: Host):
    if isinstance(sequence, list) and is_known(position):
        return sequence[_within(c, host_scalar(position), len(sequence) - 1, len(sequence))]
    return call(c, operator.getitem, sequence, host_scalar(position))


@lower("SequenceInsert")
def sequence_insert(c, sequence, tensor, position: Host = None):
    if isinstance(sequence, list) and (position is None or is_known(position)):
        length = len(sequence)
        at = length if position is None else positive(_within(c, host_scalar(position), length, length), length)
        return [*sequence[:at], tensor, *sequence[at:]]
    if position is None:
        return call(c, operator.add, sequence, [tensor])
    return inserted(sequence, tensor, host_scalar(position))


@lower("SequenceErase")
def sequence_erase(c, sequence, position: Host = None):
    if isinstance(sequence, list) and (position is None or is_known(position)):
        length = len(sequence)
        number = -1 if position is None else host_scalar(position)
        at = positive(_within(c, number, length - 1, length), length)
        return [*sequence[:at], *sequence[at + 1 :]]
    return erased(sequence, -1 if position is None else host_scalar(position))


@leaf
def inserted(sequence: list[torch.Tensor], tensor: torch.Tensor, position: int) -> list[torch.Tensor]:
    """A new list with ``tensor`` before the element at ``position``."""
    if not -len(sequence) <= position <= len(sequence):  # Python would take the nearest place
        raise IndexError("position out of range")
    made = list(sequence)
    made.insert(position, tensor)
    return made


@leaf
def erased(sequence: list[torch.Tensor], position: int) -> list[torch.Tensor]:
    """A new list without the element at ``position``."""
    made = list(sequence)
    made.pop(position)
    return made


def _within(c: Context, position: Any, high: int, length: int) -> Any:
    if isinstance(position, int) and not -length <= position <= high:
        c.refuse(f"position {position} is not within [{-length}, {high}] of the sequence")
    return position


@lower("SplitToSequence")
def split_to_sequence(c, x, split: Host = None, *, axis, keepdims):
    axis = positive(axis, c.rank())
    length = dim(c, x, axis)
    whole = split is None and not keepdims
    if split is None and isinstance(length, int):
        sizes: Any = [1] * length
    elif split is None:
        return call(c, list, x.unbind(axis) if whole else x.split(1, axis))
    elif (len(split.shape) if is_known(split) else c.rank(1)) == 0:
        chunk = host_scalar(split)
        if not (isinstance(chunk, int) and isinstance(length, int)):
            return call(c, list, x.split(chunk, axis))
        sizes = [min(chunk, length - at) for at in range(0, length, chunk)]
    elif is_known(split) or isinstance(c.shape(1)[0], int):
        sizes = host_list(c, split)
    else:
        return call(c, list, x.split(split.tolist(), axis))
    if not sizes:
        return []
    pieces = x.split(sizes, axis)
    return [pieces[i].squeeze(axis) if whole else pieces[i] for i in range(len(sizes))]


@lower("ConcatFromSequence")
def concat_from_sequence(c, sequence, *, axis, new_axis):
    if isinstance(sequence, list) and not sequence:
        c.refuse("the sequence is empty: there is nothing to concatenate")
    return call(c, torch.stack if new_axis else torch.cat, sequence, axis)


@lower("SequenceMap")
def sequence_map(c, sequence, *others, body):
    """The body, once an element; operands that are tensors are the same each time."""
    if not isinstance(sequence, list) and recorder_of(c) is not None:
        bodies, captured = recorder_of(c).bodies([body.__call__], 1 + len(others))
        columns = mapped(bodies[0], sequence, others, captured, c.outputs)
        return columns[0] if c.outputs == 1 else tuple(columns[k] for k in range(c.outputs))
    rows = [
        body(element, *(other[i] if isinstance(other, list) else other for other in others))
        for i, element in enumerate(sequence)
    ]
    made = tuple([row[k] for row in rows] for k in range(c.outputs))
    return made[0] if c.outputs == 1 else made


@leaf
def mapped(
    body: nn.Module, sequence: list[torch.Tensor], others: Sequence[Any], captured: Sequence[Any], outputs: int
) -> list[list[torch.Tensor]]:
    """What ``body`` gives for each element, one list an output; lists among ``others`` go along with it."""
    columns: list[list[torch.Tensor]] = [[] for _ in range(outputs)]
    for i, element in enumerate(sequence):
        made = body(element, *(other[i] if isinstance(other, list) else other for other in others), *captured)
        for column, value in zip(columns, made, strict=True):
            column.append(value)
    return columns


@lower("Optional", ignore=("type",))
def optional(value=None):
    return value


@lower("OptionalGetElement")
def optional_get_element(c, value):
    if value is None:
        c.refuse("the optional is empty: there is no element to get")
    return value


@lower("OptionalHasElement")
def optional_has_element(c, value=None):
    return call(c, torch.tensor, value is not None)
