"""Operators that only move elements: permutations, joining and parting, rolling and reversing."""

from __future__ import annotations

import functools

import numpy as np
import onnx_ir as ir

from isthmus.readers.tensorflow.contract import ComplexOrReal, Host, Reads, Static
from isthmus.readers.tensorflow.handles import Complex
from isthmus.readers.tensorflow.ops._sizes import (
    FIRST,
    LAST,
    counted,
    entry,
    front,
    int64,
    like,
    positive,
    size,
    strides,
    tensor_of,
    through_float,
)

table = Reads()
read = table.read


@read("Transpose")
def transpose(op, c, x: ComplexOrReal, perm: Host):
    if not isinstance(perm, np.ndarray):
        if isinstance(x, Complex):
            c.refuse("its permutation is computed from data, and its input is complex")
        return _transposed_by_value(op, c, x, int64(op, perm))
    order = [positive(axis, len(perm)) for axis in perm]
    return like(x, op.Transpose(tensor_of(x), perm=order + [len(order)] * isinstance(x, Complex)))


@read("ConjugateTranspose")
def conjugate_transpose(op, c, x: ComplexOrReal, perm: Host):
    moved = transpose(op, c, x, perm)
    return Complex(op.Mul(moved.pairs, op.constant([1, -1], moved.pairs.dtype))) if isinstance(x, Complex) else moved


@read("InvertPermutation")
def invert_permutation(op, x):
    return op.ScatterElements(x, int64(op, x), op.Cast(counted(op, size(op, x, 0)), to=x.dtype), axis=0)


@read("Pack")
def pack(op, c, values: ComplexOrReal, *, axis: int):
    axis = front(c, axis, more=1)
    apart = [op.Unsqueeze(value, [axis]) for value in _tensors(op, c, values)]
    return like(_kind(values), apart[0] if len(apart) == 1 else op.Concat(*apart, axis=axis))


@read("ParallelConcat", ignore=("shape",))
def parallel_concat(op, values):
    return values[0] if len(values) == 1 else op.Concat(*values, axis=0)


@read("Unpack", ignore=("num",))
def unpack(op, c, value: ComplexOrReal, *, axis: int):
    axis = front(c, axis)
    return tuple(like(value, op.Gather(tensor_of(value), np.int64(i), axis=axis)) for i in range(c.outputs))


@read("Concat")
def concat(op, c, axis: Static, values: ComplexOrReal):
    return _concatenated(op, c, values, front(c, axis, 1))


@read("ConcatV2")
def concat_v2(op, c, values: ComplexOrReal, axis: Static):
    return _concatenated(op, c, values, front(c, axis))


@read("ConcatOffset", ignore=("shape_type",))
def concat_offset(op, c, axis: Static, shapes):
    rank = c.shape(1)[0]
    if not isinstance(rank, int):
        c.refuse("the length of its shapes is not known")
    there = np.arange(rank) == positive(axis, rank)
    offset = op.constant(np.zeros(rank), shapes[0].dtype)
    offsets = []
    for shape in shapes:
        offsets.append(offset)
        offset = op.Add(offset, op.Mul(shape, op.constant(there, shape.dtype)))
    return tuple(op.Identity(offset) for offset in offsets)


@read("Split")
def split(op, c, axis: Static, value: ComplexOrReal, *, num_split: int):
    if num_split == 1:
        return value
    at = front(c, axis, 1)
    return like(value, *op.Split(tensor_of(value), axis=at, num_outputs=num_split, outputs=num_split))


@read("SplitV", ignore=("num_split",))
def split_v(op, c, value: ComplexOrReal, sizes: Host, axis: Static):
    if c.outputs == 1:
        return value
    at = front(c, axis)
    parts = _with_rest(op, tensor_of(value), c.shape()[at], int64(op, sizes), at)
    return like(value, *op.Split(tensor_of(value), parts, axis=at, outputs=c.outputs))


@read("Roll")
def roll(op, c, x: ComplexOrReal, shift: Host, axis: Static):
    value = tensor_of(x)
    rank, sizes = c.rank(), c.shape()
    for index, place in enumerate(axis.reshape(-1)):
        at = positive(place, rank)
        by = entry(op, shift, index)
        start = _start_of_roll(op, value, sizes[at], by, at)
        value = op.Concat(op.Slice(value, start, [LAST], [at]), op.Slice(value, [0], start, [at]), axis=at)
    return like(x, value)


@read("Reverse")
def reverse(op, c, x, dims: Static):
    return _reversed(op, x, [axis for axis, wanted in enumerate(dims.reshape(-1)) if wanted])


@read("ReverseV2")
def reverse_v2(op, c, x: ComplexOrReal, axis: Static):
    return like(x, _reversed(op, tensor_of(x), [positive(at, c.rank()) for at in axis.reshape(-1)]))


@read("ReverseSequence")
def reverse_sequence(op, c, x, lengths, *, seq_dim: int, batch_dim: int):
    rank = c.rank()
    leading = [positive(batch_dim, rank), positive(seq_dim, rank)]
    perm = leading + [axis for axis in range(rank) if axis not in leading]
    moved = x if perm == list(range(rank)) else op.Transpose(x, perm=perm)
    lengths = int64(op, lengths)
    turned = through_float(op, moved, lambda y: op.ReverseSequence(y, lengths, batch_axis=0, time_axis=1))
    return turned if moved is x else op.Transpose(turned, perm=np.argsort(perm))


def _kind(values):
    """A complex one among tensors that are joined, or the first."""
    return next((value for value in values if isinstance(value, Complex)), values[0])


def _tensors(op, c, values):
    if any(isinstance(value, Complex) for value in values) and not all(isinstance(v, Complex) for v in values):
        c.refuse("only some of its inputs are complex")
    return [tensor_of(value) for value in values]


def _concatenated(op, c, values, axis):
    tensors = _tensors(op, c, values)
    return values[0] if len(tensors) == 1 else like(_kind(values), op.Concat(*tensors, axis=axis))


def _with_rest(op, value, total, sizes, axis):
    """Sizes of parts; the one that is -1 takes what the others leave of ``total``."""
    if isinstance(sizes, np.ndarray):
        if -1 not in sizes:
            return sizes
        if isinstance(total, int):
            return np.where(sizes == -1, total - (sizes.sum() + 1), sizes)
    rest = op.Sub(size(op, value, axis), op.Add(op.ReduceSum(sizes), np.int64(1)))
    return op.Where(op.Less(sizes, np.int64(0)), rest, sizes)


def _start_of_roll(op, value, known, by, axis):
    """Where the elements that come first were: -shift, modulo the size."""
    if isinstance(by, np.ndarray) and isinstance(known, int):
        return -by % max(known, 1)
    total = op.Max(size(op, value, axis), np.asarray([1]))
    return op.Mod(op.Neg(by) if isinstance(by, ir.Value) else -by, total)


def _reversed(op, x, axes):
    if not axes:
        return x
    backwards = [-1] * len(axes)
    return op.Slice(x, [LAST] * len(axes), [FIRST] * len(axes), axes, backwards)


def _transposed_by_value(op, c, x, perm):
    """A permutation that is data: the elements are gathered by their places in the flat tensor."""
    rank = c.rank()
    if rank < 2:
        return x
    sizes = op.Shape(x)
    target = op.Gather(sizes, perm, axis=0)
    steps = op.Gather(strides(op, sizes, rank), perm, axis=0)
    along = [
        op.Reshape(
            op.Mul(counted(op, entry(op, target, axis)), entry(op, steps, axis)),
            [-1 if axis == place else 1 for place in range(rank)],
            allowzero=0,
        )
        for axis in range(rank)
    ]
    return op.Gather(op.Reshape(x, [-1]), functools.reduce(op.Add, along), axis=0)
