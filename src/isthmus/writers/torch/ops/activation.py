"""Activation functions, in the native kernel where its meaning is exactly ONNX's."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from isthmus.lower.contract import Lowerings
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import FLOATS, HALVES, WIDE_UNSIGNED
from isthmus.writers.torch.ops._numeric import in_double, written

table = Lowerings()
lower, alias = table.lower, table.alias

_SELU = (1.6732632423543772, 1.0507009873554805)
"""alpha and gamma of PyTorch's kernel, to more digits than the float32 attributes of ONNX hold."""

alias(
    HardSwish=F.hardswish,
    Mish=F.mish,
    Relu=torch.relu,
    Sigmoid=torch.sigmoid,
    Softplus=F.softplus,
    Softsign=F.softsign,
)


@lower("Softmax")
def softmax(x, *, axis):
    return torch.softmax(x, axis)


@lower("LogSoftmax")
def log_softmax(x, *, axis):
    return torch.log_softmax(x, axis)


@lower("Hardmax")
def hardmax(x, *, axis):
    return torch.zeros_like(x).scatter(axis, torch.argmax(x, axis, keepdim=True), 1.0)  # the first of equals


@lower("Gelu")
def gelu(x, *, approximate):
    return F.gelu(x) if approximate == "none" else F.gelu(x, approximate=approximate)


@lower("Elu")
def elu(x, *, alpha):
    return F.elu(x) if alpha == 1 else F.elu(x, written(alpha))


@lower("Selu")
def selu(x, *, alpha, gamma):
    if math.isclose(alpha, _SELU[0], rel_tol=1e-6) and math.isclose(gamma, _SELU[1], rel_tol=1e-6):
        return torch.selu(x)
    return written(gamma) * F.elu(x, written(alpha))


@lower("Celu")
def celu(x, *, alpha):
    return torch.celu(x) if alpha == 1 else torch.celu(x, written(alpha))


@lower("LeakyRelu")
def leaky_relu(x, *, alpha):
    return F.leaky_relu(x, written(alpha))


@lower("ThresholdedRelu")
def thresholded_relu(x, *, alpha):
    # F.threshold lets NaN through; ONNX gives 0 for what is not above the threshold
    return torch.where(x > written(alpha), x, 0.0)


@lower("PRelu")
def prelu(c, x, slope):
    if c.dtype() in WIDE_UNSIGNED:
        return x
    if c.dtype() in FLOATS | HALVES and _is_by_channel(c):
        return torch.prelu(x, slope.flatten())
    return torch.where(x < 0, x * slope, x)


@lower("HardSigmoid")
def hard_sigmoid(x, *, alpha, beta):
    if math.isclose(alpha, 1 / 6, rel_tol=1e-6) and beta == 0.5:
        return F.hardsigmoid(x)
    return torch.clamp(written(alpha) * x + written(beta), 0.0, 1.0)


@lower("Swish")
def swish(x, *, alpha):
    return F.silu(x) if alpha == 1 else x * torch.sigmoid(written(alpha) * x)


@lower("Shrink")
def shrink(c, x, *, bias, lambd):
    edge, moved = written(lambd), written(bias)

    def shrunk(v):
        # NaN is on neither side: ONNX gives 0 for it
        return torch.where(v < -edge, v + moved, torch.where(v > edge, v - moved, 0.0))

    return in_double(shrunk, x, dtype=c.dtype())


def _is_by_channel(c: Context) -> bool:
    """Whether the slope is one number, or one a channel: of shape (C, 1, …, 1) on a tensor N, C, …."""
    shape, slope = c.shape(0), c.shape(1)
    if all(d == 1 for d in slope):
        return len(slope) <= len(shape) and bool(shape)
    aligned = len(slope) == len(shape) - 1 and all(d == 1 for d in slope[1:])
    return aligned and isinstance(slope[0], int) and slope[0] == shape[1]
