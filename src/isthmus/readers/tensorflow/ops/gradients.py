"""Gradients that a model computes of itself: of activations, biases and pools."""

from __future__ import annotations

import numpy as np

from isthmus.readers.tensorflow.contract import Reads
from isthmus.readers.tensorflow.ops._images import Format
from isthmus.readers.tensorflow.ops.pool import indexed_max_pool

table = Reads()
read = table.read

_SELU = (1.0507009873554804934193349852946, 1.7580993408473768599402175208123)
"""Scale, and scale times alpha."""


@read("ReluGrad")
def relu(op, gradients, features):
    return _where(op, op.Greater(features, 0), gradients)


@read("Relu6Grad")
def relu6(op, gradients, features):
    return _where(op, op.And(op.Greater(features, 0), op.Less(features, 6)), gradients)


@read("LeakyReluGrad")
def leaky_relu(op, gradients, features, *, alpha):
    return op.Where(op.Greater(features, 0), gradients, op.Mul(gradients, alpha))


@read("EluGrad")
def elu(op, gradients, outputs):
    return op.Where(op.Less(outputs, 0), op.Mul(op.Add(outputs, 1), gradients), gradients)


@read("SeluGrad")
def selu(op, gradients, outputs):
    scale, scaled_alpha = _SELU
    factor = op.Where(op.Less(outputs, 0), op.Add(outputs, scaled_alpha), scale)
    return op.Mul(gradients, factor)


@read("SoftplusGrad")
def softplus(op, gradients, features):
    return op.Mul(gradients, op.Sigmoid(features))


@read("SoftsignGrad")
def softsign(op, gradients, features):
    far = op.Add(op.Abs(features), 1)
    return op.Div(gradients, op.Mul(far, far))


@read("TanhGrad")
def tanh(op, y, dy):
    return op.Mul(dy, op.Sub(1.0, op.Mul(y, y)))


@read("SigmoidGrad")
def sigmoid(op, y, dy):
    return op.Mul(dy, op.Mul(y, op.Sub(1.0, y)))


@read("SqrtGrad")
def sqrt(op, y, dy):
    return op.Div(op.Mul(dy, 0.5), y)


@read("RsqrtGrad")
def rsqrt(op, y, dy):
    return op.Mul(op.Mul(dy, -0.5), op.Mul(y, op.Mul(y, y)))


@read("ReciprocalGrad", "InvGrad")
def reciprocal(op, y, dy):
    return op.Neg(op.Mul(dy, op.Mul(y, y)))


@read("BiasAddGrad")
def bias_add(op, c, out_backprop, *, data_format):
    """The sum over all that is no channel."""
    rank = c.rank()
    channels = 1 if data_format == "NCHW" else rank - 1
    return op.ReduceSum(out_backprop, [axis for axis in range(rank) if axis != channels], keepdims=0)


@read("MaxPoolGrad")
def max_pool(op, c, orig_input, orig_output, grad, *, ksize, strides, padding, explicit_paddings, data_format):
    """What comes back for a window goes to its largest element, the first of equals."""
    form = Format.of(c, data_format, 4)
    image = form.to_first(op, orig_input)
    _, places = indexed_max_pool(op, c, image, form, ksize, strides, padding, explicit_paddings)
    gradients = op.Reshape(form.to_first(op, grad), [-1])
    shape = op.Shape(image)
    zeros = op.Expand(op.constant(0, image.dtype), op.Reshape(op.Size(image), [1]))
    made = op.ScatterElements(zeros, op.Reshape(places, [-1]), gradients, axis=0, reduction="add")
    return form.from_first(op, op.Reshape(made, shape, allowzero=1))


def _where(op, there, gradients):
    return op.Where(there, gradients, op.constant(np.asarray(0), gradients.dtype))
