"""Pools that ONNX's own cannot say: adaptive windows of unequal width, and a divisor of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from onnxscript import opset23 as op

from isthmus.readers.torch.translations.build import (
    Value,
    dim,
    ints,
    ints_scalar,
    moved,
    number,
    positions,
    rank,
    size,
    static_size,
)

aten = torch.ops.aten


def _windows(x: Value, axis: int, out: Any) -> Value:
    """bool[out, n]: which entries of ``axis`` the adaptive window i covers, from ⌊i·n/out⌋ to ⌈(i+1)·n/out⌉."""
    known = static_size(x, axis)
    if known is not None and isinstance(out, int):
        i = np.arange(out)[:, None]
        j = np.arange(known)[None]
        return op.Constant(value=ir.tensor((j >= i * known // out) & (j < -(-(i + 1) * known // out))))
    length, count = size(x, axis), dim(out)
    i, j = op.Unsqueeze(positions(count), ints(1)), op.Unsqueeze(positions(length), ints(0))
    start = op.Div(op.Mul(i, length), count)
    end = op.Div(op.Sub(op.Add(op.Mul(op.Add(i, ints_scalar(1)), length), count), ints_scalar(1)), count)
    return op.And(op.GreaterOrEqual(j, start), op.Less(j, end))


def adaptive_average(self: Value, output_size: Sequence[Any]) -> Value:
    """Each axis by a matrix product with its row-stochastic window matrix; equal windows by AveragePool."""
    first = rank(self) - len(output_size)
    axes = range(first, rank(self))
    if all(out == 1 for out in output_size):
        return op.ReduceMean(self, ints(*axes), keepdims=1)
    kernel = _even_windows(self, first, output_size)
    if kernel is not None and first == 2:
        return op.AveragePool(self, kernel_shape=kernel, strides=kernel)
    result = self
    for axis, out in zip(axes, output_size, strict=True):
        covered = op.CastLike(_windows(self, axis, out), self)
        weights = op.Transpose(op.Div(covered, op.ReduceSum(covered, ints(1))), perm=[1, 0])
        result = moved(op.MatMul(moved(result, rank(self), axis, -1), weights), rank(self), -1, axis)
    return result


def adaptive_maximum(self: Value, output_size: Sequence[Any]) -> tuple[Value, Value]:
    """Axis by axis, the largest of each window; indices are into the flattened image."""
    first = rank(self) - len(output_size)
    kernel = _even_windows(self, first, output_size)
    if kernel is not None and first == 2:
        values, flat = op.MaxPool(self, kernel_shape=kernel, strides=kernel)
        # ONNX counts over the whole tensor, ATen over one image.
        area = op.ReduceProd(op.Shape(self, start=first), ints(0))
        return values, op.Mod(flat, area)
    values, places = self, None
    for axis in reversed(range(first, rank(self))):
        covered = _windows(self, axis, output_size[axis - first])
        spread = op.Unsqueeze(moved(values, rank(self), axis, -1), ints(-2))
        masked = op.Where(covered, spread, number(_least(self), self))
        picked = op.ArgMax(masked, axis=-1, keepdims=1)
        values = moved(op.Squeeze(op.ReduceMax(masked, ints(-1)), ints(-1)), rank(self), -1, axis)
        stride = op.ReduceProd(op.Shape(self, start=axis + 1), ints(0)) if axis + 1 < rank(self) else ints(1)
        steps = op.Mul(op.Squeeze(picked, ints(-1)), stride)
        if places is not None:
            old = op.Unsqueeze(moved(places, rank(self), axis, -1), ints(-2))
            old = op.Expand(old, op.Shape(masked))
            steps = op.Add(steps, op.Squeeze(op.GatherElements(old, picked, axis=-1), ints(-1)))
        places = moved(steps, rank(self), -1, axis)
    return values, places


def _least(x: Value) -> float:
    return float("-inf") if x.dtype.is_floating_point() else int(x.dtype.min)


def _even_windows(x: Value, first: int, output_size: Sequence[Any]) -> list[int] | None:
    kernel = []
    for axis, out in enumerate(output_size, first):
        length = static_size(x, axis)
        if length is None or not isinstance(out, int) or length % out:
            return None
        kernel.append(length // out)
    return kernel


def adaptive_avg_pool1d(self: Value, output_size: Sequence[Any]) -> Value:
    """Average over n windows of the last axis."""
    return adaptive_average(self, output_size)


def adaptive_max_pool1d(self: Value, output_size: Sequence[Any]) -> tuple[Value, Value]:
    """Maximum over n windows of the last axis."""
    return adaptive_maximum(self, output_size)


def avg_pool(
    self: Value,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    axes: int,
) -> Value:
    """Average pool over the last ``axes`` axes. A divisor of one's own divides sums over zero padding."""
    kernel = _each(kernel_size, axes)
    strides = _each(stride, axes) if stride else kernel
    pads = _each(padding, axes)
    batched = self if rank(self) == axes + 2 else op.Unsqueeze(self, ints(0))
    if divisor_override is None:
        result = op.AveragePool(
            batched,
            kernel_shape=kernel,
            strides=strides,
            pads=pads + pads,
            ceil_mode=int(ceil_mode),
            count_include_pad=int(count_include_pad),
        )
    else:
        after = [
            _after(self, k, s, p, i - axes, ceil_mode)
            for i, (k, s, p) in enumerate(zip(kernel, strides, pads, strict=True))
        ]
        padded = op.Pad(batched, ints(0, 0, *pads, 0, 0, *after))
        mean = op.AveragePool(padded, kernel_shape=kernel, strides=strides)
        factor = float(np.prod(kernel)) / divisor_override
        result = op.Mul(mean, number(factor, self))
    return result if rank(self) == axes + 2 else op.Squeeze(result, ints(0))


def _after(x: Value, kernel: int, stride: int, pad: int, axis: int, ceil_mode: bool) -> int:
    """Padding at the end: as at the start, and up to the last window that ceil mode adds."""
    length = static_size(x, axis)
    if not ceil_mode:
        return pad
    if length is None:
        # One stride less one completes any last window; torch drops it only if it starts inside the padding.
        return pad + stride - 1
    count = -(-(length + 2 * pad - kernel) // stride) + 1
    if (count - 1) * stride >= length + pad:
        count -= 1
    return max((count - 1) * stride + kernel - length - pad, 0)


def _each(values: Sequence[int], axes: int) -> list[int]:
    return [int(v) for v in values] * (axes if len(values) == 1 else 1)


def avg_pool2d(self: Value, kernel_size: Sequence[int], *args: Any, **kwargs: Any) -> Value:
    """Average pool over the last two axes."""
    return avg_pool(self, kernel_size, *args, **kwargs, axes=2)


def avg_pool3d(self: Value, kernel_size: Sequence[int], *args: Any, **kwargs: Any) -> Value:
    """Average pool over the last three axes."""
    return avg_pool(self, kernel_size, *args, **kwargs, axes=3)


TRANSLATIONS: dict[Any, Any] = {
    aten.adaptive_avg_pool1d.default: adaptive_avg_pool1d,
    aten._adaptive_avg_pool2d.default: adaptive_average,
    aten.adaptive_avg_pool2d.default: adaptive_average,
    aten._adaptive_avg_pool3d.default: adaptive_average,
    aten.adaptive_avg_pool3d.default: adaptive_average,
    aten.adaptive_max_pool1d.default: adaptive_max_pool1d,
    aten.adaptive_max_pool2d.default: adaptive_maximum,
    aten.adaptive_max_pool3d.default: adaptive_maximum,
    aten.avg_pool2d.default: avg_pool2d,
    aten.avg_pool3d.default: avg_pool3d,
}
