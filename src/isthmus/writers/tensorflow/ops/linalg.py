"""Matrix products, general contractions, determinants."""

from __future__ import annotations

import tensorflow as tf

from isthmus.lower.contract import Lowerings
from isthmus.writers.tensorflow.ops._common import FLOATS, INTS, dims, in_wider
from isthmus.writers.tensorflow.ops.arithmetic import add

table = Lowerings()
lower, alias = table.lower, table.alias


@lower("MatMul")
def mat_mul(a, b):
    return in_wider(product, a, b, supported=FLOATS | INTS)


@lower("Gemm")
def gemm(a, b, c_=None, *, alpha, beta, transA, transB):
    def general(a, b, bias=None):
        y = _times(alpha, tf.matmul(a, b, transpose_a=bool(transA), transpose_b=bool(transB)))
        if bias is None:
            return y
        if beta == 1 and bias.shape.rank == 1 and bias.shape[0] is not None and bias.shape[0] == y.shape[1]:
            return tf.nn.bias_add(y, bias)  # TensorFlow fuses this with the product
        return add(y, _times(beta, bias))

    operands = (a, b) if c_ is None else (a, b, c_)
    if a.dtype.is_integer and (alpha != 1 or beta != 1):
        return tf.cast(general(*(tf.cast(t, tf.float64) for t in operands)), a.dtype)
    return in_wider(general, *operands, supported=FLOATS | INTS)


@lower("Einsum")
def einsum(*xs, equation):
    equation = equation.replace(" ", "")
    return in_wider(lambda *wide: tf.einsum(equation, *wide), *xs, supported=FLOATS | INTS)


@lower("Det")
def det(x):
    return in_wider(tf.linalg.det, x, supported=FLOATS)


def product(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """numpy.matmul: batches broadcast, a rank-1 operand is a row on the left and a column on the right.

    Of a type that tf.matmul has a kernel for.
    """
    if a.shape.rank == 1 and b.shape.rank == 1:
        return tf.reduce_sum(a * b)
    if a.shape.rank == 1:
        return tf.squeeze(product(a[None, :], b), -2)
    if b.shape.rank == 1:
        return tf.squeeze(product(a, b[:, None]), -1)
    if b.shape.rank == 2 and (a.shape.rank or 0) > 2 and b.shape[0]:
        # one large product: the kernel with a batch would walk through the batch with small ones
        rows = tf.matmul(tf.reshape(a, [-1, b.shape[0]]), b)
        return tf.reshape(rows, [*dims(a)[:-1], dims(b)[1]])
    return tf.matmul(a, b)


def _times(factor: float, x: tf.Tensor) -> tf.Tensor:
    return x if factor == 1 else tf.constant(factor, x.dtype) * x
