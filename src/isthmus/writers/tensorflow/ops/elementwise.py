"""Functions of one tensor, element by element."""

from __future__ import annotations

import tensorflow as tf

from isthmus.lower.contract import Lowerings
from isthmus.writers.tensorflow.ops._common import UNSIGNED, in_wider

table = Lowerings()
lower, alias = table.lower, table.alias

_SIGNED = frozenset((tf.int8, tf.int16, tf.int32, tf.int64, tf.float16, tf.bfloat16, tf.float32, tf.float64))

alias(
    Acos=tf.acos,
    Acosh=tf.acosh,
    Asin=tf.asin,
    Asinh=tf.asinh,
    Atan=tf.atan,
    Atanh=tf.atanh,
    Ceil=tf.math.ceil,
    Cos=tf.cos,
    Cosh=tf.cosh,
    Erf=tf.math.erf,
    Exp=tf.exp,
    Floor=tf.floor,
    Log=tf.math.log,
    Round=tf.round,
    Sin=tf.sin,
    Sinh=tf.sinh,
    Sqrt=tf.sqrt,
    Tan=tf.tan,
    Tanh=tf.tanh,
)


@lower("Abs")
def absolute(x):
    return x if x.dtype in UNSIGNED else in_wider(tf.abs, x, supported=_SIGNED)


@lower("Neg")
def negative(x):
    return in_wider(tf.negative, x, supported=_SIGNED)


@lower("Sign")
def sign(x):
    if x.dtype in UNSIGNED:
        return tf.minimum(x, tf.ones([], x.dtype))
    return in_wider(tf.sign, x, supported=_SIGNED)


@lower("Reciprocal")
def reciprocal(x):
    return tf.ones([], x.dtype) / x  # tf.math.reciprocal may be an estimate


@lower("Clip")
def clip(x, low=None, high=None):
    # Where low > high, ONNX says high: the order of the two matters. NaN goes through both.
    x = x if low is None else tf.maximum(x, tf.reshape(low, []))
    return x if high is None else tf.minimum(x, tf.reshape(high, []))
