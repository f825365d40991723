"""Comparisons, choices, bits and types."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import tensorflow as tf

from isthmus.readers.tensorflow.contract import ComplexOrReal, Reads
from isthmus.readers.tensorflow.dtypes import COMPLEX, data_type
from isthmus.readers.tensorflow.handles import Complex
from isthmus.readers.tensorflow.ops import _complex as cx

table = Reads()
read = table.read

table.alias(
    Less="Less",
    LessEqual="LessOrEqual",
    Greater="Greater",
    GreaterEqual="GreaterOrEqual",
    LogicalAnd="And",
    LogicalOr="Or",
    LogicalNot="Not",
    BitwiseAnd="BitwiseAnd",
    BitwiseOr="BitwiseOr",
    BitwiseXor="BitwiseXor",
    Invert="BitwiseNot",
)

_UNSIGNED = {
    ir.DataType.INT8: ir.DataType.UINT8,
    ir.DataType.INT16: ir.DataType.UINT16,
    ir.DataType.INT32: ir.DataType.UINT32,
    ir.DataType.INT64: ir.DataType.UINT64,
}


# ---- comparisons ------------------------------------------------------------------------------------
@read("Equal")
def equal(op, c, x: ComplexOrReal, y: ComplexOrReal, *, incompatible_shape_error):
    return _equal(op, c, x, y, incompatible_shape_error, of_incompatible=False)


@read("NotEqual")
def not_equal(op, c, x: ComplexOrReal, y: ComplexOrReal, *, incompatible_shape_error):
    found = _equal(op, c, x, y, incompatible_shape_error, of_incompatible=None)
    return op.constant(np.asarray(True)) if found is None else op.Not(found)


def _equal(op, c, x, y, error, of_incompatible):
    """Shapes that cannot be broadcast are an answer, where they are not an error."""
    if not error and _cannot_be_broadcast(c.shape_or_none(0), c.shape_or_none(1)):
        return None if of_incompatible is None else op.constant(np.asarray(of_incompatible))
    if not isinstance(x, Complex):
        return op.Equal(x, y)
    a, b = op.Split(op.Equal(x.pairs, y.pairs), axis=-1, num_outputs=2, outputs=2)
    return op.Squeeze(op.And(a, b), [-1])


def _cannot_be_broadcast(first, second):
    if first is None or second is None:
        return False
    pairs = zip(reversed(first), reversed(second), strict=False)
    return any(isinstance(m, int) and isinstance(n, int) and m != n and 1 not in (m, n) for m, n in pairs)


@read("ApproximateEqual")
def approximate_equal(op, x, y, *, tolerance):
    return op.Less(op.Abs(op.Sub(x, y)), np.asarray(tolerance, x.dtype.numpy()))


# ---- choices ----------------------------------------------------------------------------------------
@read("Select")
def select(op, c, condition, x: ComplexOrReal, y: ComplexOrReal):
    """A vector chooses among whole rows."""
    rank = c.rank(1)
    if c.rank(0) == 1 and rank > 1:
        condition = op.Unsqueeze(condition, list(range(1, rank)))
    return _where(op, condition, x, y)


@read("SelectV2")
def select_broadcast(op, condition, x: ComplexOrReal, y: ComplexOrReal):
    return _where(op, condition, x, y)


def _where(op, condition, x, y):
    if isinstance(x, Complex):
        return Complex(op.Where(op.Unsqueeze(condition, [-1]), x.pairs, y.pairs))
    return op.Where(condition, x, y)


@read("ClipByValue")
def clip(op, c, x, low, high):
    known = c.known(1), c.known(2)
    if all(limit is not None and limit.ndim == 0 for limit in known) and known[0] <= known[1]:
        return op.Clip(x, low, high)
    return op.Max(op.Min(x, high), low)


@read("Bucketize")
def bucketize(op, c, x, *, boundaries):
    # Boundaries are float32; what is no float64 is compared as float32. NaN lies behind all of them.
    x = x if c.dtype() == tf.float64 else op.Cast(x, to=ir.DataType.FLOAT)
    limits = np.asarray(boundaries, np.float32).astype(x.dtype.numpy())
    if not limits.size:
        return op.Expand(op.constant(0, ir.DataType.INT32), op.Shape(x))
    passed = op.Not(op.Less(op.Unsqueeze(x, [-1]), limits))
    return op.ReduceSum(op.Cast(passed, to=ir.DataType.INT32), [-1], keepdims=0)


# ---- bits -------------------------------------------------------------------------------------------
@read("LeftShift")
def left_shift(op, x, y):
    unsigned = _UNSIGNED.get(x.dtype, x.dtype)
    shifted = op.BitShift(_cast(op, x, unsigned), _steps(op, y, unsigned), direction="LEFT")
    return _cast(op, shifted, x.dtype)


@read("RightShift")
def right_shift(op, x, y):
    """Bits of negative numbers are shifted as those of their complement, so that the sign fills up."""
    unsigned = _UNSIGNED.get(x.dtype, x.dtype)
    steps = _steps(op, y, unsigned)
    if x.dtype == unsigned:
        return op.BitShift(x, steps, direction="RIGHT")
    below = op.Less(x, 0)
    bits = _cast(op, op.Where(below, op.BitwiseNot(x), x), unsigned)
    shifted = _cast(op, op.BitShift(bits, steps, direction="RIGHT"), x.dtype)
    return op.Where(below, op.BitwiseNot(shifted), shifted)


def _steps(op, y, unsigned):
    """TensorFlow shifts by 0 at least, and by all bits but one at most."""
    return _cast(op, op.Min(op.Max(y, 0), unsigned.itemsize * 8 - 1), unsigned)


def _cast(op, x, dtype):
    return x if x.dtype == dtype else op.Cast(x, to=dtype)


@read("PopulationCount")
def population_count(op, x):
    """Sums of neighbouring bits, then of neighbouring pairs of bits, and so on."""
    bits = _cast(op, _cast(op, x, _UNSIGNED.get(x.dtype, x.dtype)), ir.DataType.UINT64)
    for width, mask in ((1, 0x55), (2, 0x33), (4, 0x0F)):
        mask = np.uint64(int.from_bytes(bytes([mask]) * 8))
        moved = op.BitShift(bits, np.uint64(width), direction="RIGHT")
        bits = op.Add(op.BitwiseAnd(bits, mask), op.BitwiseAnd(moved, mask))
    for width in (8, 16, 32):
        bits = op.Add(bits, op.BitShift(bits, np.uint64(width), direction="RIGHT"))
    return op.Cast(op.BitwiseAnd(bits, np.uint64(0x7F)), to=ir.DataType.UINT8)


# ---- types ------------------------------------------------------------------------------------------
@read("Cast")
def cast(op, c, x: ComplexOrReal, *, DstT: tf.DType, Truncate):
    if Truncate and DstT in (tf.float16, tf.bfloat16):
        c.refuse(f"a cast to {DstT.name} that cuts off instead of rounding")
    if DstT in COMPLEX:
        part = COMPLEX[DstT]
        return Complex(op.Cast(x.pairs, to=part)) if isinstance(x, Complex) else cx.of_real(op, op.Cast(x, to=part))
    if isinstance(x, Complex):
        x = cx.real(op, x)
    return op.Cast(x, to=data_type(DstT))


@read("Bitcast")
def bitcast(op, c, x, *, type: tf.DType):
    to = data_type(type)
    if to is None or tf.bool in (c.dtype(), type):
        c.refuse(f"bits of {c.dtype().name} as {type.name}")
    size, wanted = c.dtype().size, type.size
    if size == wanted:
        return op.BitCast(x, to=to)
    return _taken_apart(op, x, to) if size > wanted else _put_together(op, c, x, to)


@read("NextAfter")
def next_after(op, x, y):
    """The floating-point number that follows ``x`` on the way to ``y``: its bits, counted one up or down."""
    own = x.dtype.numpy()
    bits = op.BitCast(x, to=ir.DataType.INT32 if x.dtype == ir.DataType.FLOAT else ir.DataType.INT64)
    grows = op.Equal(op.Less(x, y), op.Greater(x, 0.0))
    moved = op.BitCast(op.Where(grows, op.Add(bits, 1), op.Sub(bits, 1)), to=x.dtype)
    least = np.nextafter(own.type(0), own.type(1))
    moved = op.Where(op.Equal(x, 0.0), op.Where(op.Greater(y, 0.0), least, -least), moved)
    found = op.Where(op.Equal(x, y), y, moved)
    return op.Where(op.Or(op.IsNaN(x), op.IsNaN(y)), own.type(np.nan), found)


def _bits(size):
    return {1: ir.DataType.UINT8, 2: ir.DataType.UINT16, 4: ir.DataType.UINT32, 8: ir.DataType.UINT64}[int(size)]


def _as_bits(op, x):
    bits = _bits(x.dtype.itemsize)
    return x if x.dtype == bits else op.BitCast(x, to=bits)


def _taken_apart(op, x, to):
    """One axis more, of the parts of each element, the lowest bits first."""
    bits = op.Cast(op.Unsqueeze(_as_bits(op, x), [-1]), to=ir.DataType.UINT64)
    width = int(to.itemsize) * 8
    steps = np.arange(0, int(x.dtype.itemsize) * 8, width, dtype=np.uint64)
    parts = op.BitwiseAnd(op.BitShift(bits, steps, direction="RIGHT"), np.uint64(2**width - 1))
    parts = op.Cast(parts, to=_bits(to.itemsize))
    return parts if parts.dtype == to else op.BitCast(parts, to=to)


def _put_together(op, c, x, to):
    """The last axis becomes one element; its first part has the lowest bits."""
    width, count = int(x.dtype.itemsize) * 8, int(to.itemsize) // int(x.dtype.itemsize)
    bits = op.Cast(_as_bits(op, x), to=ir.DataType.UINT64)
    moved = op.BitShift(bits, np.arange(0, width * count, width, dtype=np.uint64), direction="LEFT")
    first, *rest = op.Split(moved, axis=-1, num_outputs=count, outputs=count)
    for part in rest:
        first = op.BitwiseOr(first, part)
    whole = op.Cast(op.Squeeze(first, [-1]), to=_bits(to.itemsize))
    return whole if whole.dtype == to else op.BitCast(whole, to=to)
