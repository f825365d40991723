"""One tensor in, one out; two in, broadcast; the operators that ONNX has under a name of its own."""

from __future__ import annotations

import tensorflow as tf

from isthmus.readers.tensorflow.contract import Reads
from isthmus.readers.tensorflow.dtypes import data_type

table = Reads()
read = table.read

table.alias(
    AddV2="Add",
    Add="Add",
    Sub="Sub",
    Mul="Mul",
    RealDiv="Div",
    Relu="Relu",
    Sigmoid="Sigmoid",
    Tanh="Tanh",
    Exp="Exp",
    Log="Log",
    Sqrt="Sqrt",
    Neg="Neg",
    Abs="Abs",
    Erf="Erf",
    Less="Less",
    LessEqual="LessOrEqual",
    Greater="Greater",
    GreaterEqual="GreaterOrEqual",
    LogicalAnd="And",
    LogicalOr="Or",
    LogicalNot="Not",
)


@read("Cast", ignore=("Truncate",))
def cast(op, c, x, *, DstT: tf.DType):
    return op.Cast(x, to=data_type(DstT))


@read("Softmax")
def softmax(op, logits):
    return op.Softmax(logits, axis=-1)
