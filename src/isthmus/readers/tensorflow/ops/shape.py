"""Shapes and sizes, and what has a shape that is computed: broadcasts, fills, ranges."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import tensorflow as tf

from isthmus.readers.tensorflow.contract import ComplexOrReal, Host, Reads
from isthmus.readers.tensorflow.dtypes import data_type
from isthmus.readers.tensorflow.ops._sizes import (
    counted,
    filled,
    front,
    int64,
    like,
    positive,
    size,
    tensor_of,
    vector,
    with_pairs,
)
from isthmus.readers.tensorflow.ops._variables import held

table = Reads()
read = table.read


@read("Shape")
def shape(op, c, x: ComplexOrReal, *, out_type: tf.DType):
    return op.Cast(_shape(op, x), to=data_type(out_type))


@read("ShapeN")
def shape_n(op, c, xs: ComplexOrReal, *, out_type: tf.DType):
    return tuple(op.Cast(_shape(op, x), to=data_type(out_type)) for x in xs)


@read("VariableShape")
def variable_shape(op, c, resource, *, out_type: tf.DType):
    return op.Cast(op.Shape(held(c, resource)), to=data_type(out_type))


@read("Size")
def size_of_all(op, c, x: ComplexOrReal, *, out_type: tf.DType):
    elements = op.Size(x) if tensor_of(x) is x else op.ReduceProd(_shape(op, x), keepdims=False)
    return op.Cast(elements, to=data_type(out_type))


@read("Rank")
def rank(op, c, x: ComplexOrReal):
    known = c.shape_or_none()
    return op.Cast(op.Size(op.Shape(x)), to=ir.DataType.INT32) if known is None else op.constant(np.int32(len(known)))


@read("Reshape")
def reshape(op, c, x: ComplexOrReal, shape: Host):
    if _is_itself(c.shape_or_none(), shape):
        return x
    return like(x, op.Reshape(tensor_of(x), with_pairs(op, x, int64(op, shape)), allowzero=1))


@read("ExpandDims")
def expand_dims(op, c, x: ComplexOrReal, axis: Host):
    if isinstance(axis, np.ndarray) and c.shape_or_none() is not None:
        axis = positive(axis, c.rank() + 1)
    elif tensor_of(x) is not x:
        c.refuse("its axis is not known, and its input is complex")
    return like(x, op.Unsqueeze(tensor_of(x), vector(op, axis)))


@read("Squeeze")
def squeeze(op, c, x: ComplexOrReal, *, squeeze_dims: tuple[int, ...]):
    if squeeze_dims:
        axes = [front(c, axis) for axis in squeeze_dims]
    else:
        sizes = c.shape()
        if any(not isinstance(n, int) for n in sizes):
            c.refuse(
                "it removes whichever axes are 1, and some are free: the rank of its result is not known",
                hint="name the axes to be removed, or make the free axes of the input fixed",
            )
        axes = [axis for axis, n in enumerate(sizes) if n == 1]
    return like(x, op.Squeeze(tensor_of(x), axes)) if axes else x


@read("EnsureShape", ignore=("shape",))
def ensure_shape(op, c, x: ComplexOrReal):
    return x if isinstance(tensor_of(x), ir.Value) and c.shape_or_none() is not None else like(x, op.Identity(x))


@read("BroadcastTo")
def broadcast_to(op, c, x: ComplexOrReal, shape: Host):
    value = tensor_of(x)
    if value is not x:
        # The pairs' axis stays last: axes that are missing go in front.
        known = c.output_shape()
        missing = c.refuse("the rank of its result is not known") if known is None else len(known) - c.rank()
        value = op.Unsqueeze(value, list(range(missing))) if missing else value
    return like(x, op.Expand(value, with_pairs(op, x, int64(op, shape))))


@read("BroadcastArgs")
def broadcast_args(op, c, s0, s1):
    first, second = _aligned(op, s0, s1)
    return op.Cast(_broadcast(op, first, second), to=c.output_dtype())


@read("BroadcastGradientArgs")
def broadcast_gradient_args(op, c, s0, s1):
    first, second = _aligned(op, s0, s1)
    # Equal shapes reduce nothing; otherwise an axis of 1 is reduced, even where both have it.
    differ = op.Greater(op.ReduceSum(op.Cast(op.Not(op.Equal(first, second)), to=ir.DataType.INT64)), np.int64(0))
    return tuple(
        op.Cast(op.Squeeze(op.NonZero(op.And(op.Equal(s, np.int64(1)), differ)), [0]), to=c.output_dtype(i))
        for i, s in enumerate((first, second))
    )


@read("Tile")
def tile(op, c, x, multiples: Host):
    return op.Tile(x, int64(op, multiples)) if c.shape_or_none() != () else x


@read("Fill")
def fill(op, dims: Host, value):
    return op.Expand(value, int64(op, dims))


@read("ZerosLike")
def zeros_like(op, c, x: ComplexOrReal):
    return _filled_like(op, c, x, 0)


@read("OnesLike")
def ones_like(op, c, x):
    return _filled_like(op, c, x, 1)


@read("Empty", ignore=("init",))
def empty(op, c, shape: Host, *, dtype: tf.DType):
    return filled(op, _nothing(dtype), c.output_dtype(), int64(op, shape))


@read("Range")
def range_(op, c, start, limit, delta):
    dtype = c.output_dtype()
    if dtype.is_integer() or dtype == ir.DataType.DOUBLE:
        return op.Range(start, limit, delta)
    if dtype == ir.DataType.FLOAT16:
        c.refuse("how many numbers of float16 there are hangs on roundings that ONNX Runtime leaves out")
    # TensorFlow counts in the element type, ONNX Runtime in double: they would not always agree on the last number.
    count = op.Ceil(op.Abs(op.Div(op.Sub(limit, start), delta)))
    numbers = op.Range(np.int64(0), op.Cast(count, to=ir.DataType.INT64), np.int64(1))
    return op.Add(start, op.Mul(op.Cast(numbers, to=dtype), delta))


@read("LinSpace")
def lin_space(op, c, start, stop, num):
    dtype = c.output_dtype()
    count = counted(op, vector(op, num))
    last = op.Sub(int64(op, num), np.int64(1))
    steps = op.Cast(op.Max(last, np.int64(1)), to=dtype)
    spaced = op.Add(start, op.Mul(op.Cast(count, to=dtype), op.Div(op.Sub(stop, start), steps)))
    # The last number is the end itself, whatever rounding says; a single one is the beginning.
    at_end = op.And(op.Equal(count, last), op.Greater(count, np.int64(0)))
    return op.Where(at_end, stop, spaced)


def _shape(op, x):
    """The shape without the axis of a complex tensor's pairs."""
    return op.Shape(x) if tensor_of(x) is x else op.Shape(x.pairs, end=-1)


def _is_itself(sizes, target):
    return isinstance(target, np.ndarray) and sizes is not None and tuple(target.tolist()) == sizes


def _aligned(op, s0, s1):
    """Two shapes of one length: the shorter one with ones in front."""
    first, second = int64(op, s0), int64(op, s1)
    lengths = [size(op, s, 0) for s in (first, second)]
    longest = op.Max(*lengths)
    return [
        op.Concat(filled(op, 1, ir.DataType.INT64, op.Sub(longest, length)), s, axis=0)
        for s, length in zip((first, second), lengths, strict=True)
    ]


def _broadcast(op, first, second):
    return op.Where(op.Equal(first, np.int64(1)), second, first)


def _nothing(dtype):
    return "" if dtype == tf.string else 0


def _filled_like(op, c, x, number):
    number = _nothing(c.dtype()) if number == 0 else number
    value = tensor_of(x)
    if not isinstance(value, ir.Value):
        c.refuse("its input is no tensor of ONNX")
    if value.dtype == ir.DataType.STRING:
        return op.Expand(np.asarray(number, object), op.Shape(value))
    return like(x, filled(op, number, value.dtype, op.Shape(value)))
