"""Decision trees as constant tensors: every row walks down every tree at once, one level a step."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from isthmus.lower.forest import MODES, Forest

_COMPARE = {
    "BRANCH_LEQ": tf.less_equal,
    "BRANCH_LT": tf.less,
    "BRANCH_GTE": tf.greater_equal,
    "BRANCH_GT": tf.greater,
    "BRANCH_EQ": tf.equal,
    "BRANCH_NEQ": tf.not_equal,
}
_UNROLLED = 24


def leaves(forest: Forest, x: tf.Tensor) -> tf.Tensor:
    """The leaf of each row of ``x`` [N, C] in each tree: [N, trees] int32, numbered as in ``leaf_weights``."""
    rows, trees, depth = tf.shape(x)[0], len(forest.roots), forest.depth()
    at = tf.broadcast_to(tf.constant(forest.roots, tf.int32), tf.stack([rows, trees]))
    if depth <= _UNROLLED:
        for _ in range(depth):
            at = _next(forest, x, at)
    else:
        at = tf.while_loop(lambda i, _: i < depth, lambda i, a: (i + 1, _next(forest, x, a)), (0, at))[1]
    number = np.cumsum(forest.is_leaf) - 1
    return tf.gather(number.astype(np.int32), at)


def _next(forest: Forest, x: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    given = tf.gather(x, tf.gather(forest.features.astype(np.int32), at), axis=1, batch_dims=1)
    goes = _goes(forest, given, at)
    if forest.nan_is_true.any():
        goes = goes | (tf.math.is_nan(given) & tf.gather(forest.nan_is_true, at))
    return tf.where(goes, tf.gather(forest.true.astype(np.int32), at), tf.gather(forest.false.astype(np.int32), at))


def _goes(forest: Forest, given: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    """Whether the branch at each node is taken."""
    limit = tf.gather(tf.constant(forest.values, given.dtype), at)
    used = [mode for mode in MODES if mode != "LEAF" and (forest.modes == mode).any()]
    answers = [_compared(forest, mode, given, limit, at) for mode in used]
    answer = answers[0]
    for mode, other in zip(used[1:], answers[1:], strict=True):
        answer = tf.where(tf.gather(forest.modes == mode, at), other, answer)
    return answer


def _compared(forest: Forest, mode: str, given: tf.Tensor, limit: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    if mode != "BRANCH_MEMBER":
        return _COMPARE[mode](given, limit)
    return tf.reduce_any(given[..., None] == tf.gather(tf.constant(forest.sets, given.dtype), at), axis=-1)


def summed(at: tf.Tensor, rows: np.ndarray) -> tf.Tensor:
    """The sum over trees [N, targets] of a constant's rows."""
    return tf.reduce_sum(tf.gather(rows, at), axis=1)
