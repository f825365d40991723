"""Tree ensembles as arrays, and the operators' arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from isthmus.lower.ensembles import Classification, Regression, tree_lowerings
from isthmus.lower.forest import floats, forest_of_ids, forest_of_roots
from isthmus.lower.walk import Context, Refusal

# one tree of a root and two leaves, another of a single leaf
NODES: dict[str, Any] = {
    "treeids": (0, 0, 0, 1),
    "nodeids": (0, 1, 2, 0),
    "featureids": (1, 0, 0, 0),
    "values": np.float32([0.5, 0, 0, 0]),
    "modes": ("BRANCH_LEQ", "LEAF", "LEAF", "LEAF"),
    "truenodeids": (1, 0, 0, 0),
    "falsenodeids": (2, 0, 0, 0),
    "nan_is_true": None,
}
WEIGHTS = {"treeids": (0, 0, 1), "nodeids": (1, 2, 0), "ids": (0, 1, 1), "values": np.float32([2, 3, 4])}
ARGUMENTS: dict[str, Any] = {
    "base_values": None,
    "base_values_as_tensor": None,
    "nodes_falsenodeids": NODES["falsenodeids"],
    "nodes_featureids": NODES["featureids"],
    "nodes_missing_value_tracks_true": None,
    "nodes_modes": NODES["modes"],
    "nodes_nodeids": NODES["nodeids"],
    "nodes_treeids": NODES["treeids"],
    "nodes_truenodeids": NODES["truenodeids"],
    "nodes_values": (0.5, 0.0, 0.0, 0.0),
    "nodes_values_as_tensor": None,
    "post_transform": "NONE",
}
BODIES = {entry.op[1]: entry.body for entry in tree_lowerings(lambda c, x, task: task, lambda c, x, task: task)}


def gathered(op: str, prefix: str, ids: tuple[int, ...] = (0, 1, 1), **more: Any) -> Any:
    """The task that a target is given for the forest above."""
    context = Context(ir.node(op, [], domain="ai.onnx.ml"), None, ())  # type: ignore[arg-type]
    given = {
        f"{prefix}_ids": ids,
        f"{prefix}_nodeids": (1, 2, 0),
        f"{prefix}_treeids": (0, 0, 1),
        f"{prefix}_weights": (2.0, 3.0, 4.0),
        f"{prefix}_weights_as_tensor": None,
    }
    return BODIES[op](context, None, **{**ARGUMENTS, **given, **more})


def regression(**more: Any) -> Regression:
    return gathered("TreeEnsembleRegressor", "target", **{"aggregate_function": "SUM", "n_targets": 2, **more})


def classification(**more: Any) -> Classification:
    labels = {"classlabels_int64s": (7, 8, 9), "classlabels_strings": None}
    return gathered("TreeEnsembleClassifier", "class", **{**labels, **more})


def test_nodes_by_id():
    forest = forest_of_ids(NODES, WEIGHTS, 2)
    assert forest.roots.tolist() == [0, 3]
    assert forest.true.tolist() == [1, 1, 2, 3]
    assert forest.false.tolist() == [2, 1, 2, 3]
    assert forest.depth() == 1
    assert forest.leaf_weights().tolist() == [[2, 0], [0, 3], [0, 4]]
    assert forest.leaf_present().tolist() == [[True, False], [False, True], [False, True]]


def test_branches_before_leaves():
    nodes = {
        "featureids": (0, 1),
        "splits": np.float64([1.5, 2.5]),
        "modes": np.uint8([0, 6]),
        "truenodeids": (1, 0),
        "falsenodeids": (1, 1),
        "trueleafs": (0, 1),
        "falseleafs": (1, 1),
        "nan_is_true": (),
        "membership": np.float64([4, 5, np.nan]),
    }
    forest = forest_of_roots(nodes, {"targetids": (0, 0), "weights": np.float64([10, 20])}, (0,), 1)
    assert forest.modes.tolist() == ["BRANCH_LEQ", "BRANCH_MEMBER", "LEAF", "LEAF"]
    assert forest.true.tolist() == [1, 2, 2, 3]
    assert forest.false.tolist() == [3, 3, 2, 3]
    assert forest.depth() == 2
    assert not forest.nan_is_true.any()
    assert forest.sets is not None
    assert forest.sets[1].tolist() == [4, 5]


def test_a_circle_has_no_depth():
    nodes = {
        **NODES,
        "modes": ("BRANCH_LEQ", "BRANCH_LEQ", "LEAF", "LEAF"),
        "truenodeids": (1, 1, 0, 0),
        "falsenodeids": (2, 2, 0, 0),
    }
    with pytest.raises(ValueError, match="circle"):
        forest_of_ids(nodes, WEIGHTS, 2).depth()


def test_floats_prefer_the_tensor():
    assert floats(None, None) is None
    assert floats((1.0,), None).dtype == np.float32  # type: ignore[union-attr]
    assert floats((), np.float64([2])).dtype == np.float64  # type: ignore[union-attr]


def test_a_sum_is_of_weights_and_a_minimum_of_what_is_named():
    assert regression().leaf_table(np.float32).tolist() == [[2, 0], [0, 3], [0, 4]]
    least = regression(aggregate_function="MIN").leaf_table(np.float64)
    assert least.tolist() == [[2, np.inf], [np.inf, 3], [np.inf, 4]]


def test_a_transform_of_one_target_is_refused():
    with pytest.raises(Refusal, match="LOGISTIC of one target"):
        regression(n_targets=1, target_ids=(0, 0, 0), post_transform="LOGISTIC")


def test_three_classes_are_scored_apart():
    task = classification()
    assert task.only is None
    assert task.labels.tolist() == [7, 8, 9]
    assert task.forest.weights.shape == (4, 3)


def test_base_values_are_one_a_class():
    with pytest.raises(Refusal, match="one a class"):
        classification(base_values=(1.0,))


def test_two_classes_share_one_score():
    task = classification(classlabels_int64s=(7, 8), class_ids=(1, 1, 1))
    assert (task.only, task.positive, task.threshold) == (1, True, 0.5)
    signed = classification(classlabels_int64s=(7, 8), class_ids=(0, 0, 0), class_weights=(-1.0, 2.0, 3.0))
    assert (signed.only, signed.positive, signed.threshold) == (0, False, 0.0)


@pytest.mark.parametrize(
    "more", [{"class_ids": (0, 1, 1)}, {"class_ids": (0, 0, 0), "post_transform": "PROBIT"}], ids=["apart", "probit"]
)
def test_two_classes_that_are_defined_twice_are_refused(more: dict[str, Any]):
    with pytest.raises(Refusal, match="two classes"):
        classification(classlabels_int64s=(7, 8), **more)
