"""Comparisons, Boolean and bitwise operators, tests for NaN and infinity."""

from __future__ import annotations

import operator

import torch

from isthmus.lower.contract import Lowerings
from isthmus.writers.torch.ops._numeric import in_int64, ordered, readable

table = Lowerings()
lower, alias = table.lower, table.alias

alias(
    And=torch.logical_and,
    Or=torch.logical_or,
    Xor=torch.logical_xor,
    Not=torch.logical_not,
    Equal=operator.eq,
    BitwiseAnd=operator.and_,
    BitwiseOr=operator.or_,
    BitwiseXor=operator.xor,
)


@lower("BitwiseNot")
def bitwise_not(c, x):
    return in_int64(operator.invert, x, dtype=c.dtype())


@lower("Greater")
def greater(c, a, b):
    return ordered(a, c.dtype()) > ordered(b, c.dtype())


@lower("GreaterOrEqual")
def greater_or_equal(c, a, b):
    return ordered(a, c.dtype()) >= ordered(b, c.dtype())


@lower("Less")
def less(c, a, b):
    return ordered(a, c.dtype()) < ordered(b, c.dtype())


@lower("LessOrEqual")
def less_or_equal(c, a, b):
    return ordered(a, c.dtype()) <= ordered(b, c.dtype())


@lower("IsNaN")
def is_nan(c, x):
    return torch.isnan(readable(x, c.dtype()))


@lower("IsInf")
def is_inf(c, x, *, detect_negative, detect_positive):
    x = readable(x, c.dtype())
    if detect_negative and detect_positive:
        return torch.isinf(x)
    if detect_negative or detect_positive:
        return torch.isneginf(x) if detect_negative else torch.isposinf(x)
    return torch.zeros_like(x, dtype=torch.bool)
