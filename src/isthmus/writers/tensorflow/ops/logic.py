"""Comparisons, Boolean and bitwise operators, tests for NaN and infinity."""

from __future__ import annotations

import tensorflow as tf

from isthmus.lower.contract import Lowerings
from isthmus.writers.tensorflow.narrow import is_narrow
from isthmus.writers.tensorflow.ops._common import convert

table = Lowerings()
lower, alias = table.lower, table.alias

alias(
    And=tf.logical_and,
    Or=tf.logical_or,
    Xor=tf.math.logical_xor,
    Not=tf.logical_not,
    BitwiseAnd=tf.bitwise.bitwise_and,
    BitwiseOr=tf.bitwise.bitwise_or,
    BitwiseXor=tf.bitwise.bitwise_xor,
    BitwiseNot=tf.bitwise.invert,
    Equal=tf.equal,
    Greater=tf.greater,
    GreaterOrEqual=tf.greater_equal,
    Less=tf.less,
    LessOrEqual=tf.less_equal,
)


@lower("IsNaN")
def is_nan(x):
    return tf.math.is_nan(convert(x, tf.float32) if is_narrow(x.dtype) else x)


@lower("IsInf")
def is_inf(x, *, detect_negative, detect_positive):
    x = convert(x, tf.float32) if is_narrow(x.dtype) else x
    found = tf.math.is_inf(x)
    if not detect_negative:
        found = found & (x > 0)
    return found if detect_positive else found & (x < 0)
