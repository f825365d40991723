"""Sparse tensors, as their indices, values and shapes."""

from __future__ import annotations

import numpy as np

from isthmus.readers.tensorflow.contract import Host, Reads
from isthmus.readers.tensorflow.ops._scattering import scattered
from isthmus.readers.tensorflow.ops._sizes import filled, int64, size, strides

table = Reads()
read = table.read


@read("SparseToDense", ignore=("validate_indices",))
def sparse_to_dense(op, c, indices, shape: Host, values, default):
    rank = c.rank(0)
    places = int64(op, indices)
    if rank < 2:
        places = op.Reshape(places, [-1, 1])
    spread = op.Expand(values, op.Shape(places, end=1))
    return op.ScatterND(op.Expand(default, int64(op, shape)), places, spread)


@read("SparseTensorDenseMatMul")
def sparse_tensor_dense_mat_mul(op, c, indices, values, shape, b, *, adjoint_a: bool, adjoint_b: bool):
    b = op.Transpose(b, perm=[1, 0]) if adjoint_b else b
    row, column = (1, 0) if adjoint_a else (0, 1)
    places = int64(op, indices)
    picked = op.Gather(b, op.Gather(places, np.int64(column), axis=1), axis=0)
    shape = op.Concat(op.Gather(int64(op, shape), np.asarray([row]), axis=0), size(op, b, 1), axis=0)
    terms = op.Mul(op.Unsqueeze(values, [1]), picked)
    rows = op.Gather(places, np.asarray([row]), axis=1)
    return scattered(op, filled(op, 0, b.dtype, shape), rows, terms, "add")


@read("SparseReshape")
def sparse_reshape(op, c, indices, shape, new_shape):
    given, wanted = int64(op, shape), int64(op, new_shape)
    free = op.Less(wanted, np.int64(0))
    others = op.ReduceProd(op.Where(free, np.int64(1), wanted), keepdims=True)
    rest = op.Div(op.ReduceProd(given, keepdims=True), op.Max(others, np.asarray([1])))
    sizes = op.Where(free, rest, wanted)
    flat = op.ReduceSum(op.Mul(indices, strides(op, given, _axes(c, 1))), [1], keepdims=True)
    # Where a size is 0 there are no indices; dividing by it must do no harm all the same.
    some = op.Max(sizes, np.asarray([1]))
    return op.Mod(op.Div(flat, strides(op, some, _axes(c, 2))), some), sizes


@read("SparseReorder")
def sparse_reorder(op, c, indices, values, shape):
    flat = op.ReduceSum(op.Mul(indices, strides(op, int64(op, shape), _axes(c, 2))), [1], keepdims=False)
    _, order = op.TopK(flat, size(op, flat, 0), axis=0, largest=False, sorted=True, outputs=2)
    return op.Gather(indices, order, axis=0), op.Gather(values, order, axis=0)


def _axes(c, index):
    """The number of axes that a shape names."""
    (length,) = c.shape(index)
    return length if isinstance(length, int) else c.refuse("the number of its axes is not known")
