"""Tensors made from little: constants, ranges, identity matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from isthmus.lower.contract import Host, Lowerings
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import dims, dtype_of, host_list
from isthmus.writers.torch.ops._dims import is_known

table = Lowerings()
lower, alias = table.lower, table.alias


@lower("Constant")
def constant(
    c, *, value, value_float, value_floats, value_int, value_ints, value_string, value_strings, sparse_value
):
    if sparse_value is not None:
        c.refuse("PyTorch has no sparse constant that its dense operators take")
    if value_string is not None or value_strings is not None:
        c.refuse("PyTorch has no string tensors")
    forms = (value, value_float, value_floats, value_int, value_ints)
    given = next(form for form in forms if form is not None)
    return torch.tensor(np.asarray(given).tolist(), dtype=dtype_of(c.output_dtype())).reshape(np.shape(given))


@lower("ConstantOfShape")
def constant_of_shape(c, shape: Host, *, value):
    length = len(shape) if is_known(shape) else c.shape()[0]
    wanted = host_list(c, shape, length) if isinstance(length, int) else shape.tolist()
    fill = 0.0 if value is None else value.reshape(-1)[0].item()
    dtype = dtype_of(c.output_dtype())
    if fill == 0 and not math.copysign(1, fill.real) < 0:
        return torch.zeros(wanted, dtype=dtype)
    return torch.full(wanted, fill, dtype=dtype)


@lower("EyeLike")
def eye_like(c, x, *, dtype, k):
    target = dtype_of(c.dtype() if dtype is None else ir.DataType(dtype))
    rows, columns = dims(c, x)
    if k == 0 and target not in (torch.uint16, torch.uint32, torch.uint64):
        return torch.eye(rows, columns, dtype=target, device=x.device)
    row = torch.arange(rows, device=x.device).unsqueeze(1)
    return (torch.arange(columns, device=x.device) - row == k).to(target)


@lower("Range")
def arange(c, start: Host, limit: Host, delta: Host):
    """ONNX Runtime rounds the span to the operands' type, then counts in double."""
    dtype = dtype_of(c.output_dtype())
    operands = (start, limit, delta)
    if not dtype.is_floating_point and not any(_is_tensor(v) for v in operands):
        first, last, step = (_number(v) for v in operands)
        if isinstance(step, int):
            return _counted(first, last, step, dtype)
    if all(is_known(v) for v in operands) and not any(v.dtype == object for v in operands):
        return _known_range(c, start, limit, delta)
    first, last, step = (_scalar_tensor(v, dtype) for v in operands)
    if not dtype.is_floating_point:
        first, last, step = (v.to(torch.int64) for v in (first, last, step))
        length = (-((first - last) // step)).clamp_min(0).item()  # the quotient rounded up
        return (first + torch.arange(length, device=first.device) * step).to(dtype)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    first, last, step = (v.to(wide) for v in (first, last, step))
    span = (last - first).to(dtype).to(torch.float64)
    length = torch.ceil(span / step.to(torch.float64)).clamp_min(0).to(torch.int64).item()
    return (first + torch.arange(length, device=first.device).to(wide) * step).to(dtype)


def _is_tensor(value: Any) -> bool:
    return not is_known(value)


def _number(value: Any) -> Any:
    number = value.reshape(-1)[0]
    return number.item() if isinstance(number, np.generic) else number


def _counted(first: Any, last: Any, step: int, dtype: torch.dtype) -> Any:
    """A range of ints; torch.arange itself refuses one that would be empty the other way round."""
    if all(isinstance(v, int) for v in (first, last)):
        last = max(first, last) if step > 0 else min(first, last)
    elif not (isinstance(first, int) and first == 0 and step > 0):
        last = torch.sym_max(first, last) if step > 0 else torch.sym_min(first, last)
    from_zero = isinstance(first, int) and (first, step) == (0, 1)
    made = torch.arange(last) if from_zero else torch.arange(first, last, step)
    return made if dtype == torch.int64 else made.to(dtype)


def _known_range(c: Context, start: Any, limit: Any, delta: Any) -> Any:
    """A range of floats known at conversion."""
    kind, start, limit, delta = start.dtype, *(v.reshape(()) for v in (start, limit, delta))
    wide = np.float64 if kind == np.float64 else np.float32
    span = np.float64((limit.astype(wide) - start.astype(wide)).astype(kind))
    length = max(int(np.ceil(span / np.float64(delta))), 0)
    values = start.astype(wide) + np.arange(length).astype(wide) * delta.astype(wide)
    return torch.tensor(values).to(dtype_of(c.output_dtype()))


def _scalar_tensor(value: Any, dtype: torch.dtype) -> Any:
    if _is_tensor(value):
        return value.reshape([])
    number = value.reshape(-1)[0]
    return torch.full([], number.item() if isinstance(number, np.generic) else number, dtype=dtype)
