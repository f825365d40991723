"""Random numbers by PyTorch's own generators, and dropout.

No two frameworks draw the same numbers: the distribution is what is kept. A seed makes a target repeat itself; what
is not seeded draws from PyTorch's global generator.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import torch
import torch.nn.functional as F

from isthmus.lower.contract import Host, Lowerings
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import FLOATS, HALVES, call, dtype_of, host_scalar, leaf
from isthmus.writers.torch.ops._numeric import in_float32, written

table = Lowerings()
lower, alias = table.lower, table.alias


@lower("RandomNormal")
def random_normal(c, *, shape, dtype, mean, scale, seed):
    return _scaled(_normal(c, call(c, torch.empty, list(shape)), dtype, seed), scale, mean)


@lower("RandomNormalLike")
def random_normal_like(c, x, *, dtype, mean, scale, seed):
    return _scaled(_normal(c, x, dtype or c.dtype(), seed), scale, mean)


@lower("RandomUniform")
def random_uniform(c, *, shape, dtype, low, high, seed):
    return _scaled(_uniform(c, call(c, torch.empty, list(shape)), dtype, seed), high - low, low)


@lower("RandomUniformLike")
def random_uniform_like(c, x, *, dtype, low, high, seed):
    return _scaled(_uniform(c, x, dtype or c.dtype(), seed), high - low, low)


@lower("Bernoulli")
def bernoulli(c, probability, *, dtype, seed):
    if seed is None:
        drawn = torch.bernoulli(probability)
        return drawn if dtype in (None, c.dtype()) else drawn.to(dtype_of(ir.DataType(dtype)))
    below = _uniform(c, probability, ir.DataType.DOUBLE, seed) < probability
    return below.to(dtype_of(ir.DataType(dtype or c.dtype())))


@lower("Multinomial")
def multinomial(c, logits, *, dtype, sample_size, seed):
    """Indices drawn by weights that are given as logarithms, not necessarily of numbers that sum to 1."""
    weights = torch.softmax(logits.float(), 1)
    if seed is None:
        drawn = torch.multinomial(weights, sample_size, True)
    else:
        drawn = seeded_choice(weights, sample_size, _whole(seed))
    return drawn if dtype == ir.DataType.INT64 else drawn.to(dtype_of(ir.DataType(dtype)))


@lower("Dropout")
def dropout(c, x, ratio: Host = None, training: Host = None, *, seed):
    if training is None or (isinstance(training, np.ndarray) and not host_scalar(training)):
        return (x, torch.ones_like(x, dtype=torch.bool)) if c.outputs > 1 else x
    rate = 0.5 if ratio is None else ratio.reshape([])
    rate = written(float(rate)) if isinstance(rate, np.ndarray) else rate
    if isinstance(rate, float) and isinstance(training, np.ndarray) and c.outputs == 1 and seed is None:
        return F.dropout(x, rate, True)
    kept = _uniform(c, x, ir.DataType.FLOAT, seed) >= rate
    if not isinstance(training, np.ndarray):
        on = training.reshape([])
        kept = torch.logical_or(kept, torch.logical_not(on))
        rate = torch.where(on, rate, 0.0)
    # divided by what is left, and by nothing where nothing is left
    y = in_float32(lambda v: torch.where(kept, v / (1 - rate), 0.0), x, dtype=c.dtype())
    y = y if c.dtype() in HALVES else y.to(dtype_of(c.dtype()))  # the ratio may be of a wider type
    return (y, kept) if c.outputs > 1 else y


@leaf
def seeded_normal(like: torch.Tensor, dtype: torch.dtype, seed: int) -> torch.Tensor:
    """``torch.randn_like``, the same numbers in each call."""
    generator = torch.Generator(like.device).manual_seed(seed)
    return torch.randn(like.shape, generator=generator, dtype=dtype, device=like.device)


@leaf
def seeded_uniform(like: torch.Tensor, dtype: torch.dtype, seed: int) -> torch.Tensor:
    """``torch.rand_like``, the same numbers in each call."""
    generator = torch.Generator(like.device).manual_seed(seed)
    return torch.rand(like.shape, generator=generator, dtype=dtype, device=like.device)


@leaf
def seeded_choice(weights: torch.Tensor, count: int, seed: int) -> torch.Tensor:
    """``torch.multinomial`` with replacement, the same indices in each call."""
    return torch.multinomial(weights, count, True, generator=torch.Generator(weights.device).manual_seed(seed))


def _normal(c: Context, like: Any, dtype: int, seed: float | None) -> Any:
    if seed is not None:
        return call(c, seeded_normal, like, _float_type(c, dtype), _whole(seed))
    return call(c, torch.randn_like, like, dtype=_float_type(c, dtype))


def _uniform(c: Context, like: Any, dtype: int, seed: float | None) -> Any:
    if seed is not None:
        return call(c, seeded_uniform, like, _float_type(c, dtype), _whole(seed))
    return call(c, torch.rand_like, like, dtype=_float_type(c, dtype))


def _scaled(x: Any, factor: float, offset: float) -> Any:
    x = x if factor == 1 else x * written(factor)
    return x if offset == 0 else x + written(offset)


def _whole(seed: float) -> int:
    """The bits of a float seed, as a generator wants an integer."""
    return int(np.float32(seed).view(np.uint32))


def _float_type(c: Context, dtype: int) -> torch.dtype:
    wanted = ir.DataType(dtype)
    if wanted not in FLOATS | HALVES:
        c.refuse(f"PyTorch draws no random numbers of type {wanted.name.lower()}")
    return dtype_of(wanted)
