"""The tree ensembles of ai.onnx.ml: their arguments are gathered and judged here, once for every target.

Where ONNX Runtime departs from the specification (the label of two classes that are scored apart, the transform of a
single target), the operator is refused: one of both would see a wrong answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from isthmus.lower.contract import Lowerings
from isthmus.lower.forest import Array, Forest, floats, forest_of_ids, forest_of_roots
from isthmus.lower.scores import ML, TRANSFORMS, class_labels
from isthmus.lower.walk import Context

AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
"""In the order of TreeEnsemble's integer attribute."""
_HITRATES = ("nodes_hitrates", "nodes_hitrates_as_tensor")  # how often a node was visited in training


@dataclass(frozen=True)
class Regression:
    """Scores [N, targets] of ``dtype``: the leaves' weights aggregated over trees, ``base`` added, transformed."""

    forest: Forest
    base: Array | None
    aggregate: str
    transform: str
    dtype: ir.DataType

    def leaf_table(self, dtype: Any) -> Array:
        """[leaves, targets] of ``dtype``: what a leaf gives, or what cannot win where a MIN or MAX has nothing."""
        weights = self.forest.leaf_weights().astype(dtype)
        if self.aggregate not in ("MIN", "MAX"):
            return weights
        beyond = np.inf if self.aggregate == "MIN" else -np.inf
        return np.where(self.forest.leaf_present(), weights, beyond).astype(dtype)


@dataclass(frozen=True)
class Classification:
    """The best label of each row and the scores [N, classes], float32.

    Two classes share one score, summed from the weights of class ``only``; with more classes, that is None.
    """

    forest: Forest
    base: Array | None
    transform: str
    labels: Array
    only: int | None

    @property
    def positive(self) -> bool:
        """Whether no weight is negative: the shared score of two classes is then a chance."""
        return bool((self.forest.leaf_weights() >= 0).all())

    @property
    def threshold(self) -> float:
        """The shared score of two classes above which the second one wins."""
        return 0.5 if self.positive else 0.0


Regress = Callable[[Context, Any, Regression], Any]
"""The scores of the rows of X."""
Classify = Callable[[Context, Any, Classification], Any]
"""The labels of the rows of X, and their scores."""


def tree_lowerings(regress: Regress, classify: Classify) -> Lowerings:
    """The tree ensembles of a target that can compute the two tasks."""
    table = Lowerings()

    @table.lower("TreeEnsembleRegressor", domain=ML, ignore=_HITRATES)
    def tree_ensemble_regressor(
        c: Context,
        x: Any,
        *,
        aggregate_function: Any,
        base_values: Any,
        base_values_as_tensor: Any,
        n_targets: Any,
        nodes_falsenodeids: Any,
        nodes_featureids: Any,
        nodes_missing_value_tracks_true: Any,
        nodes_modes: Any,
        nodes_nodeids: Any,
        nodes_treeids: Any,
        nodes_truenodeids: Any,
        nodes_values: Any,
        nodes_values_as_tensor: Any,
        post_transform: Any,
        target_ids: Any,
        target_nodeids: Any,
        target_treeids: Any,
        target_weights: Any,
        target_weights_as_tensor: Any,
    ) -> Any:
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
        base = floats(base_values, base_values_as_tensor)
        forest = forest_of_ids(nodes, weights, n_targets)
        task = Regression(forest, base, aggregate_function, post_transform, ir.DataType.FLOAT)
        return regress(c, x, _judged(c, task))

    @table.lower("TreeEnsemble", domain=ML, ignore=("nodes_hitrates",))
    def tree_ensemble(
        c: Context,
        x: Any,
        *,
        aggregate_function: Any,
        leaf_targetids: Any,
        leaf_weights: Any,
        membership_values: Any,
        n_targets: Any,
        nodes_falseleafs: Any,
        nodes_falsenodeids: Any,
        nodes_featureids: Any,
        nodes_missing_value_tracks_true: Any,
        nodes_modes: Any,
        nodes_splits: Any,
        nodes_trueleafs: Any,
        nodes_truenodeids: Any,
        post_transform: Any,
        tree_roots: Any,
    ) -> Any:
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
        task = Regression(forest, None, AGGREGATES[aggregate_function], TRANSFORMS[post_transform], c.dtype())
        return regress(c, x, _judged(c, task))

    @table.lower("TreeEnsembleClassifier", domain=ML, ignore=_HITRATES)
    def tree_ensemble_classifier(
        c: Context,
        x: Any,
        *,
        base_values: Any,
        base_values_as_tensor: Any,
        class_ids: Any,
        class_nodeids: Any,
        class_treeids: Any,
        class_weights: Any,
        class_weights_as_tensor: Any,
        classlabels_int64s: Any,
        classlabels_strings: Any,
        nodes_falsenodeids: Any,
        nodes_featureids: Any,
        nodes_missing_value_tracks_true: Any,
        nodes_modes: Any,
        nodes_nodeids: Any,
        nodes_treeids: Any,
        nodes_truenodeids: Any,
        nodes_values: Any,
        nodes_values_as_tensor: Any,
        post_transform: Any,
    ) -> Any:
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
        labels = class_labels(c, classlabels_int64s, classlabels_strings)
        forest = forest_of_ids(nodes, weights, len(labels))
        base = floats(base_values, base_values_as_tensor)
        only = _only_class(c, set(class_ids), len(labels), base, post_transform) if len(labels) <= 2 else None
        if only is None and base is not None and len(base) != len(labels):
            c.refuse("it has neither no base values nor one a class")
        return classify(c, x, Classification(forest, base, post_transform, labels, only))

    return table


def _judged(c: Context, task: Regression) -> Regression:
    if task.forest.weights.shape[1] == 1 and task.transform in ("LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"):
        c.refuse(f"post_transform {task.transform} of one target: ONNX asks for it, ONNX Runtime leaves it out")
    return task


def _only_class(c: Context, named: Collection[int], labels: int, base: Array | None, transform: str) -> int:
    """The one class that the leaves name, of two that share a score."""
    if len(named) != 1 or labels != 2:
        c.refuse("two classes scored apart, or one alone: ONNX Runtime and the specification label them differently")
    (only,) = named
    if transform == "PROBIT" or (base is not None and (only == 1 or len(base) != 1)):
        c.refuse("two classes share one score: this transform or these base values are not defined for it")
    return only
