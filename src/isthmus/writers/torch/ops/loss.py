"""Losses over class scores."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F

from isthmus.lower.contract import Lowerings
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import HALVES, dtype_of
from isthmus.writers.torch.ops._numeric import in_float32

table = Lowerings()
lower, alias = table.lower, table.alias


@lower("NegativeLogLikelihoodLoss")
def negative_log_likelihood_loss(c, log_prob, target, weight=None, *, ignore_index, reduction):
    return _loss(c, log_prob, target, weight, ignore_index, reduction)


@lower("SoftmaxCrossEntropyLoss")
def softmax_cross_entropy_loss(c, scores, labels, weights=None, *, ignore_index, reduction):
    log_prob = in_float32(lambda v: F.log_softmax(v, 1), scores, dtype=c.dtype())
    loss = _loss(c, log_prob, labels, weights, ignore_index, reduction)
    return (loss, log_prob) if c.outputs > 1 else loss


def _loss(c: Context, log_prob: Any, target: Any, weight: Any, ignore_index: int | None, reduction: str) -> Any:
    """Minus the weighted log-probability of the target; ``log_prob`` is N, C, d…, ``target`` N, d…."""
    dtype = dtype_of(c.dtype())
    wide = log_prob.float() if c.dtype() in HALVES else log_prob
    if weight is not None:  # PyTorch has no gradient for it
        weight = weight.detach().float() if c.dtype() in HALVES else weight.detach()
    ignored = -100 if ignore_index is None else ignore_index
    loss = F.nll_loss(wide, target.long(), weight, ignore_index=ignored, reduction=reduction)
    return loss.to(dtype) if c.dtype() in HALVES else loss
