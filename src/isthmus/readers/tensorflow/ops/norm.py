"""Normalization."""

from __future__ import annotations

from isthmus.readers.tensorflow.contract import Reads
from isthmus.readers.tensorflow.ops._activations import relu6
from isthmus.readers.tensorflow.ops._images import Format

table = Reads()
read = table.read


@read("FusedBatchNorm", "FusedBatchNormV2")
def batch_norm(op, c, x, scale, offset, mean, variance, *, epsilon, exponential_avg_factor, data_format, is_training):
    form = Format.of(c, data_format, 4)
    operands = (scale, offset, mean, variance)
    return _batch_norm(op, c, x, operands, form, epsilon, exponential_avg_factor, is_training)


@read("FusedBatchNormV3")
def batch_norm_v3(
    op, c, x, scale, offset, mean, variance, *, epsilon, exponential_avg_factor, data_format, is_training
):
    form = Format.of(c, data_format, len(data_format))
    operands = (scale, offset, mean, variance)
    found = _batch_norm(op, c, x, operands, form, epsilon, exponential_avg_factor, is_training)
    return *found, _reserved(op, c)


@read("_FusedBatchNormEx", ignore=("num_side_inputs",))
def fused_batch_norm(
    op,
    c,
    x,
    scale,
    offset,
    mean,
    variance,
    side_input,
    *,
    epsilon,
    exponential_avg_factor,
    activation_mode,
    data_format,
    is_training,
):
    form = Format.of(c, data_format, 4)
    operands = (scale, offset, mean, variance)
    y, *rest = _batch_norm(op, c, x, operands, form, epsilon, exponential_avg_factor, is_training)
    for value in side_input:
        y = op.Add(y, value)
    if activation_mode not in ("Identity", "Relu", "Relu6"):
        c.refuse(f"{activation_mode} is fused into it, which is not known")
    y = {"Identity": lambda y: y, "Relu": op.Relu, "Relu6": lambda y: relu6(op, y)}[activation_mode](y)
    return y, *rest, _reserved(op, c)


def _reserved(op, c):
    """What only the gradient of a device reads; empty on a CPU."""
    if c.node.outputs[5].consumers():
        c.refuse("what it reserves for its gradient is used")
    return op.constant([], c.output_dtype(5))


def _batch_norm(op, c, x, operands, form, epsilon, momentum, is_training):
    scale, offset, mean, variance = operands
    if not is_training:
        y = op.BatchNormalization(form.to_first(op, x), scale, offset, mean, variance, epsilon=epsilon)
        return form.from_first(op, y), *(op.Identity(value) for value in (mean, variance, mean, variance))
    return _of_this_batch(op, c, form.to_first(op, x), operands, form, epsilon, momentum)


def _of_this_batch(op, c, x, operands, form, epsilon, momentum):
    """By the statistics of the batch; the variance that is handed on is the unbiased one."""
    scale, offset, mean, variance = operands
    axes = [0, *range(2, form.rank)]
    wide = x if x.dtype == scale.dtype else op.Cast(x, to=scale.dtype)
    center = op.ReduceMean(wide, axes, keepdims=1)
    spread = op.ReduceMean(op.Mul(apart := op.Sub(wide, center), apart), axes, keepdims=1)
    factor, shift = (op.Unsqueeze(v, list(range(1, form.rank - 1))) for v in (scale, offset))
    y = op.Add(op.Mul(op.Div(apart, op.Sqrt(op.Add(spread, epsilon))), factor), shift)
    y = form.from_first(op, y if x.dtype == scale.dtype else op.Cast(y, to=x.dtype))
    center, spread = (op.Reshape(v, [-1]) for v in (center, spread))
    count = op.Div(op.Cast(op.Size(x), to=scale.dtype), op.Cast(op.Shape(x, start=1, end=2), to=scale.dtype))
    unbiased = op.Div(op.Mul(spread, count), op.Max(op.Sub(count, 1), op.constant(1, scale.dtype)))
    moved = [_moved(op, new, old, momentum) for new, old in ((center, mean), (unbiased, variance))]
    return y, *moved, center, op.Identity(spread)


def _moved(op, new, old, momentum):
    return op.Identity(new) if momentum == 1 else op.Add(op.Mul(new, momentum), op.Mul(old, 1 - momentum))


@read("LRN")
def lrn(op, x, *, depth_radius, bias, alpha, beta):
    """ONNX divides alpha by the size of the window, TensorFlow does not."""
    form, size = Format(4, last=True), 2 * depth_radius + 1
    found = op.LRN(form.to_first(op, x), size=size, bias=bias, alpha=alpha * size, beta=beta)
    return form.from_first(op, found)


@read("L2Loss")
def l2_loss(op, x):
    return op.Mul(op.ReduceSumSquare(x, keepdims=0), 0.5)
