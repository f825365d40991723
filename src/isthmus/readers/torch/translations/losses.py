"""Losses with options that ONNX's own do not have."""

from __future__ import annotations

from typing import Any

import torch
from onnxscript import opset23 as op

from isthmus.readers.torch.translations.build import Value, ints, number, rank, reduced

aten = torch.ops.aten


def cross_entropy_loss(
    self: Value,
    target: Value,
    weight: Value = None,
    reduction: int = 1,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Value:
    """Cross entropy of logits [n, c, …] or [c] against classes or class probabilities, with label smoothing."""
    classes = 1 if rank(self) > 1 else 0
    probabilities = target.dtype.is_floating_point()
    if not probabilities and label_smoothing == 0.0 and rank(self) > 1:
        kind = ("none", "mean", "sum")[reduction]
        return op.SoftmaxCrossEntropyLoss(self, target, weight, reduction=kind, ignore_index=ignore_index)[0]
    logs = op.LogSoftmax(self, axis=classes)
    count = op.Shape(self, start=classes, end=classes + 1)
    along = None if weight is None else _along(weight, self, classes)
    weighted = logs if along is None else op.Mul(logs, along)
    if probabilities:
        share = op.CastLike(count, self)
        smooth = op.Add(
            op.Mul(target, number(1 - label_smoothing, self)), op.Div(number(label_smoothing, self), share)
        )
        loss = op.Neg(op.ReduceSum(op.Mul(weighted, smooth), ints(classes), keepdims=0))
        if reduction != 1 or rank(self) == 1:
            return reduced(2 if rank(self) == 1 else reduction, loss)
        items = op.CastLike(op.Size(loss), self)
        return op.Div(op.ReduceSum(loss, keepdims=0), items)
    valid = op.Not(op.Equal(target, number(ignore_index, target)))
    safe = op.Where(valid, target, number(0, target))
    chosen = op.Unsqueeze(safe, ints(classes))
    kept = op.CastLike(valid, self)
    hit = op.Neg(op.Squeeze(op.GatherElements(weighted, chosen, axis=classes), ints(classes)))
    spread = op.Neg(op.ReduceSum(weighted, ints(classes), keepdims=0))
    spread = op.Div(spread, op.Squeeze(op.CastLike(count, self), ints(0)))
    loss = op.Add(op.Mul(hit, number(1 - label_smoothing, self)), op.Mul(spread, number(label_smoothing, self)))
    loss = op.Mul(loss, kept)
    if reduction != 1:
        return reduced(reduction, loss)
    shares = kept if weight is None else op.Mul(op.Gather(weight, safe), kept)
    return op.Div(op.ReduceSum(loss, keepdims=0), op.ReduceSum(shares, keepdims=0))


def _along(weight: Value, x: Value, axis: int) -> Value:
    after = rank(x) - axis - 1
    return op.Unsqueeze(weight, ints(*range(1, after + 1))) if after else weight


TRANSLATIONS: dict[Any, Any] = {aten.cross_entropy_loss.default: cross_entropy_loss}
