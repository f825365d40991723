"""Arrays of tensors of TensorFlow 1: what one holds is its flow, a list; its handle tells whether it grows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import tensorflow as tf

from isthmus.readers.tensorflow.contract import Reads, Static
from isthmus.readers.tensorflow.dtypes import data_type
from isthmus.readers.tensorflow.functions import origin
from isthmus.readers.tensorflow.handles import ResourceHandle
from isthmus.readers.tensorflow.ops._counting import number, static, wide
from isthmus.readers.tensorflow.ops._lists import (
    TensorList,
    concatenated,
    count,
    cut,
    gathered,
    item_shape,
    list_of,
    placed,
    put,
    stacked,
    taken,
)

table = Reads()
read = table.read


@dataclasses.dataclass(frozen=True)
class _Array:
    """What the handle of an array tells."""

    grows: bool


@read("TensorArrayV3", ignore=("clear_after_read", "identical_element_shapes", "tensor_array_name"))
def array(op, c, size, *, dtype: tf.DType, element_shape, dynamic_size: bool):
    element = data_type(dtype)
    if element is None:
        return c.refuse(f"its elements are {dtype.name}, for which ONNX has no type")
    held = TensorList(element, element_shape, length=wide(op, size), declared=element_shape)
    return ResourceHandle(_Array(dynamic_size)), held


@read("TensorArrayWriteV3")
def write(op, c, handle, index, value, flow_in):
    return put(op, c, list_of(c, flow_in), index, value, item_shape(c, 2), grows=_grows(c, handle))


@read("TensorArrayReadV3")
def read_one(op, c, handle, index, flow_in, *, dtype: tf.DType):
    return taken(op, c, list_of(c, flow_in), index, None)


@read("TensorArrayGatherV3")
def gather(op, c, handle, indices, flow_in, *, dtype: tf.DType, element_shape):
    held = list_of(c, flow_in)
    size = held.length if held.value is None else (held.value.shape or (None,))[0]
    size = number(size) if isinstance(size, ir.Value) else size
    size = size if isinstance(size, int) else _made_size(c.node.inputs[0])
    if _are_all(c.node.inputs[1], size, lambda end: _is_size(end, *c.node.inputs[::2])):
        return stacked(op, c, held, element_shape)
    return gathered(op, c, held, indices, element_shape)


@read("TensorArrayScatterV3")
def scatter(op, c, handle, indices, value, flow_in):
    held, shape = list_of(c, flow_in), item_shape(c, 2)
    if _are_all(c.node.inputs[1], shape[0], lambda end: _is_length_of(end, c.node.inputs[2])):
        return dataclasses.replace(held, element=shape[1:], value=value, length=None, written=None)
    return placed(op, c, held, value, shape, indices)


@read("TensorArrayConcatV3")
def concat(op, c, handle, flow_in, *, dtype: tf.DType, element_shape_except0):
    rest = element_shape_except0
    return concatenated(op, c, list_of(c, flow_in), None if rest is None else (None, *rest))


@read("TensorArraySplitV3")
def split(op, c, handle, value, lengths: Static, flow_in):
    return cut(op, c, value, item_shape(c, 1), lengths, list_of(c, flow_in).declared)


@read("TensorArraySizeV3")
def size(op, c, handle, flow_in):
    return op.Cast(count(op, list_of(c, flow_in)), to=ir.DataType.INT32)


@read("TensorArrayCloseV3")
def close(op, c, handle):
    """What it held is not asked for any more."""


def _grows(c, handle) -> bool:
    if not isinstance(handle, ResourceHandle) or not isinstance(handle.thing, _Array):
        c.refuse("its array is not one that the model makes")
    return handle.thing.grows


def _are_all(indices: tf.Tensor, size: object, is_size: Callable[[tf.Tensor], bool]) -> bool:
    """Whether indices are 0, 1, … up to a size, which is known or told of a tensor."""
    known = static(indices, {})
    if known is not None:
        return size == len(known) and np.array_equal(known, np.arange(len(known)))
    node = origin(indices).op
    if node.type != "Range":
        return False
    start, end, delta = node.inputs
    return [tf.get_static_value(tensor) for tensor in (start, delta)] == [0, 1] and is_size(origin(end))


def _made_size(handle: tf.Tensor) -> int | None:
    """The size that an array was made with, where it is known and the array does not grow."""
    made = origin(handle).op
    if made.type != "TensorArrayV3" or made.get_attr("dynamic_size"):
        return None
    known = static(made.inputs[0], {})
    return None if known is None else int(known)


def _is_size(size: tf.Tensor, handle: tf.Tensor, flow: tf.Tensor) -> bool:
    """Whether a tensor is the size of an array: asked for, or what it was made with where it does not grow."""
    made = origin(handle).op
    if made.type == "TensorArrayV3" and not made.get_attr("dynamic_size") and size is origin(made.inputs[0]):
        return True
    return size.op.type == "TensorArraySizeV3" and origin(size.op.inputs[1]) is origin(flow)


def _is_length_of(length: tf.Tensor, rows: tf.Tensor) -> bool:
    """Whether a tensor is the size of the first axis of ``rows``."""
    node = length.op
    if node.type != "StridedSlice" or node.get_attr("shrink_axis_mask") != 1 or node.inputs[0].op.type != "Shape":
        return False
    begin = tf.get_static_value(node.inputs[1])
    return begin is not None and begin.tolist() == [0] and origin(node.inputs[0].op.inputs[0]) is origin(rows)
