"""Numbers as they come back from a quantized type: fake quantization, and quantization undone at once.

The arithmetic is that of TensorFlow's kernels (``fake_quant_ops_functor.h``, ``quantize_and_dequantize_op.h``), step
by step, in the type of the operand: an answer that lies between two levels falls to the same one.
"""

from __future__ import annotations

import numpy as np

from isthmus.readers.tensorflow.contract import Reads, Static

table = Reads()
read = table.read


@read("FakeQuantWithMinMaxArgs")
def fake_quant_of_attributes(op, x, *, min: float, max: float, num_bits: int, narrow_range: bool):
    low, high = op.constant(min, x.dtype), op.constant(max, x.dtype)
    return _fake_quantized(op, x, low, high, num_bits, narrow_range)


@read("FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel")
def fake_quant(op, c, x, low, high, *, num_bits: int, narrow_range: bool):
    """A range per channel lies along the last axis, and broadcasts as it is."""
    divided = c.type == "FakeQuantWithMinMaxVars"
    found = _fake_quantized(op, x, low, high, num_bits, narrow_range, divided=divided)
    empty = op.And(op.Equal(low, 0.0), op.Equal(high, 0.0))
    return op.Where(empty, op.Mul(x, 0.0), found)


def _fake_quantized(op, x, low, high, bits: int, narrow: bool, *, divided: bool = False):
    """``divided``: by the step, where the other kernels multiply by its inverse; ties fall differently."""
    first, last = float(narrow), float(2**bits - 1)
    step = op.Div(op.Sub(high, low), last - first)
    per_step = op.Div(last - first, op.Sub(high, low))
    zero = op.Sub(first, op.Div(low, step))
    zero = op.Floor(op.Add(op.Min(op.Max(zero, first), last), 0.5))
    low, high = op.Mul(op.Sub(first, zero), step), op.Mul(op.Sub(last, zero), step)
    above = op.Sub(op.Max(op.Min(x, high), low), low)
    levels = op.Div(above, step) if divided else op.Mul(above, per_step)
    zero = op.Floor(op.Sub(0.5, op.Mul(low, per_step)))
    return op.Mul(op.Floor(op.Add(op.Sub(levels, zero), 0.5)), step)


@read("QuantizeAndDequantizeV2", "QuantizeAndDequantizeV4")
def quantize_and_dequantize(
    op, c, x, low, high, *, signed_input, num_bits, range_given, round_mode, narrow_range, axis
):
    levels = _levels(signed_input, num_bits, narrow_range)
    return _there_and_back(op, c, x, (low, high) if range_given else None, levels, axis, round_mode)


@read("QuantizeAndDequantizeV3")
def quantize_and_dequantize_v3(
    op, c, x, low, high, num_bits: Static, *, signed_input, range_given, narrow_range, axis
):
    levels = _levels(signed_input, int(num_bits), narrow_range)
    return _there_and_back(op, c, x, (low, high) if range_given else None, levels, axis, "HALF_TO_EVEN")


def _levels(signed: bool, bits: int, narrow: bool) -> tuple[float, float]:
    """The least and the greatest level."""
    if not signed:
        return 0.0, float(2**bits - 1)
    return float(-(2 ** (bits - 1)) + narrow), float(2 ** (bits - 1) - 1)


def _there_and_back(op, c, x, given, levels: tuple[float, float], axis: int, mode: str):
    """The side of the range that needs the coarser levels decides; the other side is what these reach."""
    low, high = given if given is not None else _range(op, c, x, axis)
    if axis >= 0:
        shape = np.ones(c.rank(), np.int64)
        shape[axis] = -1
        low, high = op.Reshape(low, shape), op.Reshape(high, shape)
    first, last = levels
    most = float(np.finfo(x.dtype.numpy()).max)
    by_low = op.Where(op.Greater(op.Mul(low, first), 0.0), op.Div(first, low), most)
    by_high = op.Where(op.Greater(op.Mul(high, last), 0.0), op.Div(last, high), most)
    coarse = op.Less(by_low, by_high)
    scale = op.Where(coarse, by_low, by_high)
    step = op.Where(coarse, op.Div(low, first or 1.0), op.Div(high, last))
    if given is not None:
        low = op.Where(coarse, low, op.Mul(first, step))
        high = op.Where(coarse, op.Mul(last, step), high)
        x = op.Max(op.Min(x, high), low)
    level = op.Mul(x, scale)
    level = op.Floor(op.Add(level, 0.5)) if mode == "HALF_UP" else op.Round(level)
    return op.Mul(level, step)


def _range(op, c, x, axis: int):
    axes = [other for other in range(c.rank()) if other != axis]
    return op.ReduceMin(x, axes, keepdims=0), op.ReduceMax(x, axes, keepdims=0)
