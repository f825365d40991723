"""Tree ensembles of ai.onnx.ml."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from isthmus.lower.ensembles import Classification, Regression, tree_lowerings
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import dtype_of
from isthmus.writers.torch.ops._forest import leaves, summed
from isthmus.writers.torch.ops._scores import numbers, picked, row_of, rows_of, transformed


def _computing_type(c: Context) -> tuple[torch.dtype, Any]:
    """PyTorch's and numpy's name of the type in which a node computes."""
    return (torch.float64, np.float64) if c.dtype() == ir.DataType.DOUBLE else (torch.float32, np.float32)


def _regression(c: Context, x: Any, task: Regression) -> Any:
    dtype, kind = _computing_type(c)
    rows, present = task.leaf_table(kind), task.forest.leaf_present()
    at = leaves(c, task.forest, rows_of(c, x, dtype), kind)
    named = None if present.all() else summed(c, at, present.astype(np.int32)) > 0
    if task.aggregate in ("MIN", "MAX"):
        each = picked(c, rows, at)
        scores = each.amin(1) if task.aggregate == "MIN" else each.amax(1)
        scores = scores if named is None else torch.where(named, scores, 0.0)
    else:
        scores = summed(c, at, rows)
        scores = scores / len(task.forest.roots) if task.aggregate == "AVERAGE" else scores
    if task.base is not None:
        # with several targets, one that no leaf names keeps 0
        shifted = scores + row_of(task.base, kind)
        scores = shifted if named is None or rows.shape[1] == 1 else torch.where(named, shifted, scores)
    return transformed(scores, task.transform).to(dtype_of(task.dtype))


def _classification(c: Context, x: Any, task: Classification) -> Any:
    labels, (dtype, kind) = numbers(c, task.labels), _computing_type(c)
    at = leaves(c, task.forest, rows_of(c, x, dtype), kind)
    label, scores = _many(c, at, task) if task.only is None else _two(c, at, task, task.only)
    return picked(c, labels, label), scores.to(torch.float32)


def _many(c: Context, at: Any, task: Classification) -> Any:
    """(class number, scores) of three classes or more."""
    scores = rated = summed(c, at, task.forest.leaf_weights().astype(np.float32))
    if task.base is not None:
        scores = rated = scores + row_of(task.base)
    elif not task.forest.leaf_present().all():  # a class that no leaf names cannot win
        named = summed(c, at, task.forest.leaf_present().astype(np.int32)) > 0
        rated = torch.where(named, scores, float(np.finfo(np.float32).min))
    return torch.argmax(rated, 1), transformed(scores, task.transform)


def _two(c: Context, at: Any, task: Classification, only: int) -> Any:
    """(class number, scores) of two classes that share one score, which is the second one's."""
    score = summed(c, at, task.forest.leaf_weights()[:, only : only + 1].astype(np.float32))
    score = score if task.base is None else score + row_of(task.base)
    label = (score[:, 0] > task.threshold).to(torch.int64)
    if only == 1:
        return label, transformed(torch.cat([torch.zeros_like(score), score], 1), task.transform)
    if task.transform == "LOGISTIC":
        return label, torch.cat([torch.sigmoid(-score), torch.sigmoid(score)], 1)
    return label, torch.cat([1 - score if task.positive else -score, score], 1)


table = tree_lowerings(_regression, _classification)
