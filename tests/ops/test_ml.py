"""The operators of ai.onnx.ml against ONNX Runtime."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
from matrix import Node, agrees

from isthmus.errors import Unsupported

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

R = np.random.default_rng(4)


@pytest.fixture(autouse=True)
def seeded(request: pytest.FixtureRequest) -> None:
    """Every test draws the same numbers whatever ran before it."""
    R.bit_generator.state = np.random.default_rng(zlib.crc32(request.node.name.encode())).bit_generator.state


X = R.normal(size=(6, 3)).astype(np.float32)
FORMS = ["plain", "free"]
POSTS = ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"]
ML = "ai.onnx.ml"


def words(*values: Any) -> np.ndarray:
    return np.array(values, object)


def node(op: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Node:
    return Node(op, inputs, attributes, outputs, ML)


def floats(*shape: int) -> list[float]:
    return R.normal(size=shape).astype(np.float32).ravel().tolist()


CASES = {
    "scaler": node("Scaler", X, offset=[1.0, 2.0, 3.0], scale=[0.5, 2.0, 1.0]),
    "scaler-one": node("Scaler", X, offset=[1.0], scale=[0.5]),
    "scaler-int64": node("Scaler", np.arange(6).reshape(2, 3), offset=[1.0], scale=[0.5]),
    "normalizer-max": node("Normalizer", X * np.float32([[0], [1], [1], [-1], [1], [1]]), norm="MAX"),
    "normalizer-l1": node("Normalizer", X, norm="L1"),
    "normalizer-l2": node("Normalizer", X, norm="L2"),
    "normalizer-row": node("Normalizer", X[0], norm="L2"),
    "binarizer": node("Binarizer", X, threshold=0.3),
    "imputer-nan": node(
        "Imputer",
        np.where(X > 0, X, np.float32(np.nan)),
        imputed_value_floats=[1.0, 2.0, 3.0],
        replaced_value_float=float("nan"),
    ),
    "imputer": node("Imputer", np.round(X), imputed_value_floats=[9.0], replaced_value_float=0.0),
    "imputer-int64": node("Imputer", np.arange(6).reshape(2, 3), imputed_value_int64s=[7], replaced_value_int64=3),
    "label-string-int": node(
        "LabelEncoder", words("a", "é", "z"), keys_strings=["a", "é"], values_int64s=[3, 4], default_int64=-5
    ),
    "label-int-string": node(
        "LabelEncoder", np.array([[1], [9]]), keys_int64s=[9, 2], values_strings=["x", "y"], default_string="?"
    ),
    "label-float": node(
        "LabelEncoder", np.array([1.5, 7.0], np.float32), keys_floats=[1.5, 3.0], values_floats=[4.0, 5.0]
    ),
    "category-string": node("CategoryMapper", words("a", "q"), cats_strings=["a", "b"], cats_int64s=[5, 6]),
    "category-int": node("CategoryMapper", np.array([6, 7]), cats_strings=["a", "b"], cats_int64s=[5, 6]),
    "one-hot": node("OneHotEncoder", np.array([[1, 3], [2, 8]]), cats_int64s=[1, 2, 3]),
    "one-hot-text": node("OneHotEncoder", words("a", "x"), cats_strings=["x", "y"]),
    "one-hot-float": node("OneHotEncoder", np.array([1.0, 2.0], np.float32), cats_int64s=[2, 1]),
    "features": node("ArrayFeatureExtractor", X, np.array([2, 0])),
    "features-row": node("ArrayFeatureExtractor", X[0], np.array([[1]])),
    "features-text": node("ArrayFeatureExtractor", words(["a", "b"], ["c", "d"]), np.array([1])),
    "vectorizer": node("FeatureVectorizer", X, X[:, :2], inputdimensions=[3, 2]),
    "regressor": node("LinearRegressor", X, coefficients=floats(3), intercepts=[0.5]),
    "regressor-two": node("LinearRegressor", X, coefficients=floats(2, 3), intercepts=[0.5, -1.0], targets=2),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CASES)
def test_as_onnxruntime(name: str, form: str) -> None:
    agrees(CASES[name], form)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("post", POSTS)
@pytest.mark.parametrize("classes", [1, 2, 4])
@pytest.mark.parametrize("text", [False, True])
def test_linear_classifier(text: bool, classes: int, post: str, form: str) -> None:
    count = max(classes, 2)
    labels = {"classlabels_strings": list("abcd")[:count]} if text else {"classlabels_ints": [9, 5, 7, 1][:count]}
    weights = {"coefficients": floats(classes, 3), "intercepts": floats(classes), "post_transform": post}
    agrees(node("LinearClassifier", X, outputs=2, **labels, **weights), form)


KERNELS = {"LINEAR": [0.0, 0.0, 0.0], "POLY": [0.4, 0.3, 2.0], "RBF": [0.3, 0.0, 0.0], "SIGMOID": [0.2, 0.1, 0.0]}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("one_class", [0, 1])
def test_svm_regressor(one_class: int, kernel: str) -> None:
    attributes = {
        "kernel_type": kernel,
        "kernel_params": KERNELS[kernel],
        "n_supports": 4,
        "support_vectors": floats(4, 3),
        "coefficients": floats(4),
        "rho": [0.1],
        "one_class": one_class,
    }
    agrees(node("SVMRegressor", X, **attributes), "free")


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("post", POSTS)
@pytest.mark.parametrize("per_class", [(2, 3), (2, 1, 3), (1, 2, 2, 1)])
@pytest.mark.parametrize("likely", [False, True])
def test_svm_classifier(likely: bool, per_class: tuple[int, ...], post: str, kernel: str) -> None:
    count, classes = sum(per_class), len(per_class)
    pairs = classes * (classes - 1) // 2
    attributes = {
        "kernel_type": kernel,
        "kernel_params": KERNELS[kernel],
        "vectors_per_class": per_class,
        "support_vectors": floats(count, 3),
        # Of both signs: with two classes whose coefficients share one, ONNX Runtime and the specification differ.
        "coefficients": [abs(c) * (-1) ** i for i, c in enumerate(floats(classes - 1, count))],
        "rho": floats(pairs),
        "post_transform": post,
        "classlabels_ints": [4, 2, 8, 6][:classes],
    }
    if likely:
        attributes |= {"prob_a": floats(pairs), "prob_b": floats(pairs)}
    agrees(node("SVMClassifier", X, outputs=2, **attributes), "free", rtol=1e-4, atol=1e-5)


def test_linear_svm_classifier() -> None:
    weights = {
        "coefficients": floats(3, 3),
        "rho": [0.3],
        "classlabels_ints": [3, 4, 5],
        "kernel_type": "LINEAR",
        "kernel_params": [0.0, 0.0, 0.0],
    }
    agrees(node("SVMClassifier", X, outputs=2, **weights), "free")


MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]


def trees(count: int, depth: int, mode: str | None, missing: bool) -> tuple[dict[str, Any], list[tuple[int, int]]]:
    """Node attributes of full random trees, and their leaves as (tree, node)."""
    rows, leaves = [], []
    for tree in range(count):
        inner = 2**depth - 1
        for number in range(2 * inner + 1):
            leaf = number >= inner
            kind = "LEAF" if leaf else mode or MODES[R.integers(len(MODES))]
            split = float(np.round(R.normal(), 1))
            feature = int(R.integers(3))
            rows.append((tree, number, feature, split, kind, 2 * number + 1, 2 * number + 2, int(R.integers(2))))
            leaves += [(tree, number)] if leaf else []
    names = ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
    columns = dict(zip(names, zip(*rows, strict=True), strict=False))
    ends = [kind == "LEAF" for kind in columns["modes"]]
    for name in ("truenodeids", "falsenodeids"):
        columns[name] = [0 if end else i for i, end in zip(columns[name], ends, strict=True)]
    attributes = {f"nodes_{name}": list(values) for name, values in columns.items()}
    if missing:
        attributes["nodes_missing_value_tracks_true"] = [row[-1] for row in rows]
    return attributes, leaves


def rounded() -> np.ndarray:
    x = np.round(R.normal(size=(40, 3)), 1).astype(np.float32)
    x[::7, 1] = np.nan
    return x


@pytest.mark.parametrize("mode", [*MODES, None])
@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("aggregate", ["SUM", "AVERAGE", "MIN", "MAX"])
def test_tree_regressor(aggregate: str, targets: int, mode: str | None) -> None:
    attributes, leaves = trees(4, 3, mode, missing=mode is None)
    named = [(t, n, k) for t, n in leaves for k in range(targets)]
    attributes |= {
        "target_treeids": [t for t, _, _ in named],
        "target_nodeids": [n for _, n, _ in named],
        "target_ids": [k for _, _, k in named],
        "target_weights": floats(len(named)),
        "n_targets": targets,
        "aggregate_function": aggregate,
        "base_values": floats(targets),
    }
    agrees(node("TreeEnsembleRegressor", rounded(), **attributes), "free")


@pytest.mark.parametrize("post", POSTS)
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("text", [False, True])
def test_tree_classifier(text: bool, positive: bool, classes: int, post: str) -> None:
    attributes, leaves = trees(3, 4, None, missing=True)
    weights = floats(len(leaves))
    attributes |= {
        "class_treeids": [t for t, _ in leaves],
        "class_nodeids": [n for _, n in leaves],
        "class_ids": [0 if classes == 2 else int(R.integers(classes)) for _ in leaves],
        "class_weights": [abs(w) / 3 for w in weights] if positive else weights,
        "post_transform": post,
    }
    labels = {"classlabels_strings": list("xyz")[:classes]} if text else {"classlabels_int64s": [4, 2, 9][:classes]}
    agrees(node("TreeEnsembleClassifier", rounded(), outputs=2, **attributes, **labels), "free")


def test_a_deep_tree() -> None:
    """A chain of 40 branches: more than are unrolled."""
    depth = 40
    modes = ["BRANCH_GT", "LEAF"] * depth + ["LEAF"]
    numbers = range(len(modes))
    attributes = {
        "nodes_treeids": [0] * len(modes),
        "nodes_nodeids": list(numbers),
        "nodes_featureids": [0] * len(modes),
        "nodes_values": [i / 20 - 1 for i in numbers],
        "nodes_modes": modes,
        "nodes_truenodeids": [i + 2 if m != "LEAF" else 0 for i, m in enumerate(modes)],
        "nodes_falsenodeids": [i + 1 if m != "LEAF" else 0 for i, m in enumerate(modes)],
        "target_treeids": [0] * (depth + 1),
        "target_nodeids": [i for i, m in enumerate(modes) if m == "LEAF"],
        "target_ids": [0] * (depth + 1),
        "target_weights": floats(depth + 1),
        "n_targets": 1,
    }
    agrees(node("TreeEnsembleRegressor", R.normal(size=(30, 1)).astype(np.float32), **attributes), "free")


@pytest.mark.parametrize(
    "refused",
    [
        node("LinearClassifier", X, outputs=2, coefficients=[1.0] * 3, intercepts=[0.0], classlabels_ints=[1, 2],
             post_transform="PROBIT"),
        node("SVMRegressor", X, coefficients=[1.0] * 3, rho=[0.0], post_transform="LOGISTIC",
             kernel_type="LINEAR", kernel_params=[0.0] * 3),
        node("LabelEncoder", np.array([1]), keys_int64s=[1, 1], values_int64s=[5, 6]),
    ],
    ids=["probit", "transform", "repeated"],
)  # fmt: skip
def test_what_is_not_defined_is_refused(refused: Node) -> None:
    with pytest.raises(Unsupported, match="refuses"):
        agrees(refused, "plain")
