"""Random numbers by PyTorch's own generator, and dropout.

No two frameworks draw the same numbers: the distribution is what is kept. An operator's seed is not: a recorded
program draws from PyTorch's global generator, which ``torch.manual_seed`` makes repeat itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import torch
import torch.nn.functional as F

from isthmus.lower.contract import Host, Lowerings
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import FLOATS, HALVES, call, dtype_of, host_scalar
from isthmus.writers.torch.ops._numeric import in_float32, written

table = Lowerings()
lower, alias = table.lower, table.alias


@lower("RandomNormal", ignore=("seed",))
def random_normal(c, *, shape, dtype, mean, scale):
    return _scaled(call(c, torch.randn, list(shape), dtype=_drawn(c, dtype)), scale, mean)


@lower("RandomNormalLike", ignore=("seed",))
def random_normal_like(c, x, *, dtype, mean, scale):
    return _scaled(torch.randn_like(x, dtype=_drawn(c, dtype or c.dtype())), scale, mean)


@lower("RandomUniform", ignore=("seed",))
def random_uniform(c, *, shape, dtype, low, high):
    return _scaled(call(c, torch.rand, list(shape), dtype=_drawn(c, dtype)), high - low, low)


@lower("RandomUniformLike", ignore=("seed",))
def random_uniform_like(c, x, *, dtype, low, high):
    return _scaled(torch.rand_like(x, dtype=_drawn(c, dtype or c.dtype())), high - low, low)


@lower("Bernoulli", ignore=("seed",))
def bernoulli(c, probability, *, dtype):
    drawn = torch.bernoulli(probability)
    return drawn.to(dtype_of(ir.DataType(dtype))) if dtype and dtype != c.dtype() else drawn


@lower("Multinomial", ignore=("seed",))
def multinomial(c, logits, *, dtype, sample_size):
    """Indices drawn by weights that are given as logarithms, not necessarily of numbers that sum to 1."""
    drawn = torch.multinomial(F.softmax(logits.float(), 1), sample_size, replacement=True)
    return drawn if dtype == ir.DataType.INT64 else drawn.to(dtype_of(ir.DataType(dtype)))


@lower("Dropout", ignore=("seed",))
def dropout(c, x, ratio: Host = None, training: Host = None):
    if training is None or (isinstance(training, np.ndarray) and not host_scalar(training)):
        return (x, torch.ones_like(x, dtype=torch.bool)) if c.outputs > 1 else x
    rate = (
        0.5 if ratio is None else written(host_scalar(ratio)) if isinstance(ratio, np.ndarray) else ratio.reshape([])
    )
    if c.outputs == 1 and isinstance(rate, float) and isinstance(training, np.ndarray):
        return F.dropout(x, rate, True)
    on = True if isinstance(training, np.ndarray) else training.reshape([])
    kept = torch.rand_like(x, dtype=torch.float32) >= rate
    if on is not True:
        kept = torch.logical_or(kept, torch.logical_not(on))
        rate = torch.where(on, rate, 0.0)
    # divided by what is left, and by nothing where nothing is left
    y = in_float32(lambda v: torch.where(kept, v / (1 - rate), 0.0), x, dtype=c.dtype())
    y = y.to(dtype_of(c.dtype())) if c.dtype() not in HALVES else y
    return (y, kept) if c.outputs > 1 else y


def _scaled(x: Any, factor: float, offset: float) -> Any:
    x = x if factor == 1 else x * written(factor)
    return x if offset == 0 else x + written(offset)


def _drawn(c: Context, dtype: int) -> torch.dtype:
    wanted = ir.DataType(dtype)
    if wanted not in FLOATS | HALVES:
        c.refuse(f"PyTorch draws no random numbers of type {wanted.name.lower()}")
    return dtype_of(wanted)
