"""Numbers of quantized types, from floats and back."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import tensorflow as tf

from isthmus.readers.tensorflow.contract import Reads
from isthmus.readers.tensorflow.dtypes import data_type

table = Reads()
read = table.read

_FLOAT = ir.DataType.FLOAT


@read("Dequantize")
def dequantize(op, c, x, min_range, max_range, *, mode, narrow_range, axis, dtype: tf.DType):
    info = np.iinfo(x.dtype.numpy())
    if axis != -1:
        others = [a for a in range(c.rank(0)) if a != axis]
        min_range, max_range = (op.Unsqueeze(v, others) if others else v for v in (min_range, max_range))
    numbers = op.Cast(x, to=_FLOAT)
    if mode == "SCALED":
        last = float(info.max)
        first = float(info.min + 1 if narrow_range else info.min)
        scale = op.Div(max_range, last)
        scale = op.Max(scale, op.Div(min_range, first)) if first else scale
        found = op.Mul(numbers, scale)
    else:
        scale = op.Div(op.Sub(max_range, min_range), float(int(info.max) - int(info.min)))
        from_first = op.Sub(numbers, float(info.min))
        if mode == "MIN_FIRST":
            min_range = op.Mul(op.Round(op.Div(min_range, scale)), scale)
        found = op.Add(op.Mul(from_first, scale), min_range)
    return found if dtype == tf.float32 else op.Cast(found, to=data_type(dtype))


@read("QuantizeV2")
def quantize(
    op, c, x, min_range, max_range, *, T: tf.DType, mode, round_mode, narrow_range, axis, ensure_minimum_range
):
    if mode != "SCALED" or axis != -1:
        c.refuse(f"the mode {mode} of quantization" if mode != "SCALED" else "quantization by channel")
    to = data_type(T)
    info = np.iinfo(np.dtype(T.as_numpy_dtype)[0])  # the type is a structure of one number
    first, last = float(info.min + 1 if narrow_range else info.min), float(info.max)
    low, high = _ensured(op, min_range, max_range, ensure_minimum_range)
    unlimited = op.constant(np.finfo(np.float32).max)
    by_low = op.Where(op.Greater(op.Mul(low, first), 0.0), op.Div(first, low), unlimited)
    by_high = op.Where(op.Greater(op.Mul(high, last), 0.0), op.Div(last, high), unlimited)
    of_low = op.Less(by_low, by_high)
    scale = op.Where(of_low, by_low, by_high)
    low, high = op.Where(of_low, low, op.Div(first, scale)), op.Where(of_low, op.Div(last, scale), high)
    scaled = op.Mul(op.Min(op.Max(x, low), high), scale)
    steps = op.Round(scaled) if round_mode == "HALF_TO_EVEN" else _half_away(op, scaled)
    return op.Cast(steps, to=to), low, high


def _ensured(op, low, high, least):
    """A range that holds zero, and is not narrower than a part of the larger side."""
    low = op.Min(low, 0.0)
    widest = op.Max(op.Max(op.Abs(low), op.Abs(high)), 1.0)
    return low, op.Max(op.Max(high, op.Add(low, op.Mul(widest, float(least)))), 0.0)


def _half_away(op, x):
    return op.Mul(op.Sign(x), op.Floor(op.Add(op.Abs(x), 0.5)))
