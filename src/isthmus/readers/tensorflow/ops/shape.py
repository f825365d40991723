"""Shapes, and operators that only rearrange."""

from __future__ import annotations

import onnx_ir as ir
import tensorflow as tf

from isthmus.readers.tensorflow.contract import Reads, Static
from isthmus.readers.tensorflow.dtypes import data_type

table = Reads()
read = table.read


@read("Shape")
def shape(op, x, *, out_type: tf.DType):
    return op.Cast(op.Shape(x), to=data_type(out_type))


@read("Reshape")
def reshape(op, x, shape):
    return op.Reshape(x, op.Cast(shape, to=ir.DataType.INT64), allowzero=1)


@read("Transpose")
def transpose(op, x, perm: Static):
    return op.Transpose(x, perm=perm)


@read("Pack", ignore=("N",))
def pack(op, c, values, *, axis: int):
    return op.Concat(*(op.Unsqueeze(value, [axis]) for value in values), axis=axis)
