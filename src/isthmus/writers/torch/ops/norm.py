"""Normalizations: over batch, instance, group, layer, neighbouring channels, or by a norm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import onnx_ir as ir
import torch
import torch.nn.functional as F

from isthmus.lower.contract import Lowerings, Weight
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import FLOATS, dims, dtype_of, positive
from isthmus.writers.torch.ops._dims import product
from isthmus.writers.torch.ops._numeric import in_float32

table = Lowerings()
lower, alias = table.lower, table.alias


def _one_type(c: Context, *indices: int) -> bool:
    """Whether the given inputs are all float32, or all float64."""
    types = {c.dtype(i) for i in indices if c.has(i)}
    return len(types) == 1 and types <= FLOATS


def _widened(c: Context, index: int, x: Any, dtype: ir.DataType) -> Any:
    """Input ``index``, which is ``x``, as ``dtype``."""
    return x if c.dtype(index) == dtype else x.to(dtype_of(dtype))


def _narrowed(c: Context, y: Any, dtype: ir.DataType, index: int = 0) -> Any:
    """``y``, which is of ``dtype``, as the type of output ``index``."""
    return y if c.output_dtype(index) == dtype else y.to(dtype_of(c.output_dtype(index)))


def _wide(c: Context, *indices: int) -> ir.DataType:
    """The type that moments are computed in: float64 for float64, else float32."""
    double = ir.DataType.DOUBLE
    return double if any(c.dtype(i) == double for i in indices) else ir.DataType.FLOAT


@lower("BatchNormalization")
def batch_normalization(
    c, x, scale: Weight, bias: Weight, mean: Weight, var: Weight, *, epsilon, momentum, training_mode
):
    wide = _wide(c, 0, 3)
    image = _widened(c, 0, x, wide)
    image = image.unsqueeze(1) if c.rank() == 1 else image  # a batch of one channel
    scale, bias = _widened(c, 1, scale, wide), _widened(c, 2, bias, wide)
    old = [_widened(c, 3, mean, wide), _widened(c, 4, var, wide)]
    further: list[Any] = []
    if training_mode:
        others = [axis for axis in range(max(c.rank(), 2)) if axis != 1]
        batch = [image.mean(others), image.var(others, correction=0)]
        further = [before * momentum + now * (1 - momentum) for before, now in zip(old, batch, strict=True)]
        further = [_narrowed(c, value, wide, i) for i, value in enumerate(further, start=1) if c.wants(i)]
        old = batch
    if training_mode or any(c.node.inputs[i].producer() is not None for i in (3, 4)):
        y = _by_moments(image, old[0], old[1], scale, bias, epsilon, [-1, *[1] * (c.rank() - 2)])
    else:
        y = F.batch_norm(image, old[0], old[1], scale, bias, eps=epsilon)
    y = y.squeeze(1) if c.rank() == 1 else y
    return (_narrowed(c, y, wide), *further)


def _by_moments(x: Any, mean: Any, var: Any, scale: Any, bias: Any, epsilon: float, along: Sequence[int]) -> Any:
    """As ``F.batch_norm``, which takes no moments that a gradient goes through: those of standardized filters."""
    factor = scale * torch.rsqrt(var + epsilon)
    return (x - mean.reshape(along)) * factor.reshape(along) + bias.reshape(along)


@lower("InstanceNormalization")
def instance_normalization(c, x, scale: Weight, bias: Weight, *, epsilon):
    if _one_type(c, 0, 1, 2) and math.prod(_ints(c.shape()[2:])) != 1:
        return F.instance_norm(x, weight=scale, bias=bias, eps=epsilon)
    wide = _wide(c, 0)
    y = _standardized(_widened(c, 0, x, wide), list(range(2, c.rank())), epsilon)
    along = [-1, *[1] * (c.rank() - 2)]
    y = y * _widened(c, 1, scale, wide).reshape(along) + _widened(c, 2, bias, wide).reshape(along)
    return _narrowed(c, y, wide)


def _ints(shape: Sequence[Any]) -> list[int]:
    """The sizes that are known, and 2 for a free one."""
    return [d if isinstance(d, int) else 2 for d in shape]


@lower("GroupNormalization")
def group_normalization(c, x, scale: Weight, bias: Weight, *, epsilon, num_groups, stash_type):
    stash = _stash(c, stash_type)
    shape = c.shape()
    elements = math.prod(_ints(shape[:1] + shape[2:])) * _ints(shape)[1] // num_groups
    if _one_type(c, 0, 1, 2) and c.dtype() == stash and isinstance(shape[1], int) and elements > 1:
        return F.group_norm(x, num_groups, scale, bias, epsilon)
    sizes = dims(c, x)
    grouped = _widened(c, 0, x, stash).reshape([sizes[0], num_groups, -1])
    y = _narrowed(c, _standardized(grouped, [2], epsilon).reshape(sizes), stash)
    along = [-1, *[1] * (c.rank() - 2)]
    return y * scale.reshape(along) + bias.reshape(along)


def _standardized(x: Any, axes: Sequence[int], epsilon: float) -> Any:
    centred = x - x.mean(axes, keepdim=True)
    return centred * torch.rsqrt(centred.square().mean(axes, keepdim=True) + epsilon)


def _stash(c: Context, stash_type: int) -> ir.DataType:
    """The type of the first stage: ``stash_type``, unless the operand is wider."""
    stash = ir.DataType(stash_type)
    return stash if c.dtype().bitwidth <= stash.bitwidth else c.dtype()


def _normalized_shape(c: Context, axis: int, stash: ir.DataType) -> list[int] | None:
    """The sizes that PyTorch's layer norms take: all known, the same for the weights, in one floating type."""
    shape = c.shape()[positive(axis, c.rank()) :]
    same = all(c.shape(i) == shape for i in (1, 2) if c.has(i))
    if not same or not _one_type(c, 0, 1, 2) or c.dtype() != stash:
        return None
    return [d for d in shape if isinstance(d, int)] if all(isinstance(d, int) for d in shape) else None


@lower("LayerNormalization")
def layer_normalization(c, x, scale: Weight, bias: Weight = None, *, axis, epsilon, stash_type):
    stash = _stash(c, stash_type)
    shape = _normalized_shape(c, axis, stash)
    if shape is not None and not c.wants(1) and not c.wants(2):
        return F.layer_norm(x, shape, scale, bias, epsilon)
    axes = list(range(positive(axis, c.rank()), c.rank()))
    wide = _widened(c, 0, x, stash)
    mean = wide.mean(axes, keepdim=True)
    centred = wide - mean
    inverse = torch.rsqrt(centred.square().mean(axes, keepdim=True) + epsilon)
    y = _narrowed(c, centred * inverse, stash) * scale
    y = y if bias is None else y + bias
    further = [_narrowed(c, value, stash, i) if c.wants(i) else None for i, value in ((1, mean), (2, inverse))]
    return (y, *further)[: c.outputs]


@lower("RMSNormalization")
def rms_normalization(c, x, scale: Weight, *, axis, epsilon, stash_type):
    stash = _stash(c, stash_type)
    shape = _normalized_shape(c, axis, stash)
    if shape is not None:
        return F.rms_norm(x, shape, scale, epsilon)
    axes = list(range(positive(axis, c.rank()), c.rank()))
    wide = _widened(c, 0, x, stash)
    inverse = torch.rsqrt(wide.square().mean(axes, keepdim=True) + epsilon)
    y = (wide * inverse).to(dtype_of(c.dtype())) if c.dtype() != stash else wide * inverse
    return y * _widened(c, 1, scale, c.output_dtype())


@lower("LRN")
def lrn(c, x, *, alpha, beta, bias, size):
    if size % 2 and c.rank() > 2:
        return in_float32(
            lambda x: F.local_response_norm(x, size, alpha=alpha, beta=beta, k=bias), x, dtype=c.dtype()
        )

    def even(x: Any) -> Any:
        """PyTorch's even window reaches further to the left, ONNX's to the right."""
        batch, channels, *rest = dims(c, x)
        squares = x.square().reshape([batch, 1, channels, product(rest)])
        squares = F.pad(squares, [0, 0, (size - 1) // 2, size // 2])
        mean = F.avg_pool2d(squares, (size, 1), 1).reshape([batch, channels, *rest])
        return x / (bias + alpha * mean) ** beta

    return in_float32(even, x, dtype=c.dtype())


@lower("MeanVarianceNormalization")
def mean_variance_normalization(c, x, *, axes):
    def standardized(x: Any) -> Any:
        centred = x - x.mean(list(axes), keepdim=True)
        return centred / (centred.square().mean(list(axes), keepdim=True).sqrt() + 1e-9)

    return in_float32(standardized, x, dtype=c.dtype())


@lower("LpNormalization")
def lp_normalization(c, x, *, axis, p):
    """Of norm 0, zeros stay zeros: every other norm is at least the smallest positive number."""
    double = c.dtype() == ir.DataType.DOUBLE
    least = torch.finfo(torch.float64 if double else torch.float32).tiny
    return in_float32(lambda x: F.normalize(x, p, axis, eps=least), x, dtype=c.dtype())
