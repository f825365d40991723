"""Reductions over axes, and running sums along one."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import tensorflow as tf

from isthmus.readers.tensorflow.contract import ComplexOrReal, Host, Reads, Static
from isthmus.readers.tensorflow.dtypes import data_type
from isthmus.readers.tensorflow.handles import Complex
from isthmus.readers.tensorflow.ops._sizes import counted, size

table = Reads()
read = table.read

_INT64 = ir.DataType.INT64
_WORD = 1 << 32
_REDUCED = {_INT64, ir.DataType.UINT64, ir.DataType.UINT32}
"""The integers that sums keep: the smaller ones go through int64, and wrap on the way back."""


def _axes(axes):
    """The axes as a list, or None where they are computed; no axes are none, whatever computes them."""
    if isinstance(axes, ir.Value):
        return [] if axes.shape is not None and 0 in axes.shape else None
    return [int(axis) for axis in np.asarray(axes).reshape(-1)]


def _reduced(op, kind, x, axes, keep_dims):
    """ONNX's reduction; over no axes it is the identity, element by element."""
    listed = _axes(axes)
    where = op.Reshape(op.Cast(axes, to=_INT64), [-1]) if listed is None else listed
    if listed == []:
        return op.Identity(x)
    if listed is not None and x.shape is not None:  # of empty tensors ONNX Runtime forgets axes counted from behind
        where = [axis % len(x.shape) for axis in listed]
    return getattr(op, kind)(x, where, keepdims=int(keep_dims), noop_with_empty_axes=1)


def _through(op, kind, x, axes, keep_dims, wide):
    return op.Cast(_reduced(op, kind, op.Cast(x, to=wide), axes, keep_dims), to=x.dtype)


def _pairs(op, c, kind, x, axes, keep_dims):
    """Axes of a complex tensor are counted from the front, for its pairs have one more at the end."""
    listed = _axes(axes)
    if listed is None:
        c.refuse("axes that are computed from data, of a complex tensor")
    rank = c.rank(0)
    return Complex(_reduced(op, kind, x.pairs, np.asarray([axis % rank for axis in listed]), keep_dims))


@read("Sum")
def total(op, c, x: ComplexOrReal, axes: Host, *, keep_dims):
    if isinstance(x, Complex):
        return _pairs(op, c, "ReduceSum", x, axes, keep_dims)
    if not c.dtype().is_integer:
        return _reduced(op, "ReduceSum", x, axes, keep_dims)
    return _sum_of_whole(op, x, axes, keep_dims)


def _sum_of_whole(op, x, axes, keep_dims):
    """Sums that wrap. ONNX Runtime sums int64 in float64, so halves of 32 bits are summed, where more are used."""
    wide = x if x.dtype == _INT64 else op.Cast(x, to=_INT64)
    if x.dtype.itemsize < 8 or _is_narrow(x):
        found = _reduced(op, "ReduceSum", wide, axes, keep_dims)
    else:
        low = op.Mod(wide, _WORD)
        high = op.Div(op.Sub(wide, low), _WORD)
        low, high = (_reduced(op, "ReduceSum", half, axes, keep_dims) for half in (low, high))
        found = op.Add(op.Mul(high, _WORD), low)
    return found if found.dtype == x.dtype else op.Cast(found, to=x.dtype)


def _is_narrow(x):
    """Whether integers of 64 bits were cast from a type that is narrower."""
    node = x.producer()
    if node is None or node.op_type != "Cast":
        return False
    dtype = node.inputs[0].dtype
    return dtype == ir.DataType.BOOL or (dtype.is_integer() and dtype.itemsize < 8)


@read("Mean")
def mean(op, c, x: ComplexOrReal, axes: Host, *, keep_dims):
    if isinstance(x, Complex):
        return _pairs(op, c, "ReduceMean", x, axes, keep_dims)
    if not c.dtype().is_integer:
        return _reduced(op, "ReduceMean", x, axes, keep_dims)
    if _axes(axes) == []:
        return op.Identity(x)
    wide = x if x.dtype in (_INT64, ir.DataType.UINT64) else op.Cast(x, to=_INT64)
    sums = _sum_of_whole(op, wide, axes, keep_dims)
    ones = op.Expand(op.constant(1, _INT64), op.Shape(x))
    count = _reduced(op, "ReduceSum", ones, axes, keep_dims)
    found = op.Div(sums, count if wide.dtype == _INT64 else op.Cast(count, to=wide.dtype))
    return found if wide is x else op.Cast(found, to=x.dtype)


@read("Prod")
def product(op, c, x, axes: Host, *, keep_dims):
    if c.dtype().is_integer and x.dtype not in (*_REDUCED, ir.DataType.INT32):
        return _through(op, "ReduceProd", x, axes, keep_dims, _INT64)
    return _reduced(op, "ReduceProd", x, axes, keep_dims)


@read("Max")
def largest(op, c, x, axes: Host, *, keep_dims):
    return _extreme(op, "ReduceMax", x, axes, keep_dims)


@read("Min")
def smallest(op, c, x, axes: Host, *, keep_dims):
    return _extreme(op, "ReduceMin", x, axes, keep_dims)


def _extreme(op, kind, x, axes, keep_dims):
    if x.dtype in (ir.DataType.INT16, ir.DataType.UINT16):
        limits = np.iinfo(x.dtype.numpy())
        wide = _reduced(op, kind, op.Cast(x, to=ir.DataType.INT32), axes, keep_dims)
        return op.Cast(op.Clip(wide, int(limits.min), int(limits.max)), to=x.dtype)  # of nothing it is beyond
    return _reduced(op, kind, x, axes, keep_dims)


@read("All")
def every(op, x, axes: Host, *, keep_dims):
    return op.Equal(_count(op, op.Not(x), axes, keep_dims), 0)


@read("Any")
def some(op, x, axes: Host, *, keep_dims):
    return op.Greater(_count(op, x, axes, keep_dims), 0)


def _count(op, x, axes, keep_dims):
    """How many are true: right for none as well, where a largest or smallest one does not exist."""
    return _reduced(op, "ReduceSum", op.Cast(x, to=ir.DataType.INT32), axes, keep_dims)


@read("EuclideanNorm")
def euclidean_norm(op, c, x, axes: Host, *, keep_dims):
    if _axes(axes) == []:
        return op.Abs(x)
    if not c.dtype().is_integer:
        return _reduced(op, "ReduceL2", x, axes, keep_dims)
    wide = op.Cast(x, to=_INT64)
    squares = op.Cast(_sum_of_whole(op, op.Mul(wide, wide), axes, keep_dims), to=x.dtype)  # they wrap
    return op.Cast(op.Sqrt(op.Cast(squares, to=ir.DataType.DOUBLE)), to=x.dtype)


@read("ArgMax")
def arg_max(op, x, dimension: Static, *, output_type: tf.DType):
    return _arg(op, "ArgMax", x, dimension, output_type)


@read("ArgMin")
def arg_min(op, x, dimension: Static, *, output_type: tf.DType):
    return _arg(op, "ArgMin", x, dimension, output_type)


def _arg(op, kind, x, dimension, output_type):
    x = op.Cast(x, to=ir.DataType.UINT8) if x.dtype == ir.DataType.BOOL else x
    found = getattr(op, kind)(x, axis=int(dimension), keepdims=0)
    to = data_type(output_type)
    return found if to == _INT64 else op.Cast(found, to=to)


# ---- along one axis ---------------------------------------------------------------------------------
_RUNNING = {*_REDUCED, ir.DataType.INT32, *(ir.DataType[n] for n in ("FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16"))}


@read("Cumsum")
def running_sum(op, c, x: ComplexOrReal, axis: Host, *, exclusive, reverse):
    if isinstance(x, Complex):
        if isinstance(axis, ir.Value):
            c.refuse("an axis that is computed from data, of a complex tensor")
        return Complex(_running(op, "CumSum", x.pairs, np.asarray(int(axis) % c.rank(0)), exclusive, reverse))
    return _running(op, "CumSum", x, axis, exclusive, reverse)


@read("Cumprod")
def running_product(op, x, axis: Host, *, exclusive, reverse):
    return _running(op, "CumProd", x, axis, exclusive, reverse)


def _running(op, kind, x, axis, exclusive, reverse):
    axis = op.Cast(axis, to=_INT64) if isinstance(axis, ir.Value) else np.asarray(axis, np.int64).reshape(())
    given = x if x.dtype in _RUNNING else op.Cast(x, to=_INT64)
    found = getattr(op, kind)(given, axis, exclusive=int(exclusive), reverse=int(reverse))
    return found if given is x else op.Cast(found, to=x.dtype)


@read("CumulativeLogsumexp")
def running_log_sum_exp(op, c, x, axis: Static, *, exclusive, reverse):
    """Each sum by itself, among those elements that it takes: so that none loses what another is too large for."""
    rank = c.rank(0)
    last = [a for a in range(rank) if a != int(axis) % rank] + [int(axis) % rank]
    back = [last.index(a) for a in range(rank)]
    turned = op.Transpose(x, perm=last)
    places = counted(op, size(op, turned, rank - 1))
    own, other = op.Unsqueeze(places, [1]), op.Unsqueeze(places, [0])
    own, other = (other, own) if reverse else (own, other)
    taken = op.Less(other, own) if exclusive else op.LessOrEqual(other, own)
    lowest = op.constant(-np.inf, x.dtype)
    among = op.Where(taken, op.Unsqueeze(turned, [-2]), lowest)
    top = op.ReduceMax(among, [rank], keepdims=1)
    top = op.Where(op.Equal(top, lowest), op.constant(0, x.dtype), top)
    sums = op.Add(op.Log(op.ReduceSum(op.Exp(op.Sub(among, top)), [rank], keepdims=1)), top)
    return op.Transpose(op.Squeeze(sums, [-1]), perm=back)
