"""Activations, and the biases before them."""

from __future__ import annotations

from isthmus.readers.tensorflow.contract import Reads
from isthmus.readers.tensorflow.ops._activations import relu6
from isthmus.readers.tensorflow.ops._fused import by_channel
from isthmus.readers.tensorflow.ops._images import Format

table = Reads()
read = table.read

table.alias(Elu="Elu", Selu="Selu", Softplus="Softplus", Softsign="Softsign")


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
