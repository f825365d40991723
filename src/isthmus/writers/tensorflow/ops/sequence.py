"""Sequences and optionals.

A sequence is a Python list of tensors while its length is known at trace time; every operator keeps it so, even
where a position is data-dependent. A sequence whose length only a run can tell (carried by a loop, split at a free
dimension) is a ``TensorList``: TensorFlow's variant tensor, which tf.while_loop and tf.cond carry and differentiate.
Control flow packs with ``tensor_list`` before it, carries ``.handle``, and makes a ``TensorList`` of what comes back.

An optional is its value, or None where it is empty: which of both must be known at trace time, since a TensorFlow
tensor is never absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
import tensorflow as tf

from isthmus.lower.contract import Host, Lowerings
from isthmus.lower.walk import Context
from isthmus.writers.tensorflow.backend import dtype_of
from isthmus.writers.tensorflow.ops._dims import dim, from_front, is_known, output_rank

table = Lowerings()
lower, alias = table.lower, table.alias


@dataclass(frozen=True)
class TensorList:
    """A sequence of unknown length. ``handle`` is a scalar variant tensor, ``rank`` that of the elements."""

    handle: tf.Tensor
    dtype: tf.DType
    rank: int | None = None

    def __len__(self) -> int:
        raise TypeError("the length of a TensorList is a tensor: ask .length()")

    def length(self) -> tf.Tensor:
        """Scalar int64."""
        return tf.cast(tf.raw_ops.TensorListLength(input_handle=self.handle), tf.int64)

    def __getitem__(self, index: Any) -> tf.Tensor:
        item = tf.raw_ops.TensorListGetItem(
            input_handle=self.handle, index=tf.cast(index, tf.int32), element_shape=-1, element_dtype=self.dtype
        )
        item.set_shape([None] * self.rank if self.rank is not None else None)
        return item

    def pushed(self, tensor: tf.Tensor) -> TensorList:
        """With one more element at the end."""
        rank = self.rank if self.rank == tensor.shape.rank else None
        return TensorList(tf.raw_ops.TensorListPushBack(input_handle=self.handle, tensor=tensor), self.dtype, rank)


Sequence = list[tf.Tensor] | TensorList


def empty_list(dtype: tf.DType, rank: int | None = None) -> TensorList:
    """A TensorList without elements."""
    return TensorList(
        tf.raw_ops.EmptyTensorList(element_shape=-1, max_num_elements=-1, element_dtype=dtype), dtype, rank
    )


def tensor_list(sequence: Sequence, dtype: tf.DType) -> TensorList:
    """A sequence as a TensorList: what a loop can carry. ``dtype`` tells the type of an empty one."""
    if isinstance(sequence, TensorList):
        return sequence
    ranks = {t.shape.rank for t in sequence}
    packed = empty_list(dtype, ranks.pop() if len(ranks) == 1 else None)
    for tensor in sequence:
        packed = packed.pushed(tensor)
    return packed


def element_dtype(value_type: Any) -> tf.DType:
    """The TensorFlow type of the elements of an ONNX sequence (or optional) type. Raises TypeError."""
    while isinstance(value_type, ir.SequenceType | ir.OptionalType):
        value_type = value_type.elem_type
    dtype = getattr(value_type, "dtype", value_type)
    if not isinstance(dtype, ir.DataType):
        raise TypeError("the element type of a sequence is not known")
    return dtype_of(dtype)


@lower("SequenceEmpty")
def sequence_empty(*, dtype):
    return []


@lower("SequenceConstruct")
def sequence_construct(*xs):
    return list(xs)


@lower("SequenceLength")
def sequence_length(sequence):
    if isinstance(sequence, TensorList):
        return sequence.length()
    return tf.constant(len(sequence), tf.int64)


@lower("SequenceAt")
def sequence_at(c, sequence, position: Host):
    if isinstance(sequence, TensorList):
        return _ranked(sequence[_counted(position, sequence.length())], output_rank(c))
    length = len(sequence)
    if length == 0:
        c.refuse("the sequence is empty: TensorFlow has no tensor to take out of it")
    if is_known(position):
        return sequence[_within(c, int(position), -length, length - 1)]
    return _chosen(_checked(position, length, length), sequence)


@lower("SequenceInsert")
def sequence_insert(c, sequence, tensor, position: Host = None):
    if isinstance(sequence, TensorList):
        length = sequence.length()
        at = length if position is None else _counted(position, length)
        return _rebuilt(sequence, [(0, at), tensor, (at, length)])
    length = len(sequence)
    if position is None or is_known(position):
        at = length if position is None else _within(c, int(position), -length, length)
        at = from_front(at, length)
        return [*sequence[:at], tensor, *sequence[at:]]
    at = _checked(position, length, length + 1)
    # element i is the old i before the position, the new one at it, the old i-1 after it
    branch = [tf.cast(i == at, tf.int32) + 2 * tf.cast(i > at, tf.int32) for i in range(length + 1)]
    return [
        _chosen(branch[i], [sequence[min(i, length - 1)], tensor, sequence[max(i - 1, 0)]]) if length else tensor
        for i in range(length + 1)
    ]


@lower("SequenceErase")
def sequence_erase(c, sequence, position: Host = None):
    if isinstance(sequence, TensorList):
        length = sequence.length()
        at = length - 1 if position is None else _counted(position, length)
        return _rebuilt(sequence, [(0, at), (at + 1, length)])
    length = len(sequence)
    if length == 0:
        c.refuse("the sequence is empty: there is nothing to erase")
    if position is None or is_known(position):
        at = from_front(-1 if position is None else _within(c, int(position), -length, length - 1), length)
        return [*sequence[:at], *sequence[at + 1 :]]
    at = _checked(position, length, length)
    return [_chosen(tf.cast(i >= at, tf.int32), sequence[i : i + 2]) for i in range(length - 1)]


def _within(c: Any, position: int, low: int, high: int) -> int:
    if not low <= position <= high:
        c.refuse(f"position {position} is not within [{low}, {high}] of the sequence")
    return position


def _counted(position: Any, length: Any) -> tf.Tensor:
    """A position counted from the front, scalar int64."""
    position = tf.reshape(tf.cast(position, tf.int64), [])
    return tf.where(position < 0, position + tf.cast(length, tf.int64), position)


def _checked(position: Any, length: int, limit: int) -> tf.Tensor:
    """A position counted from the front, scalar int32; the run fails where it is not below ``limit``."""
    at = tf.cast(_counted(position, length), tf.int32)
    message = f"the position is beyond a sequence of {length}"
    checks = [tf.debugging.assert_less(at, limit, message), tf.debugging.assert_non_negative(at, message)]
    with tf.control_dependencies([check for check in checks if check is not None]):
        return tf.identity(at)


def _chosen(branch: tf.Tensor, tensors: list[tf.Tensor]) -> tf.Tensor:
    """The tensor of number ``branch``: they may differ in shape, and gradients reach the chosen one."""
    return tf.switch_case(branch, [lambda t=t: tf.identity(t) for t in tensors])


def _ranked(tensor: tf.Tensor, rank: int | None) -> tf.Tensor:
    if rank is not None and tensor.shape.rank is None:
        tensor.set_shape([None] * rank)
    return tensor


def _rebuilt(sequence: TensorList, parts: list[Any]) -> TensorList:
    """A new list of spans (from, to) of the old one, and of single tensors between them."""
    built = empty_list(sequence.dtype, sequence.rank)
    for part in parts:
        built = _copied(sequence, built, *part) if isinstance(part, tuple) else built.pushed(part)
    return built


def _copied(source: TensorList, target: TensorList, start: Any, stop: Any) -> TensorList:
    def step(i: tf.Tensor, handle: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return i + 1, TensorList(handle, target.dtype, target.rank).pushed(source[i]).handle

    loop = (tf.cast(start, tf.int64), target.handle)
    handle = tf.while_loop(lambda i, _: i < tf.cast(stop, tf.int64), step, loop)[1]
    return TensorList(handle, target.dtype, target.rank)


@lower("SplitToSequence")
def split_to_sequence(c, x, split: Host = None, *, axis, keepdims):
    rank = c.rank()
    axis = from_front(axis, rank)
    length = dim(x, axis)
    whole = split is None and not keepdims
    if split is None:
        split = np.array(1)
    if is_known(split) and (split.ndim == 1 or isinstance(length, int)):
        sizes = _sizes(int(split), length) if split.ndim == 0 else [int(s) for s in split]
        pieces = tf.split(x, sizes, axis) if sizes else []
        return [tf.squeeze(p, [axis]) if whole else p for p in pieces]
    if split.shape.rank is None if tf.is_tensor(split) else False:
        c.refuse("TensorFlow cannot split by an operand of unknown rank")
    return _split_at_run_time(x, split, axis, whole)


def _sizes(chunk: int, length: int) -> list[int]:
    return [min(chunk, length - at) for at in range(0, length, chunk)]


def _split_at_run_time(x: tf.Tensor, split: Any, axis: int, whole: bool) -> TensorList:
    rank = x.shape.rank
    length = tf.cast(tf.shape(x)[axis], tf.int64)
    if len(split.shape) == 0:
        starts = tf.range(0, length, tf.cast(split, tf.int64))
        stops = tf.minimum(starts + tf.cast(split, tf.int64), length)
    else:
        stops = tf.cumsum(tf.cast(split, tf.int64))
        starts = stops - tf.cast(split, tf.int64)

    def piece(i: tf.Tensor) -> tf.Tensor:
        begin = tf.one_hot(axis, rank, on_value=starts[i], off_value=tf.constant(0, tf.int64))
        size = tf.one_hot(axis, rank, on_value=stops[i] - starts[i], off_value=tf.constant(-1, tf.int64))
        cut = tf.slice(x, begin, size)
        return tf.squeeze(cut, [axis]) if whole else cut

    inner = rank - 1 if whole else rank
    empty = empty_list(x.dtype, inner)

    def step(i: tf.Tensor, handle: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return i + 1, TensorList(handle, x.dtype, inner).pushed(piece(i)).handle

    loop = (tf.constant(0), empty.handle)
    return TensorList(tf.while_loop(lambda i, _: i < tf.size(starts), step, loop)[1], x.dtype, inner)


@lower("ConcatFromSequence")
def concat_from_sequence(c, sequence, *, axis, new_axis):
    if isinstance(sequence, list):
        if not sequence:
            c.refuse("the sequence is empty: TensorFlow has nothing to concatenate")
        rank = sequence[0].shape.rank
        if new_axis:
            return tf.stack(sequence, axis=from_front(axis, rank + 1))
        return tf.concat(sequence, axis=from_front(axis, rank))
    return _joined(c, sequence, axis, new_axis)


def _joined(c: Context, sequence: TensorList, axis: int, new_axis: int) -> tf.Tensor:
    """A list of unknown length, put together along an axis: one element after the other."""
    out_rank = output_rank(c)
    if out_rank is None and sequence.rank is not None:
        out_rank = sequence.rank + bool(new_axis)
    if out_rank is None:
        c.refuse("TensorFlow must know the rank of the elements to concatenate them")
    inner = out_rank - bool(new_axis)
    axis = from_front(axis, out_rank)

    def piece(i: Any) -> tf.Tensor:
        item = _ranked(sequence[i], inner)
        return tf.expand_dims(item, axis) if new_axis else item

    def step(i: tf.Tensor, joined: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return i + 1, tf.concat([joined, piece(i)], axis)

    unknown = tf.TensorShape([None for _ in range(out_rank)])
    first = tf.ensure_shape(piece(0), unknown)
    loop = (tf.constant(1, tf.int64), first)
    invariants = (tf.TensorShape([]), unknown)
    return tf.while_loop(lambda i, _: i < sequence.length(), step, loop, shape_invariants=invariants)[1]


@lower("SequenceMap")
def sequence_map(c, sequence, *others, body):
    """The body, once an element; operands that are tensors are the same each time."""
    if isinstance(sequence, list):
        if any(isinstance(o, TensorList) or (isinstance(o, list) and len(o) != len(sequence)) for o in others):
            c.refuse("TensorFlow pairs only sequences whose lengths are known to be equal")
        rows = [
            body(element, *(o[i] if isinstance(o, list) else o for o in others)) for i, element in enumerate(sequence)
        ]
        columns = [[row[k] for row in rows] for k in range(c.outputs)]
        return columns[0] if c.outputs == 1 else tuple(columns)
    dtypes = [element_dtype(v.type) for v in body.graph.outputs]
    empties = [empty_list(d) for d in dtypes]

    def step(i: tf.Tensor, *handles: tf.Tensor) -> tuple[tf.Tensor, ...]:
        made = body(sequence[i], *(o[i] if isinstance(o, TensorList | list) else o for o in others))
        pushed = [TensorList(h, d).pushed(m).handle for h, d, m in zip(handles, dtypes, made, strict=True)]
        return (i + 1, *pushed)

    loop = (tf.constant(0, tf.int64), *(e.handle for e in empties))
    handles = tf.while_loop(lambda i, *_: i < sequence.length(), step, loop)[1:]
    ranks = [None if v.shape is None else v.shape.rank() for v in body.graph.outputs]
    made = tuple(TensorList(h, d, r) for h, d, r in zip(handles, dtypes, ranks, strict=True))
    return made[0] if c.outputs == 1 else made


@lower("Optional", ignore=("type",))
def optional(value=None):
    return value


@lower("OptionalGetElement")
def optional_get_element(c, value):
    if value is None:
        c.refuse("the optional is empty: TensorFlow has no absent tensor")
    return value


@lower("OptionalHasElement")
def optional_has_element(value=None):
    return tf.constant(value is not None)
