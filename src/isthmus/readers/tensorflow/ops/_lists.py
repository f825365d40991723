"""Lists of tensors as one tensor: the elements stand along its first axis."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from isthmus.readers.tensorflow.graph import Context
from isthmus.readers.tensorflow.ops._counting import INT64, wide

Element = tuple[int | None, ...] | None
"""The shape of an element, as far as it is known; None where even the rank is not."""


@dataclass(frozen=True)
class TensorList:
    """A list of tensors.

    ``value`` holds the elements; it is None as long as none was written: then ``length`` elements are all zero.
    An axis of an element that is only known where the model runs has size 0 until the first element is written;
    ``written`` then tells whether one was. TensorFlow has no list of zeros of a shape that nobody knows.
    """

    dtype: ir.DataType
    element: Element
    length: ir.Value | None = None
    value: ir.Value | None = None
    written: ir.Value | None = None
    declared: Element = None
    """The shape that the source declared, which it can ask for."""


def shape_in(known: np.ndarray | None) -> Element:
    """A shape operand: -1 is a free axis, a scalar -1 a shape of which nothing is known."""
    if known is None or known.ndim == 0:
        return None
    return tuple(int(d) if d >= 0 else None for d in known)


def merged(first: Element, second: Element) -> Element:
    """What two partial shapes of the same thing tell together."""
    if first is None or second is None or len(first) != len(second):
        return second if first is None else first
    return tuple(b if a is None else a for a, b in zip(first, second, strict=True))


def is_full(element: Element) -> bool:
    return element is not None and None not in element


def count(op: Any, held: TensorList) -> ir.Value:
    """How many elements there are: int64, of shape ()."""
    if held.value is None:
        assert held.length is not None
        return held.length
    return op.Squeeze(op.Shape(held.value, start=0, end=1), [0])


def sized(op: Any, c: Context, held: TensorList, element: Element = None) -> TensorList:
    """The list with its elements, zeros where nothing was written. Refuses where their rank is not known."""
    if held.value is not None:
        return held
    element = merged(held.element, element)
    if element is None:
        c.refuse("the rank of the elements of its list is not known before one is written")
    sizes = np.asarray([d if d is not None else 0 for d in element], np.int64)
    value = zeros(op, held.dtype, op.Concat(op.Unsqueeze(count(op, held), [0]), sizes, axis=0))
    value.shape = ir.Shape([None, *element])
    written = None if is_full(element) else op.constant(np.asarray(False))
    return dataclasses.replace(held, element=element, value=value, length=None, written=written)


def zeros(op: Any, dtype: ir.DataType, shape: ir.Value) -> ir.Value:
    """A tensor of zeros; of false, or of empty strings."""
    if dtype == ir.DataType.STRING:
        return op.Expand(op.constant(np.asarray("", object)), shape)
    if dtype == ir.DataType.BFLOAT16:
        return op.Cast(op.ConstantOfShape(shape), to=dtype)
    return op.ConstantOfShape(shape, value=ir.tensor(np.zeros(1, dtype.numpy())))


def fitted(op: Any, c: Context, held: TensorList, size: ir.Value, element: Element) -> TensorList:
    """The list with elements of the shape ``size``, as one of which is about to be written."""
    if held.value is None and (known := merged(held.element, element)) is not None and not is_full(known):
        value = zeros(op, held.dtype, op.Concat(op.Unsqueeze(count(op, held), [0]), size, axis=0))
        return dataclasses.replace(held, element=known, value=shaped(value, (None, *known)), length=None)
    held = sized(op, c, held, element)
    assert held.value is not None
    if held.written is None:
        return held
    own = op.Shape(held.value, start=1)
    missing = op.Where(held.written, op.Sub(own, own), op.Sub(size, own))
    before = np.zeros(1 + len(held.element or ()) + 1, np.int64)
    value = padded(op, held.value, op.Concat(before, missing, axis=0), held.dtype)
    value.shape = ir.Shape([None, *(held.element or ())])
    return dataclasses.replace(held, value=value, written=op.constant(np.asarray(True)))


def padded(op: Any, value: ir.Value, pads: ir.Value, dtype: ir.DataType) -> ir.Value:
    """Zeros added, or elements cut off where ``pads`` are negative."""
    empty = "" if dtype == ir.DataType.STRING else None
    if empty is not None:
        return op.Pad(value, pads, op.constant(np.asarray(empty, object)), mode="constant")
    return op.Pad(value, pads, mode="constant")


def resized(op: Any, held: TensorList, size: ir.Value) -> TensorList:
    """The list with ``size`` elements: the last ones are cut off, or zeros added."""
    if held.value is None:
        return dataclasses.replace(held, length=size)
    rank = 1 + len(held.element or ())
    more = op.Unsqueeze(op.Sub(size, count(op, held)), [0])
    rest = np.zeros(rank - 1, np.int64)
    pads = op.Concat(np.zeros(rank, np.int64), more, rest, axis=0) if rank > 1 else op.Concat([0], more, axis=0)
    value = padded(op, held.value, pads, held.dtype)
    value.shape = ir.Shape([None, *(held.element or ())])
    return dataclasses.replace(held, value=value)


def written(op: Any, c: Context, held: TensorList, index: Any, item: ir.Value, element: Element) -> TensorList:
    """The list after ``item`` was written at ``index``."""
    held = fitted(op, c, held, op.Shape(item), element)
    at = op.Reshape(op.Cast(index, to=INT64), [1, 1])
    value = op.ScatterND(held.value, at, op.Unsqueeze(item, [0]))
    value.shape = ir.Shape([None, *(held.element or ())])
    return dataclasses.replace(held, value=value)


def pushed(op: Any, c: Context, held: TensorList, item: ir.Value, element: Element) -> TensorList:
    """The list with one element more."""
    held = fitted(op, c, held, op.Shape(item), element)
    value = op.Concat(held.value, op.Unsqueeze(item, [0]), axis=0)
    value.shape = ir.Shape([None, *(held.element or ())])
    return dataclasses.replace(held, value=value)


def stacked(op: Any, c: Context, held: TensorList, element: Element) -> ir.Value:
    """All elements, along a new first axis."""
    if held.value is None and not is_full(merged(held.element, element)):
        c.refuse("nothing is written into its list, whose elements have no known shape")
    found = sized(op, c, held, element).value
    assert found is not None
    return found


# ---------------------------------------------------------------------------- what operators do with lists


def list_of(c: Context, held: Any) -> TensorList:
    """A list as it is known here. Refuses what is none."""
    return held if isinstance(held, TensorList) else c.refuse("its list is not one that the model makes")


def item_shape(c: Context, index: int) -> tuple[int | None, ...]:
    """The shape of an input that is written. Refuses where its rank is not known."""
    shape = c.shape_or_none(index)
    if shape is None:
        c.refuse("the rank of what is written into its list is not known")
    return tuple(d if isinstance(d, int) else None for d in shape)


def taken(op: Any, c: Context, held: TensorList, index: Any, element: Element) -> ir.Value:
    """One element."""
    held = sized(op, c, held, element)
    return shaped(op.Gather(held.value, wide(op, index), axis=0), held.element or ())


def gathered(op: Any, c: Context, held: TensorList, indices: Any, element: Element) -> ir.Value:
    """Some elements, along a new first axis."""
    held = sized(op, c, held, element)
    return shaped(op.Gather(held.value, op.Cast(indices, to=INT64), axis=0), (None, *(held.element or ())))


def put(
    op: Any, c: Context, held: TensorList, index: Any, item: ir.Value, element: Element, *, grows: bool
) -> TensorList:
    """The list after ``item`` was written at ``index``, which may be behind its end where it ``grows``."""
    held = fitted(op, c, held, op.Shape(item), element)
    if grows:
        held = resized(op, held, op.Max(count(op, held), op.Add(wide(op, index), 1)))
    return written(op, c, held, index, item, element)


def scattered(
    op: Any, rows: ir.Value, shape: Sequence[int | None], indices: Any, size: ir.Value, declared: Element
) -> TensorList:
    """A list of ``size`` elements, zeros where none of ``rows``, of this ``shape``, was placed."""
    sizes = op.Concat(op.Unsqueeze(size, [0]), op.Shape(rows, start=1), axis=0)
    assert rows.dtype is not None
    value = op.ScatterND(zeros(op, rows.dtype, sizes), op.Unsqueeze(op.Cast(indices, to=INT64), [1]), rows)
    return TensorList(rows.dtype, tuple(shape[1:]), value=value, declared=declared)


def placed(
    op: Any, c: Context, held: TensorList, rows: ir.Value, shape: Sequence[int | None], indices: Any
) -> TensorList:
    """The list after ``rows``, of this ``shape``, were written at ``indices``; longer where one is behind its end."""
    element = tuple(shape[1:])
    if held.value is None and is_full(merged(held.element, element)):
        held = sized(op, c, held, element)
    if held.value is None or held.written is not None:
        c.refuse("the shape of the elements of its list is not known before they are written")
    places = op.Cast(indices, to=INT64)
    most = op.Add(op.ReduceMax(op.Concat(places, [-1], axis=0), keepdims=0), 1)
    held = resized(op, held, op.Max(count(op, held), most))
    return dataclasses.replace(held, value=op.ScatterND(held.value, op.Unsqueeze(places, [1]), rows))


def concatenated(op: Any, c: Context, held: TensorList, element: Element) -> tuple[ir.Value, ir.Value]:
    """All elements along their own first axis, and how long each is: as long as the others, in one tensor."""
    value = stacked(op, c, held, element)
    rank = next((len(shape) for shape in (held.element, element) if shape is not None), None)
    if not rank:
        c.refuse("the rank of the elements of its list is not known")
    number, each = (op.Shape(value, start=axis, end=axis + 1) for axis in (0, 1))
    flat = op.Reshape(value, op.Concat(op.Mul(number, each), op.Shape(value, start=2), axis=0), allowzero=1)
    return flat, op.Expand(each, number)


def cut(
    op: Any, c: Context, whole: ir.Value, shape: Sequence[int | None], lengths: np.ndarray, declared: Element
) -> TensorList:
    """``whole``, of this ``shape``, in parts of equal length along its first axis."""
    if len(set(lengths.tolist())) > 1:
        c.refuse("it makes a list of tensors of different sizes, and a list is one tensor")
    each = int(lengths[0]) if len(lengths) else 0
    sizes = op.Concat([len(lengths), each], op.Shape(whole, start=1), axis=0)
    assert whole.dtype is not None
    value = op.Reshape(whole, sizes, allowzero=1)
    return TensorList(whole.dtype, (each, *shape[1:]), value=value, declared=declared)


def shaped(value: ir.Value, shape: Sequence[int | None]) -> ir.Value:
    value.shape = ir.Shape(shape)
    return value


# ------------------------------------------------------------------------------- through loops and branches


def parts(held: TensorList) -> list[ir.Value]:
    """The tensors of a list that has its elements."""
    assert held.value is not None
    return [held.value] if held.written is None else [held.value, held.written]


def rebuilt(held: TensorList, values: Sequence[ir.Value]) -> TensorList:
    """A list like ``held`` of other tensors."""
    value, *rest = values
    value.type = ir.TensorType(held.dtype)
    value.shape = ir.Shape([None, *(held.element or ())])
    return dataclasses.replace(held, value=value, written=rest[0] if rest else None)
