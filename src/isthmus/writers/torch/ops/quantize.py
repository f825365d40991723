"""Quantization: per tensor, per axis and in blocks; integer matrix products."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
import torch

from isthmus.lower.contract import Lowerings
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import HALVES, dim, dtype_of, held_dtype, positive
from isthmus.writers.torch.ops.cast import WIDTHS, convert

table = Lowerings()
lower, alias = table.lower, table.alias

D = ir.DataType


@lower("QuantizeLinear")
def quantize_linear(c, x, scale, zero=None, *, axis, block_size, output_dtype, precision, saturate):
    target = c.dtype(2) if c.has(2) else D(output_dtype or D.UINT8)
    computed = D(precision) if precision else c.dtype(1)
    wide = torch.float64 if computed == D.DOUBLE else torch.float32
    ratio = x.to(wide) / _spread(c, x, scale.to(wide), 1, axis, block_size)
    if computed in HALVES:  # rounded to the type that the division is done in
        ratio = ratio.to(dtype_of(computed)).float()
    offset = None if zero is None else _spread(c, x, zero.to(wide), 2, axis, block_size)
    if target.is_floating_point():
        return convert(ratio if offset is None else ratio + offset, D.FLOAT, target, saturate=saturate)
    return _saturated(ratio, offset, target)


@lower("DequantizeLinear")
def dequantize_linear(c, x, scale, zero=None, *, axis, block_size, output_dtype):
    target = D(output_dtype) if output_dtype else c.dtype(1)
    scale = _spread(c, x, scale.float(), 1, axis, block_size)
    if zero is None:
        values = x.float()
    elif c.dtype().is_integer():  # exactly, and only then rounded
        values = (x.int() - _spread(c, x, zero.int(), 2, axis, block_size)).float()
    else:
        values = x.float() - _spread(c, x, zero.float(), 2, axis, block_size)
    y = values * scale
    return y if target == D.FLOAT else y.to(dtype_of(target))


@lower("DynamicQuantizeLinear")
def dynamic_quantize_linear(x):
    low = torch.clamp(torch.amin(x), max=0.0)
    high = torch.clamp(torch.amax(x), min=0.0)
    scale = (high - low) / 255.0
    # all zeros: any scale will do, and 0 / 0 would not
    scale = torch.where(scale == 0, 1.0, scale)
    zero = torch.round(torch.clamp(-low / scale, 0.0, 255.0))
    return _saturated(x / scale, zero, D.UINT8), scale, zero.to(torch.uint8)


@lower("MatMulInteger")
def mat_mul_integer(c, a, b, a_zero=None, b_zero=None):
    return _centered_rows(c, a, a_zero, 2) @ _centered(b, b_zero)


@lower("QLinearMatMul")
def q_linear_mat_mul(c, a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero):
    if c.dtype().is_integer():
        summed = (_centered_rows(c, a, a_zero, 2) @ _centered(b, b_zero)).float()
    else:
        summed = (a.float() - _as_rows(c, a_zero.float(), 2)) @ (b.float() - b_zero.float())
    factor = _as_rows(c, a_scale.float(), 1) * b_scale.float() / _as_rows(c, y_scale.float(), 6)
    offset, target = _as_rows(c, y_zero.float(), 7), c.dtype(7)
    if target.is_floating_point():
        return convert(summed * factor + offset, D.FLOAT, target)
    return _saturated(summed * factor, offset, target)


def _saturated(ratio: Any, offset: Any, dtype: ir.DataType) -> Any:
    """round(x / scale) + zero point within the range of an integer type, the sum being exact in float32."""
    low, high = _range(dtype)
    rounded = torch.round(ratio) if offset is None else torch.round(ratio) + offset
    return torch.clamp(rounded, low, high).to(held_dtype(dtype))


def _range(dtype: ir.DataType) -> tuple[int, int]:
    if dtype not in WIDTHS:
        limits = torch.iinfo(dtype_of(dtype))
        return limits.min, limits.max
    half = 1 << WIDTHS[dtype] - 1
    return (-half, half - 1) if dtype.is_signed() else (0, 2 * half - 1)


def _spread(c: Context, x: Any, parameter: Any, index: int, axis: int, block_size: int) -> Any:
    """A scale or zero point, input ``index``, in a shape that broadcasts against x, input 0."""
    rank, shape = c.rank(0), c.shape(index)
    if not shape or rank == 0:
        return parameter.reshape([]) if shape else parameter
    axis = positive(axis, rank)
    if block_size:
        repeated = torch.repeat_interleave(parameter, block_size, dim=axis)
        blocks, size = shape[axis], dim(c, x, axis)
        if isinstance(blocks, int) and isinstance(size, int) and blocks * block_size == size:
            return repeated
        return torch.narrow(repeated, axis, 0, size)
    if shape == (1,) or axis == rank - 1:
        return parameter
    return parameter.reshape([-1 if i == axis else 1 for i in range(axis, rank)])


def _as_rows(c: Context, parameter: Any, index: int) -> Any:
    """A parameter a row of a matrix product, in a shape that broadcasts against the product."""
    shape = c.shape(index)
    if len(shape) != 1:
        return parameter
    return parameter.reshape([]) if shape[0] == 1 else parameter if c.rank(0) == 1 else parameter.unsqueeze(1)


def _centered(x: Any, zero: Any) -> Any:
    return x.int() if zero is None else x.int() - zero.int()


def _centered_rows(c: Context, a: Any, zero: Any, index: int) -> Any:
    return a.int() if zero is None else a.int() - _as_rows(c, zero.int(), index)
