"""Tree ensembles of ai.onnx.ml.

Where ONNX Runtime departs from the specification (the label of two classes that are scored apart, the transform of a
single target), the operator is refused: one of both would see a wrong answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from isthmus.lower.contract import Lowerings
from isthmus.writers.tensorflow.ops._forest import MODES, Forest, forest_of_ids, summed
from isthmus.writers.tensorflow.ops._scores import TRANSFORMS, labels_of, rows_of, transformed

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
        "values": _floats(nodes_values, nodes_values_as_tensor),
        "modes": nodes_modes,
        "truenodeids": nodes_truenodeids,
        "falsenodeids": nodes_falsenodeids,
        "nan_is_true": nodes_missing_value_tracks_true,
    }
    weights = {
        "treeids": target_treeids,
        "nodeids": target_nodeids,
        "ids": target_ids,
        "values": _floats(target_weights, target_weights_as_tensor),
    }
    forest = forest_of_ids(nodes, weights, n_targets)
    base = _floats(base_values, base_values_as_tensor)
    return tf.cast(_regression(c, x, forest, base, aggregate_function, post_transform), tf.float32)


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
    """Branches come first in the numbering, leaves after them."""
    branches, leaves = len(nodes_modes), len(leaf_weights)

    def padded(values: Any, dtype: Any = np.int64) -> np.ndarray:
        return np.concatenate([np.asarray(values, dtype), np.zeros(leaves, dtype)])

    def successors(ids: Any, to_leaf: Any) -> np.ndarray:
        own = np.asarray(ids, np.int64) + branches * np.asarray(to_leaf, np.int64)
        return np.concatenate([own, np.arange(branches, branches + leaves)])

    targets = n_targets or max(leaf_targetids) + 1
    weights = np.zeros((branches + leaves, targets), np.asarray(leaf_weights).dtype)
    present = np.zeros_like(weights, bool)
    own = (np.arange(branches, branches + leaves), np.asarray(leaf_targetids))
    weights[own], present[own] = np.asarray(leaf_weights), True
    modes = np.array([MODES[m] for m in np.asarray(nodes_modes)] + ["LEAF"] * leaves, object)
    forest = Forest(
        roots=np.asarray(tree_roots, np.int64),
        features=padded(nodes_featureids),
        values=padded(nodes_splits, np.asarray(nodes_splits).dtype),
        modes=modes,
        true=successors(nodes_truenodeids, nodes_trueleafs),
        false=successors(nodes_falsenodeids, nodes_falseleafs),
        nan_is_true=padded(nodes_missing_value_tracks_true or np.zeros(branches), bool),
        weights=weights,
        present=present,
        sets=_sets(modes, membership_values),
    )
    aggregate, transform = _AGGREGATES[aggregate_function], TRANSFORMS[post_transform]
    return tf.cast(_regression(c, x, forest, None, aggregate, transform), x.dtype)


def _sets(modes: np.ndarray, values: Any) -> np.ndarray | None:
    """The sets of BRANCH_MEMBER nodes, which ``values`` lists in order, each ended by NaN."""
    members = np.flatnonzero(modes == "BRANCH_MEMBER")
    if not members.size:
        return None
    flat = np.asarray(values)
    ends = np.flatnonzero(np.isnan(flat))
    if len(ends) < len(members):
        ends = np.append(ends, len(flat))
    starts = np.append(0, ends[:-1] + 1)
    sets = np.full((len(modes), int((ends - starts).max())), np.nan, flat.dtype)
    for node, start, end in zip(members, starts, ends, strict=False):
        sets[node, : end - start] = flat[start:end]
    return sets


def _floats(plain: Any, tensor: Any) -> np.ndarray | None:
    if tensor is not None:
        return np.asarray(tensor)
    return None if plain is None else np.array(plain, np.float32)


def _computing_type(x: tf.Tensor) -> tf.DType:
    return tf.float64 if x.dtype == tf.float64 else tf.float32


def _regression(
    c: Any, x: tf.Tensor, forest: Forest, base: np.ndarray | None, aggregate: str, transform: str
) -> tf.Tensor:
    dtype = _computing_type(x)
    weights, present = forest.leaf_weights().astype(dtype.as_numpy_dtype), forest.leaf_present()
    targets = weights.shape[1]
    if targets == 1 and transform in ("LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"):
        c.refuse(f"post_transform {transform} of one target: ONNX asks for it, ONNX Runtime leaves it out")
    leaves = forest.leaves(rows_of(x, dtype))
    named = None if present.all() else summed(leaves, present.astype(np.int32)) > 0
    if aggregate in ("MIN", "MAX"):
        beyond = np.inf if aggregate == "MIN" else -np.inf
        reduce = tf.reduce_min if aggregate == "MIN" else tf.reduce_max
        scores = reduce(tf.gather(np.where(present, weights, beyond).astype(weights.dtype), leaves), axis=1)
        scores = scores if named is None else tf.where(named, scores, tf.zeros([], dtype))
    else:
        scores = summed(leaves, weights)
        scores = scores / len(forest.roots) if aggregate == "AVERAGE" else scores
    if base is not None:
        # with several targets, one that no leaf names keeps 0
        shifted = scores + base.astype(weights.dtype)
        scores = shifted if named is None or targets == 1 else tf.where(named, shifted, scores)
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
        "values": _floats(nodes_values, nodes_values_as_tensor),
        "modes": nodes_modes,
        "truenodeids": nodes_truenodeids,
        "falsenodeids": nodes_falsenodeids,
        "nan_is_true": nodes_missing_value_tracks_true,
    }
    weights = {
        "treeids": class_treeids,
        "nodeids": class_nodeids,
        "ids": class_ids,
        "values": _floats(class_weights, class_weights_as_tensor),
    }
    labels = labels_of(c, classlabels_int64s, classlabels_strings)
    forest = forest_of_ids(nodes, weights, int(labels.shape[0]))
    base = _floats(base_values, base_values_as_tensor)
    leaves = forest.leaves(rows_of(x, _computing_type(x)))
    if labels.shape[0] <= 2:
        label, scores = _two(c, forest, leaves, base, post_transform, set(class_ids))
    else:
        label, scores = _many(c, forest, leaves, base, post_transform)
    return tf.gather(labels, label), tf.cast(scores, tf.float32)


def _many(c: Any, forest: Forest, leaves: tf.Tensor, base: np.ndarray | None, transform: str) -> Any:
    """(class number, scores) of three classes or more."""
    scores = summed(leaves, forest.leaf_weights().astype(np.float32))
    rated = scores
    if base is not None:
        if len(base) != scores.shape[1]:
            c.refuse("it has neither no base values nor one a class")
        scores = rated = scores + base.astype(np.float32)
    elif not forest.leaf_present().all():  # a class that no leaf names cannot win
        named = summed(leaves, forest.leaf_present().astype(np.int32)) > 0
        rated = tf.where(named, scores, scores.dtype.min)
    return tf.argmax(rated, axis=1), transformed(scores, transform)


def _two(
    c: Any, forest: Forest, leaves: tf.Tensor, base: np.ndarray | None, transform: str, classes: set[int]
) -> Any:
    """(class number, scores) of two classes that share one score, which is the second one's."""
    if len(classes) != 1 or forest.weights.shape[1] != 2:
        c.refuse("two classes scored apart, or one alone: ONNX Runtime and the specification label them differently")
    (only,) = classes
    if transform == "PROBIT" or (base is not None and (only == 1 or len(base) != 1)):
        c.refuse("two classes share one score: this transform or these base values are not defined for it")
    score = summed(leaves, forest.leaf_weights()[:, only : only + 1].astype(np.float32))
    score = score if base is None else score + base.astype(np.float32)
    positive = bool((forest.leaf_weights() >= 0).all())
    label = tf.cast(score[:, 0] > (0.5 if positive else 0.0), tf.int32)
    if only == 1:
        return label, transformed(tf.concat([tf.zeros_like(score), score], axis=1), transform)
    if transform == "LOGISTIC":
        return label, tf.concat([tf.sigmoid(-score), tf.sigmoid(score)], axis=1)
    return label, tf.concat([1 - score if positive else -score, score], axis=1)
