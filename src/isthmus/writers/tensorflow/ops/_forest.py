"""Decision trees as constant tensors: every row walks down every tree at once, one level a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER", "LEAF")
_COMPARE = {
    "BRANCH_LEQ": tf.less_equal,
    "BRANCH_LT": tf.less,
    "BRANCH_GTE": tf.greater_equal,
    "BRANCH_GT": tf.greater,
    "BRANCH_EQ": tf.equal,
    "BRANCH_NEQ": tf.not_equal,
}
_UNROLLED = 24


@dataclass(frozen=True)
class Forest:
    """Nodes of all trees in one numbering; a leaf is its own successor.

    ``sets`` [nodes, width] holds each BRANCH_MEMBER node's set, filled with NaN. ``weights`` and ``present``
    [nodes, targets] are what a leaf adds, and whether it names the target at all.
    """

    roots: np.ndarray
    features: np.ndarray
    values: np.ndarray
    modes: np.ndarray
    true: np.ndarray
    false: np.ndarray
    nan_is_true: np.ndarray
    weights: np.ndarray
    present: np.ndarray
    sets: np.ndarray | None = None

    @property
    def is_leaf(self) -> np.ndarray:
        return self.modes == "LEAF"

    def depth(self) -> int:
        """How many branches the longest way down has. Raises ValueError where a way does not end."""
        level, front = 0, np.unique(self.roots)
        while (front := front[~self.is_leaf[front]]).size:
            level, front = level + 1, np.unique(np.concatenate([self.true[front], self.false[front]]))
            if level > len(self.modes):
                raise ValueError("a tree's branches go round in a circle")
        return level

    def leaves(self, x: tf.Tensor) -> tf.Tensor:
        """The leaf of each row of ``x`` [N, C] in each tree: [N, trees] int32, numbered as in ``leaf_weights``."""
        rows, trees, depth = tf.shape(x)[0], len(self.roots), self.depth()
        at = tf.broadcast_to(tf.constant(self.roots, tf.int32), tf.stack([rows, trees]))
        if depth <= _UNROLLED:
            for _ in range(depth):
                at = self._next(x, at)
        else:
            steps = tf.while_loop(lambda i, _: i < depth, lambda i, a: (i + 1, self._next(x, a)), (0, at))
            at = steps[1]
        number = np.cumsum(self.is_leaf) - 1
        return tf.gather(number.astype(np.int32), at)

    def _next(self, x: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
        given = tf.gather(x, tf.gather(self.features.astype(np.int32), at), axis=1, batch_dims=1)
        goes = self._goes(given, at)
        if self.nan_is_true.any():
            goes = goes | (tf.math.is_nan(given) & tf.gather(self.nan_is_true, at))
        return tf.where(goes, tf.gather(self.true.astype(np.int32), at), tf.gather(self.false.astype(np.int32), at))

    def _goes(self, given: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
        """Whether the branch at each node is taken."""
        limit = tf.gather(tf.constant(self.values, given.dtype), at)
        used = [m for m in MODES if m != "LEAF" and (self.modes == m).any()]
        if not used:
            return tf.ones_like(at, tf.bool)
        answers = [self._compared(mode, given, limit, at) for mode in used]
        answer = answers[0]
        for mode, other in zip(used[1:], answers[1:], strict=True):
            answer = tf.where(tf.gather(self.modes == mode, at), other, answer)
        return answer

    def _compared(self, mode: str, given: tf.Tensor, limit: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
        if mode != "BRANCH_MEMBER":
            return _COMPARE[mode](given, limit)
        return tf.reduce_any(given[..., None] == tf.gather(tf.constant(self.sets, given.dtype), at), axis=-1)

    def leaf_weights(self) -> np.ndarray:
        return self.weights[self.is_leaf]

    def leaf_present(self) -> np.ndarray:
        return self.present[self.is_leaf]


def forest_of_ids(nodes: dict[str, Any], weights: dict[str, Any], targets: int) -> Forest:
    """A forest whose nodes are named by (tree, node), as TreeEnsembleClassifier and -Regressor name them."""
    names = list(zip(nodes["treeids"], nodes["nodeids"], strict=True))
    place = {name: i for i, name in enumerate(names)}
    modes = np.array(nodes["modes"], object)
    here = np.arange(len(names))
    leaf = modes == "LEAF"

    def successors(ids: Any) -> np.ndarray:
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


def summed(leaves: tf.Tensor, table: np.ndarray) -> tf.Tensor:
    """The sum over trees [N, targets] of a table's rows."""
    return tf.reduce_sum(tf.gather(table, leaves), axis=1)
