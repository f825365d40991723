"""Tree ensembles of ai.onnx.ml.

Where ONNX Runtime departs from the specification (the label of two classes that are scored apart, the transform of a
single target), the operator is refused: one of both would see a wrong answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from isthmus.lower.contract import Lowerings
from isthmus.lower.forest import Forest, floats, forest_of_ids, forest_of_roots
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import dtype_of
from isthmus.writers.torch.ops._forest import leaves, summed
from isthmus.writers.torch.ops._scores import TRANSFORMS, labels_of, picked, row_of, rows_of, transformed

table = Lowerings()
ML = "ai.onnx.ml"
_HITRATES = ("nodes_hitrates", "nodes_hitrates_as_tensor")  # how often a node was visited in training
_AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")


@table.lower("TreeEnsembleRegressor", domain=ML, ignore=_HITRATES)
def tree_ensemble_regressor(
    c,
    x,
    *,
    aggregate_function,
    base_values,
    base_values_as_tensor,
    n_targets,
    nodes_falsenodeids,
    nodes_featureids,
    nodes_missing_value_tracks_true,
    nodes_modes,
    nodes_nodeids,
    nodes_treeids,
    nodes_truenodeids,
    nodes_values,
    nodes_values_as_tensor,
    post_transform,
    target_ids,
    target_nodeids,
    target_treeids,
    target_weights,
    target_weights_as_tensor,
):
    nodes = {
        "treeids": nodes_treeids,
        "nodeids": nodes_nodeids,
        "featureids": nodes_featureids,
        "values": floats(nodes_values, nodes_values_as_tensor),
        "modes": nodes_modes,
        "truenodeids": nodes_truenodeids,
        "falsenodeids": nodes_falsenodeids,
        "nan_is_true": nodes_missing_value_tracks_true,
    }
    weights = {
        "treeids": target_treeids,
        "nodeids": target_nodeids,
        "ids": target_ids,
        "values": floats(target_weights, target_weights_as_tensor),
    }
    forest = forest_of_ids(nodes, weights, n_targets)
    base = floats(base_values, base_values_as_tensor)
    return _regression(c, x, forest, base, aggregate_function, post_transform).to(torch.float32)


@table.lower("TreeEnsemble", domain=ML, ignore=("nodes_hitrates",))
def tree_ensemble(
    c,
    x,
    *,
    aggregate_function,
    leaf_targetids,
    leaf_weights,
    membership_values,
    n_targets,
    nodes_falseleafs,
    nodes_falsenodeids,
    nodes_featureids,
    nodes_missing_value_tracks_true,
    nodes_modes,
    nodes_splits,
    nodes_trueleafs,
    nodes_truenodeids,
    post_transform,
    tree_roots,
):
    nodes = {
        "featureids": nodes_featureids,
        "splits": nodes_splits,
        "modes": nodes_modes,
        "truenodeids": nodes_truenodeids,
        "falsenodeids": nodes_falsenodeids,
        "trueleafs": nodes_trueleafs,
        "falseleafs": nodes_falseleafs,
        "nan_is_true": nodes_missing_value_tracks_true,
        "membership": membership_values,
    }
    targets = n_targets or max(leaf_targetids) + 1
    forest = forest_of_roots(nodes, {"targetids": leaf_targetids, "weights": leaf_weights}, tree_roots, targets)
    aggregate, transform = _AGGREGATES[aggregate_function], TRANSFORMS[post_transform]
    return _regression(c, x, forest, None, aggregate, transform).to(dtype_of(c.dtype()))


def _computing_type(c: Context) -> tuple[torch.dtype, Any]:
    """PyTorch's and numpy's name of the type in which a node computes."""
    return (torch.float64, np.float64) if c.dtype() == ir.DataType.DOUBLE else (torch.float32, np.float32)


def _regression(c: Context, x: Any, forest: Forest, base: Any, aggregate: str, transform: str) -> Any:
    dtype, kind = _computing_type(c)
    weights, present = forest.leaf_weights().astype(kind), forest.leaf_present()
    targets = weights.shape[1]
    if targets == 1 and transform in ("LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"):
        c.refuse(f"post_transform {transform} of one target: ONNX asks for it, ONNX Runtime leaves it out")
    at = leaves(c, forest, rows_of(c, x, dtype), kind)
    named = None if present.all() else summed(c, at, present.astype(np.int32)) > 0
    if aggregate in ("MIN", "MAX"):
        beyond = np.where(present, weights, np.inf if aggregate == "MIN" else -np.inf).astype(kind)
        each = picked(c, beyond, at)
        scores = each.amin(1) if aggregate == "MIN" else each.amax(1)
        scores = scores if named is None else torch.where(named, scores, 0.0)
    else:
        scores = summed(c, at, weights)
        scores = scores / len(forest.roots) if aggregate == "AVERAGE" else scores
    if base is not None:
        # with several targets, one that no leaf names keeps 0
        shifted = scores + row_of(base, kind)
        scores = shifted if named is None or targets == 1 else torch.where(named, shifted, scores)
    return transformed(scores, transform)


@table.lower("TreeEnsembleClassifier", domain=ML, ignore=_HITRATES)
def tree_ensemble_classifier(
    c,
    x,
    *,
    base_values,
    base_values_as_tensor,
    class_ids,
    class_nodeids,
    class_treeids,
    class_weights,
    class_weights_as_tensor,
    classlabels_int64s,
    classlabels_strings,
    nodes_falsenodeids,
    nodes_featureids,
    nodes_missing_value_tracks_true,
    nodes_modes,
    nodes_nodeids,
    nodes_treeids,
    nodes_truenodeids,
    nodes_values,
    nodes_values_as_tensor,
    post_transform,
):
    nodes = {
        "treeids": nodes_treeids,
        "nodeids": nodes_nodeids,
        "featureids": nodes_featureids,
        "values": floats(nodes_values, nodes_values_as_tensor),
        "modes": nodes_modes,
        "truenodeids": nodes_truenodeids,
        "falsenodeids": nodes_falsenodeids,
        "nan_is_true": nodes_missing_value_tracks_true,
    }
    weights = {
        "treeids": class_treeids,
        "nodeids": class_nodeids,
        "ids": class_ids,
        "values": floats(class_weights, class_weights_as_tensor),
    }
    labels = labels_of(c, classlabels_int64s, classlabels_strings)
    forest = forest_of_ids(nodes, weights, len(labels))
    base = floats(base_values, base_values_as_tensor)
    dtype, kind = _computing_type(c)
    at = leaves(c, forest, rows_of(c, x, dtype), kind)
    if len(labels) <= 2:
        label, scores = _two(c, forest, at, base, post_transform, set(class_ids))
    else:
        label, scores = _many(c, forest, at, base, post_transform)
    return picked(c, labels, label), scores.to(torch.float32)


def _many(c: Context, forest: Forest, at: Any, base: Any, transform: str) -> Any:
    """(class number, scores) of three classes or more."""
    scores = rated = summed(c, at, forest.leaf_weights().astype(np.float32))
    if base is not None:
        if len(base) != forest.weights.shape[1]:
            c.refuse("it has neither no base values nor one a class")
        scores = rated = scores + row_of(base)
    elif not forest.leaf_present().all():  # a class that no leaf names cannot win
        named = summed(c, at, forest.leaf_present().astype(np.int32)) > 0
        rated = torch.where(named, scores, float(np.finfo(np.float32).min))
    return torch.argmax(rated, 1), transformed(scores, transform)


def _two(c: Context, forest: Forest, at: Any, base: Any, transform: str, classes: set[int]) -> Any:
    """(class number, scores) of two classes that share one score, which is the second one's."""
    if len(classes) != 1 or forest.weights.shape[1] != 2:
        c.refuse("two classes scored apart, or one alone: ONNX Runtime and the specification label them differently")
    (only,) = classes
    if transform == "PROBIT" or (base is not None and (only == 1 or len(base) != 1)):
        c.refuse("two classes share one score: this transform or these base values are not defined for it")
    score = summed(c, at, forest.leaf_weights()[:, only : only + 1].astype(np.float32))
    score = score if base is None else score + row_of(base)
    positive = bool((forest.leaf_weights() >= 0).all())
    label = (score[:, 0] > (0.5 if positive else 0.0)).to(torch.int64)
    if only == 1:
        return label, transformed(torch.cat([torch.zeros_like(score), score], 1), transform)
    if transform == "LOGISTIC":
        return label, torch.cat([torch.sigmoid(-score), torch.sigmoid(score)], 1)
    return label, torch.cat([1 - score if positive else -score, score], 1)
