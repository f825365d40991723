"""Lists of tensors: TensorList, which TensorArrays are made of."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir
import tensorflow as tf

from isthmus.readers.tensorflow.contract import Host, Reads, Static
from isthmus.readers.tensorflow.dtypes import data_type
from isthmus.readers.tensorflow.ops._counting import wide
from isthmus.readers.tensorflow.ops._lists import (
    INT64,
    TensorList,
    count,
    fitted,
    is_full,
    merged,
    pushed,
    resized,
    shape_in,
    sized,
    stacked,
    written,
    zeros,
)

table = Reads()
read = table.read


def _list(c, held):
    return held if isinstance(held, TensorList) else c.refuse("its list is not one that the model makes")


def _dtype(c, dtype):
    found = data_type(dtype)
    return found if found is not None else c.refuse(f"its elements are {dtype.name}, for which ONNX has no type")


def _item(c, index):
    """The shape of an input, with None for free axes."""
    shape = c.shape_or_none(index)
    if shape is None:
        c.refuse("the rank of what is written into its list is not known")
    return tuple(d if isinstance(d, int) else None for d in shape)


def _declared(shape) -> tuple[int | None, ...] | None:
    return shape_in(shape) if isinstance(shape, np.ndarray) else None


@read("TensorListReserve")
def reserve(op, c, element_shape: Host, num_elements, *, element_dtype: tf.DType):
    shape = _declared(element_shape)
    return TensorList(_dtype(c, element_dtype), shape, length=wide(op, num_elements), declared=shape)


@read("EmptyTensorList")
def empty(op, c, element_shape: Host, max_num_elements, *, element_dtype: tf.DType):
    shape = _declared(element_shape)
    return TensorList(_dtype(c, element_dtype), shape, length=op.constant(np.asarray(0)), declared=shape)


@read("TensorListFromTensor")
def from_tensor(op, c, tensor, element_shape: Host):
    return TensorList(tensor.dtype, _item(c, 0)[1:], value=tensor, declared=_declared(element_shape))


@read("TensorListStack")
def stack(op, c, input_handle, element_shape: Host, *, num_elements: int):
    return stacked(op, c, _list(c, input_handle), _declared(element_shape))


@read("TensorListLength")
def length(op, c, input_handle):
    return op.Cast(count(op, _list(c, input_handle)), to=ir.DataType.INT32)


@read("TensorListElementShape")
def element_shape(op, c, input_handle, *, shape_type: tf.DType):
    declared = _list(c, input_handle).declared
    sizes = np.asarray(-1) if declared is None else np.asarray([-1 if d is None else d for d in declared])
    return op.constant(sizes, data_type(shape_type))


@read("TensorListGetItem")
def get_item(op, c, input_handle, index, element_shape: Host, *, element_dtype: tf.DType):
    held = sized(op, c, _list(c, input_handle), _declared(element_shape))
    return _shaped(op.Gather(held.value, wide(op, index), axis=0), held.element)


@read("TensorListGather")
def gather(op, c, input_handle, indices, element_shape: Host, *, element_dtype: tf.DType):
    held = sized(op, c, _list(c, input_handle), _declared(element_shape))
    return _shaped(op.Gather(held.value, op.Cast(indices, to=INT64), axis=0), (None, *(held.element or ())))


@read("TensorListSetItem")
def set_item(op, c, input_handle, index, item, *, resize_if_index_out_of_bounds: bool):
    held = fitted(op, c, _list(c, input_handle), op.Shape(item), _item(c, 2))
    if resize_if_index_out_of_bounds:
        held = resized(op, held, op.Max(count(op, held), op.Add(wide(op, index), 1)))
    return written(op, c, held, index, item, _item(c, 2))


@read("TensorListPushBack")
def push_back(op, c, input_handle, tensor):
    return pushed(op, c, _list(c, input_handle), tensor, _item(c, 1))


@read("TensorListPopBack")
def pop_back(op, c, input_handle, element_shape: Host, *, element_dtype: tf.DType):
    held = sized(op, c, _list(c, input_handle), _declared(element_shape))
    rest = resized(op, held, op.Sub(count(op, held), 1))
    return rest, _shaped(op.Gather(held.value, np.asarray(-1), axis=0), held.element)


@read("TensorListResize")
def resize(op, c, input_handle, size):
    return resized(op, _list(c, input_handle), wide(op, size))


@read("TensorListScatter")
def scatter(op, c, tensor, indices, element_shape: Host):
    return _scattered(
        op, c, tensor, indices, op.Add(op.ReduceMax(op.Cast(indices, to=INT64), keepdims=0), 1), element_shape
    )


@read("TensorListScatterV2")
def scatter_v2(op, c, tensor, indices, element_shape: Host, num_elements: Static):
    if num_elements >= 0:
        return _scattered(op, c, tensor, indices, op.constant(num_elements, INT64), element_shape)
    size = op.Add(op.ReduceMax(op.Concat(op.Cast(indices, to=INT64), [-1], axis=0), keepdims=0), 1)
    return _scattered(op, c, tensor, indices, size, element_shape)


def _scattered(op, c, tensor, indices, size, element_shape):
    shape = op.Concat(op.Unsqueeze(size, [0]), op.Shape(tensor, start=1), axis=0)
    value = op.ScatterND(zeros(op, tensor.dtype, shape), op.Unsqueeze(op.Cast(indices, to=INT64), [1]), tensor)
    return TensorList(tensor.dtype, _item(c, 0)[1:], value=value, declared=_declared(element_shape))


@read("TensorListScatterIntoExistingList")
def scatter_into(op, c, input_handle, tensor, indices):
    held = _list(c, input_handle)
    element = _item(c, 1)[1:]
    if held.value is None and is_full(merged(held.element, element)):
        held = sized(op, c, held, element)
    if held.value is None or held.written is not None:
        c.refuse("the shape of the elements of its list is not known before they are written")
    most = op.Add(op.ReduceMax(op.Concat(op.Cast(indices, to=INT64), [-1], axis=0), keepdims=0), 1)
    held = resized(op, held, op.Max(count(op, held), most))
    value = op.ScatterND(held.value, op.Unsqueeze(op.Cast(indices, to=INT64), [1]), tensor)
    return dataclasses.replace(held, value=value)


@read("TensorListConcat")
def concat(op, c, input_handle, *, element_shape, element_dtype: tf.DType):
    return _concatenated(op, c, _list(c, input_handle), element_shape)


@read("TensorListConcatV2")
def concat_v2(op, c, input_handle, element_shape: Host, leading_dims, *, element_dtype: tf.DType):
    return _concatenated(op, c, _list(c, input_handle), _declared(element_shape))


def _concatenated(op, c, held, element):
    """All elements along their own first axis, and how long each is: as long as the others, in one tensor."""
    value = stacked(op, c, held, element)
    rank = next((len(shape) for shape in (held.element, element) if shape is not None), None)
    if not rank:
        c.refuse("the rank of the elements of its list is not known")
    number, each = (op.Shape(value, start=axis, end=axis + 1) for axis in (0, 1))
    flat = op.Reshape(value, op.Concat(op.Mul(number, each), op.Shape(value, start=2), axis=0), allowzero=1)
    return flat, op.Expand(each, number)


@read("TensorListSplit")
def split(op, c, tensor, element_shape: Host, lengths: Static):
    if len(set(lengths.tolist())) > 1:
        c.refuse("it makes a list of tensors of different sizes, and a list is one tensor")
    each = int(lengths[0]) if len(lengths) else 0
    shape = op.Concat([len(lengths), each], op.Shape(tensor, start=1), axis=0)
    value = op.Reshape(tensor, shape, allowzero=1)
    element = (each, *_item(c, 0)[1:])
    return TensorList(tensor.dtype, element, value=value, declared=_declared(element_shape))


@read("TensorListConcatLists")
def concat_lists(op, c, input_a, input_b, *, element_dtype: tf.DType):
    first, second = (sized(op, c, _list(c, held)) for held in (input_a, input_b))
    if first.written is not None or second.written is not None:
        c.refuse("the shape of the elements of its lists is only known once one is written")
    value = op.Concat(first.value, second.value, axis=0)
    return dataclasses.replace(first, value=value, element=merged(first.element, second.element))


def _shaped(value: ir.Value, shape) -> ir.Value:
    value.shape = ir.Shape(shape)
    return value
