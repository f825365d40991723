"""Lists of tensors: TensorList, which TensorArrays are made of."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir
import tensorflow as tf

from isthmus.readers.tensorflow.contract import Host, Reads, Static
from isthmus.readers.tensorflow.dtypes import data_type
from isthmus.readers.tensorflow.ops._counting import INT64, wide
from isthmus.readers.tensorflow.ops._lists import (
    TensorList,
    concatenated,
    count,
    cut,
    gathered,
    item_shape,
    list_of,
    merged,
    placed,
    pushed,
    put,
    resized,
    scattered,
    shape_in,
    shaped,
    sized,
    stacked,
    taken,
)

table = Reads()
read = table.read


def _dtype(c, dtype):
    found = data_type(dtype)
    return found if found is not None else c.refuse(f"its elements are {dtype.name}, for which ONNX has no type")


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
    return TensorList(tensor.dtype, item_shape(c, 0)[1:], value=tensor, declared=_declared(element_shape))


@read("TensorListStack")
def stack(op, c, input_handle, element_shape: Host, *, num_elements: int):
    return stacked(op, c, list_of(c, input_handle), _declared(element_shape))


@read("TensorListLength")
def length(op, c, input_handle):
    return op.Cast(count(op, list_of(c, input_handle)), to=ir.DataType.INT32)


@read("TensorListElementShape")
def element_shape(op, c, input_handle, *, shape_type: tf.DType):
    declared = list_of(c, input_handle).declared
    sizes = np.asarray(-1) if declared is None else np.asarray([-1 if d is None else d for d in declared])
    return op.constant(sizes, data_type(shape_type))


@read("TensorListGetItem")
def get_item(op, c, input_handle, index, element_shape: Host, *, element_dtype: tf.DType):
    return taken(op, c, list_of(c, input_handle), index, _declared(element_shape))


@read("TensorListGather")
def gather(op, c, input_handle, indices, element_shape: Host, *, element_dtype: tf.DType):
    return gathered(op, c, list_of(c, input_handle), indices, _declared(element_shape))


@read("TensorListSetItem")
def set_item(op, c, input_handle, index, item, *, resize_if_index_out_of_bounds: bool):
    held = list_of(c, input_handle)
    return put(op, c, held, index, item, item_shape(c, 2), grows=resize_if_index_out_of_bounds)


@read("TensorListPushBack")
def push_back(op, c, input_handle, tensor):
    return pushed(op, c, list_of(c, input_handle), tensor, item_shape(c, 1))


@read("TensorListPopBack")
def pop_back(op, c, input_handle, element_shape: Host, *, element_dtype: tf.DType):
    held = sized(op, c, list_of(c, input_handle), _declared(element_shape))
    rest = resized(op, held, op.Sub(count(op, held), 1))
    return rest, shaped(op.Gather(held.value, np.asarray(-1), axis=0), held.element or ())


@read("TensorListResize")
def resize(op, c, input_handle, size):
    return resized(op, list_of(c, input_handle), wide(op, size))


@read("TensorListScatter")
def scatter(op, c, tensor, indices, element_shape: Host):
    size = op.Add(op.ReduceMax(op.Cast(indices, to=INT64), keepdims=0), 1)
    return scattered(op, tensor, item_shape(c, 0), indices, size, _declared(element_shape))


@read("TensorListScatterV2")
def scatter_v2(op, c, tensor, indices, element_shape: Host, num_elements: Static):
    if num_elements >= 0:
        size = op.constant(num_elements, INT64)
    else:
        size = op.Add(op.ReduceMax(op.Concat(op.Cast(indices, to=INT64), [-1], axis=0), keepdims=0), 1)
    return scattered(op, tensor, item_shape(c, 0), indices, size, _declared(element_shape))


@read("TensorListScatterIntoExistingList")
def scatter_into(op, c, input_handle, tensor, indices):
    return placed(op, c, list_of(c, input_handle), tensor, item_shape(c, 1), indices)


@read("TensorListConcat")
def concat(op, c, input_handle, *, element_shape, element_dtype: tf.DType):
    return concatenated(op, c, list_of(c, input_handle), element_shape)


@read("TensorListConcatV2")
def concat_v2(op, c, input_handle, element_shape: Host, leading_dims, *, element_dtype: tf.DType):
    return concatenated(op, c, list_of(c, input_handle), _declared(element_shape))


@read("TensorListSplit")
def split(op, c, tensor, element_shape: Host, lengths: Static):
    return cut(op, c, tensor, item_shape(c, 0), lengths, _declared(element_shape))


@read("TensorListConcatLists")
def concat_lists(op, c, input_a, input_b, *, element_dtype: tf.DType):
    first, second = (sized(op, c, list_of(c, held)) for held in (input_a, input_b))
    if first.written is not None or second.written is not None:
        c.refuse("the shape of the elements of its lists is only known once one is written")
    value = op.Concat(first.value, second.value, axis=0)
    return dataclasses.replace(first, value=value, element=merged(first.element, second.element))
