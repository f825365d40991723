"""What the classifiers and regressors of ai.onnx.ml have in common before any tensor is computed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from isthmus.lower.walk import Context

ML = "ai.onnx.ml"
TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
"""What becomes of scores at last, in the order of TreeEnsemble's integer attribute."""

Array = np.ndarray[Any, Any]


def class_labels(c: Context, ints: Sequence[int] | None, strings: Sequence[str] | None) -> Array:
    """The class labels: int64, or an object array of strings, which come first where both are given."""
    if strings:
        return np.array(list(strings), object)
    if not ints:
        c.refuse("it names no class labels")
    return np.array(ints, np.int64)


def pairs_of(classes: int) -> list[tuple[int, int]]:
    """The pairs of classes that SVMClassifier decides between, in the order of its decisions."""
    return list(itertools.combinations(range(classes), 2))


def pair_sides(classes: int) -> tuple[Array, Array]:
    """[pairs, classes] float32: which class is the first of each pair, and which is the second."""
    eye, pairs = np.eye(classes, dtype=np.float32), np.array(pairs_of(classes), np.int64).reshape(-1, 2)
    return eye[pairs[:, 0]], eye[pairs[:, 1]]


def pair_weights(coefficients: Sequence[float], per_class: Sequence[int]) -> Array:
    """[vectors, pairs] float32: of the pair (i, j), class i's vectors weigh by row j-1 and class j's by row i."""
    rows = np.array(coefficients, np.float32).reshape(len(per_class) - 1, sum(per_class))
    owner = np.repeat(np.arange(len(per_class)), per_class)
    columns = [
        np.where(owner == i, rows[j - 1], np.where(owner == j, rows[i], 0)) for i, j in pairs_of(len(per_class))
    ]
    return np.stack(columns, axis=1).astype(np.float32)
