"""What the classifiers and regressors of ai.onnx.ml share: post-transforms, class labels, a batch as a matrix."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import torch

from isthmus.lower.scores import class_labels
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import call


def rows_of(c: Context, x: Any, dtype: torch.dtype = torch.float32) -> Any:
    """[N, C] or one row [C] as a matrix of ``dtype``."""
    x = x.to(dtype)
    return x.unsqueeze(0) if c.rank() == 1 else x


def picked(c: Context, rows: np.ndarray, at: Any) -> Any:
    """The rows of a constant at the indices ``at``: their shape, then that of a row."""
    return call(c, operator.getitem, torch.from_numpy(np.array(rows, order="C")), at)


def row_of(values: Any, dtype: Any = np.float32) -> Any:
    """Numbers known at conversion as a vector."""
    return torch.from_numpy(np.array(values, dtype))


def transformed(scores: Any, transform: str) -> Any:
    """Scores [N, E] after ``post_transform``."""
    if transform == "LOGISTIC":
        return torch.sigmoid(scores)
    if transform == "SOFTMAX":
        return torch.softmax(scores, -1)
    if transform == "SOFTMAX_ZERO":  # zeros stay (nearly) zero, the others share the rest
        top = scores.amax(-1, keepdim=True)
        nonzero = torch.abs(scores) > 1e-7
        powers = torch.where(nonzero, torch.exp(scores - top), scores * torch.exp(-top))
        total = torch.where(nonzero, powers, 0.0).sum(-1, keepdim=True)
        return powers / torch.where(total > 0, total, 1.0)
    return _probit(scores) if transform == "PROBIT" else scores


def _probit(p: Any) -> Any:
    """The normal quantile by Winitzki's formula, which ONNX's reference and ONNX Runtime share (error 2e-3)."""
    x = 2 * p - 1
    log = torch.log((1 - x) * (1 + x))
    v = 2 / (math.pi * 0.147) + 0.5 * log
    root = torch.sqrt(-v + torch.sqrt(v * v - log / 0.147))
    return math.sqrt(2) * torch.where(x < 0, -root, root)


def two_classes(score: Any, transform: str) -> Any:
    """Scores [N, 2] of two classes out of the second one's [N, 1]."""
    if transform == "LOGISTIC":
        return torch.cat([torch.sigmoid(-score), torch.sigmoid(score)], 1)
    return torch.cat([1 - score, score], 1)


def labels_of(c: Context, ints: Any, strings: Any) -> np.ndarray:
    """The class labels, int64."""
    return numbers(c, class_labels(c, ints, strings))


def numbers(c: Context, labels: np.ndarray) -> np.ndarray:
    """Class labels that are no strings."""
    if labels.dtype == object:
        c.refuse("PyTorch has no string tensors, and its class labels are strings")
    return labels
