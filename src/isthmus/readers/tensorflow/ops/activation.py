"""Activations, and the biases before them."""

from __future__ import annotations

import onnx_ir as ir

from isthmus.readers.tensorflow.contract import Reads
from isthmus.readers.tensorflow.ops._activations import relu6
from isthmus.readers.tensorflow.ops._fused import by_channel
from isthmus.readers.tensorflow.ops._images import Format
from isthmus.readers.tensorflow.ops.elementwise import expm1, log_one_plus

table = Reads()
read = table.read

table.alias(Elu="Elu", Softsign="Softsign")

_SELU = (1.6732632423543772848170429916717, 1.0507009873554804934193349852946)
"""Alpha and scale: more digits than ONNX's attributes hold."""


@read("Selu")
def selu(op, x):
    if x.dtype != ir.DataType.DOUBLE:
        return op.Selu(x)
    alpha, scale = _SELU
    return op.Mul(op.Where(op.Less(x, 0.0), op.Mul(expm1(op, x), alpha), x), scale)


@read("Softplus")
def softplus(op, x):
    """ONNX Runtime has it of float32 only; elsewhere its log(1 + exp x) is infinite long before x is."""
    if x.dtype == ir.DataType.FLOAT:
        return op.Softplus(x)
    rest = log_one_plus(op, op.Exp(op.Neg(op.Abs(x))))
    return op.Add(op.Max(x, 0.0), rest)


@read("Relu6")
def clipped_relu(op, x):
    return relu6(op, x)


@read("LeakyRelu")
def leaky_relu(op, x, *, alpha):
    return op.LeakyRelu(x, alpha=alpha)


@read("Softmax")
def softmax(op, logits):
    return op.Softmax(logits, axis=-1)


@read("LogSoftmax")
def log_softmax(op, logits):
    return op.LogSoftmax(logits, axis=-1)


@read("BiasAdd")
def bias_add(op, c, value, bias, *, data_format):
    last = data_format != "NCHW"
    return op.Add(value, bias if last else by_channel(op, bias, Format(c.rank(), last)))


@read("BiasAddV1")
def bias_add_v1(op, value, bias):
    return op.Add(value, bias)
