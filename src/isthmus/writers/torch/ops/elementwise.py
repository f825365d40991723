"""Functions of one tensor, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from isthmus.lower.contract import Host, Lowerings
from isthmus.writers.torch.ops._common import (
    FLOATS,
    HALVES,
    UNSIGNED,
    WIDE_UNSIGNED,
    as_tensor,
    dtype_of,
    host_scalar,
)
from isthmus.writers.torch.ops._numeric import in_order, written

table = Lowerings()
lower, alias = table.lower, table.alias

alias(
    Acos=torch.acos,
    Acosh=torch.acosh,
    Asin=torch.asin,
    Asinh=torch.asinh,
    Atan=torch.atan,
    Atanh=torch.atanh,
    Ceil=torch.ceil,
    Cos=torch.cos,
    Cosh=torch.cosh,
    Exp=torch.exp,
    Floor=torch.floor,
    Log=torch.log,
    Neg=torch.neg,
    Reciprocal=torch.reciprocal,
    Round=torch.round,
    Sin=torch.sin,
    Sinh=torch.sinh,
    Sqrt=torch.sqrt,
    Tan=torch.tan,
    Tanh=torch.tanh,
)


@lower("Abs")
def absolute(c, x):
    return x if c.dtype() in UNSIGNED else torch.abs(x)


@lower("Sign")
def sign(c, x):
    if c.dtype() in WIDE_UNSIGNED:
        return (x != 0).to(dtype_of(c.dtype()))
    if c.dtype().is_integer():
        return torch.sign(x)
    return torch.where(torch.isnan(x), x, torch.sign(x))  # PyTorch alone takes NaN for 0


@lower("Erf")
def erf(c, x):
    if c.dtype() in FLOATS | HALVES:
        return torch.erf(x)
    return torch.erf(x.double()).to(dtype_of(c.dtype()))


@lower("Clip")
def clip(c, x, low: Host = None, high: Host = None):
    """Where low is above high, ONNX says high, and so does torch.clamp. NaN goes through both."""
    if low is None and high is None:
        return x
    dtype = c.dtype()
    known = isinstance(low, np.ndarray | None) and isinstance(high, np.ndarray | None)
    if known and dtype not in WIDE_UNSIGNED:
        bottom, top = (None if bound is None else _number(bound) for bound in (low, high))
        return F.relu6(x) if bottom == 0 and top == 6 and dtype in FLOATS | HALVES else torch.clamp(x, bottom, top)
    names = [name for name, bound in (("min", low), ("max", high)) if bound is not None]
    bounds = [as_tensor(c, b, i).reshape([]) for i, b in enumerate((low, high), 1) if b is not None]

    def clamped(v, *limits):
        return torch.clamp(v, **dict(zip(names, limits, strict=True)))

    return in_order(clamped, x, *bounds, dtype=dtype)


def _number(bound: np.ndarray[Any, Any]) -> Any:
    number = host_scalar(bound)
    return written(number) if bound.dtype == np.float32 else number
