"""What classifiers need before any tensor is computed."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from isthmus.lower.scores import class_labels, pair_sides, pair_weights, pairs_of
from isthmus.lower.walk import Context, Refusal


def context() -> Context:
    return Context(ir.node("LinearClassifier", [], domain="ai.onnx.ml"), None, ())  # type: ignore[arg-type]


def test_class_labels_are_ints_or_strings():
    assert class_labels(context(), [3, 5], None).tolist() == [3, 5]
    assert class_labels(context(), [3, 5], None).dtype == np.int64
    strings = class_labels(context(), None, ["a", "b"])
    assert strings.tolist() == ["a", "b"]
    assert strings.dtype == object


def test_no_class_labels_are_refused():
    with pytest.raises(Refusal, match="no class labels"):
        class_labels(context(), [], [])


def test_pairs_and_their_sides():
    assert pairs_of(3) == [(0, 1), (0, 2), (1, 2)]
    first, second = pair_sides(3)
    assert first.tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert second.tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 1]]


def test_one_class_has_no_pairs():
    assert [side.shape for side in pair_sides(1)] == [(0, 1), (0, 1)]


def test_vectors_weigh_by_the_row_of_the_other_class():
    # two rows of coefficients, one for each other class; classes own 1, 2 and 1 vectors
    weights = pair_weights([1, 2, 3, 4, 10, 20, 30, 40], [1, 2, 1])
    assert weights.tolist() == [[1, 10, 0], [2, 0, 20], [3, 0, 30], [0, 4, 40]]
