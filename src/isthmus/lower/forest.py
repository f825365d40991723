"""Tree ensembles of ai.onnx.ml as plain arrays: what every target's lowering starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER", "LEAF")
"""How a node decides, in the order of TreeEnsemble's integer attribute."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Forest:
    """Nodes of all trees in one numbering; a leaf is its own successor.

    ``sets`` [nodes, width] holds each BRANCH_MEMBER node's set, filled with NaN. ``weights`` and ``present``
    [nodes, targets] are what a leaf adds, and whether it names the target at all.
    """

    roots: Array
    features: Array
    values: Array
    modes: Array
    true: Array
    false: Array
    nan_is_true: Array
    weights: Array
    present: Array
    sets: Array | None = None

    @property
    def is_leaf(self) -> Array:
        return np.asarray(self.modes == "LEAF")

    def depth(self) -> int:
        """How many branches the longest way down has. Raises ValueError where a way does not end."""
        level, front = 0, np.unique(self.roots)
        while (front := front[~self.is_leaf[front]]).size:
            level, front = level + 1, np.unique(np.concatenate([self.true[front], self.false[front]]))
            if level > len(self.modes):
                raise ValueError("a tree's branches go round in a circle")
        return level

    def leaf_weights(self) -> Array:
        """[leaves, targets], in the numbering of the leaves alone."""
        return np.asarray(self.weights[self.is_leaf])

    def leaf_present(self) -> Array:
        """[leaves, targets] bool, in the numbering of the leaves alone."""
        return np.asarray(self.present[self.is_leaf])


def floats(plain: Any, tensor: Any) -> Array | None:
    """An attribute that is given as floats, or as a tensor of another type."""
    if tensor is not None:
        return np.asarray(tensor)
    return None if plain is None else np.array(plain, np.float32)


def forest_of_ids(nodes: Mapping[str, Any], weights: Mapping[str, Any], targets: int) -> Forest:
    """A forest whose nodes are named by (tree, node), as TreeEnsembleClassifier and -Regressor name them."""
    names = list(zip(nodes["treeids"], nodes["nodeids"], strict=True))
    place = {name: i for i, name in enumerate(names)}
    modes = np.array(nodes["modes"], object)
    here = np.arange(len(names))
    leaf = modes == "LEAF"

    def successors(ids: Any) -> Array:
        return np.array([i if leaf[i] else place[(names[i][0], ids[i])] for i in here], np.int64)

    true, false = successors(nodes["truenodeids"]), successors(nodes["falsenodeids"])
    inner = np.union1d(true[~leaf], false[~leaf])
    table = np.zeros((len(names), targets), weights["values"].dtype)
    present = np.zeros((len(names), targets), bool)
    for tree, node, target, weight in zip(
        weights["treeids"], weights["nodeids"], weights["ids"], weights["values"], strict=True
    ):
        table[place[(tree, node)], target] += weight
        present[place[(tree, node)], target] = True
    tracks = nodes["nan_is_true"]
    return Forest(
        roots=np.setdiff1d(here, inner),
        features=np.array(nodes["featureids"], np.int64),
        values=nodes["values"],
        modes=modes,
        true=true,
        false=false,
        nan_is_true=np.zeros(len(names), bool) if tracks is None else np.array(tracks, bool),
        weights=table,
        present=present,
    )


def forest_of_roots(nodes: Mapping[str, Any], leaves: Mapping[str, Any], roots: Any, targets: int) -> Forest:
    """A forest as TreeEnsemble has it: branches come first in the numbering, leaves after them."""
    branches, count = len(nodes["modes"]), len(leaves["weights"])

    def padded(values: Any, dtype: Any = np.int64) -> Array:
        return np.concatenate([np.asarray(values, dtype), np.zeros(count, dtype)])

    own = np.arange(branches, branches + count)

    def successors(ids: Any, to_leaf: Any) -> Array:
        return np.concatenate([np.asarray(ids, np.int64) + branches * np.asarray(to_leaf, np.int64), own])

    weights = np.zeros((branches + count, targets), np.asarray(leaves["weights"]).dtype)
    present = np.zeros_like(weights, bool)
    at = (own, np.asarray(leaves["targetids"]))
    weights[at], present[at] = np.asarray(leaves["weights"]), True
    modes = np.array([MODES[m] for m in np.asarray(nodes["modes"])] + ["LEAF"] * count, object)
    tracks = nodes["nan_is_true"]
    return Forest(
        roots=np.asarray(roots, np.int64),
        features=padded(nodes["featureids"]),
        values=padded(nodes["splits"], np.asarray(nodes["splits"]).dtype),
        modes=modes,
        true=successors(nodes["truenodeids"], nodes["trueleafs"]),
        false=successors(nodes["falsenodeids"], nodes["falseleafs"]),
        nan_is_true=padded(tracks if tracks else np.zeros(branches), bool),
        weights=weights,
        present=present,
        sets=_sets(modes, nodes["membership"]),
    )


def _sets(modes: Array, values: Any) -> Array | None:
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
