"""Strings against ONNX Runtime."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from matrix import FORMS, Node, agrees

from isthmus.errors import Unsupported

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]


def words(*values: Any) -> np.ndarray:
    return np.array(values, object)


TEXT = words(" a b  c ", "", "x", "a,,b,", "é,ü")

CASES = {
    "concat": Node("StringConcat", [words("a", "é"), words("b", "c")]),
    "concat-broadcast": Node("StringConcat", [words(["a"], ["b"]), words("x", "y", "")]),
    "regex": Node("RegexFullMatch", [words("ab1", "ab", "", "AB1")], {"pattern": r"[a-z]+\d"}),
    "regex-empty": Node("RegexFullMatch", [words("ab1", "")], {"pattern": ""}),
    "equal": Node("Equal", [words("a", "b"), words("a", "c")]),
    "normalize": Node("StringNormalizer", [words("a", "b")]),
    "stop": Node("StringNormalizer", [words("A", "b", "c")], {"stopwords": ["a", "c"], "is_case_sensitive": 1}),
    "stop-all": Node("StringNormalizer", [words("a", "a")], {"stopwords": ["a"], "is_case_sensitive": 1}),
}


@pytest.mark.parametrize("form", ["plain", "free"])
@pytest.mark.parametrize("name", CASES)
def test_as_onnxruntime(name: str, form: str) -> None:
    agrees(CASES[name], form)


CASED = [
    (words("aé", "b", "A"), {"case_change_action": "UPPER"}, words("AÉ", "B", "A")),
    (words("Aé", "B", "c"), {"case_change_action": "LOWER", "stopwords": ["aÉ"]}, words("b", "c")),
    (words(["a", "B", "c"]), {"case_change_action": "UPPER", "stopwords": ["b"]}, words(["A", "C"])),
    (words("A", "b"), {"stopwords": ["a"]}, words("b")),
]


@pytest.mark.parametrize(("x", "attributes", "expected"), CASED)
def test_case(x: Any, attributes: dict[str, Any], expected: Any) -> None:
    """ONNX Runtime needs the system's locale for it, which may be missing."""
    agrees(Node("StringNormalizer", [x], attributes), "plain", expected=[expected])


def test_stop_words_in_a_row() -> None:
    attributes = {"stopwords": ["B"], "is_case_sensitive": 1}
    agrees(Node("StringNormalizer", [words(["a", "B"])], attributes), "plain")


@pytest.mark.parametrize("form", ["plain", "free"])
@pytest.mark.parametrize(
    ("delimiter", "most"), list(itertools.product([None, "", " ", ",", ",,", "a"], [None, 0, 1, 2, -1]))
)
def test_split(delimiter: str | None, most: int | None, form: str) -> None:
    attributes = {k: v for k, v in (("delimiter", delimiter), ("maxsplit", most)) if v is not None}
    agrees(Node("StringSplit", [TEXT], attributes, 2), form)
    agrees(Node("StringSplit", [TEXT[:4].reshape(2, 2)], attributes, 2), form)


def test_a_language_with_cases_of_its_own_is_refused() -> None:
    node = Node("StringNormalizer", [words("i")], {"case_change_action": "UPPER", "locale": "tr_TR"})
    with pytest.raises(Unsupported, match="locale"):
        agrees(node, "plain", expected=[words("I")])


POOLS = {"pool_int64s": [2, 3, 5, 4, 5, 6, 7, 8, 6, 7, 2, 3, 3]}


@pytest.mark.parametrize("form", ["plain", "free"])
@pytest.mark.parametrize("mode", ["TF", "IDF", "TFIDF"])
@pytest.mark.parametrize("skip", [0, 1, 4])
@pytest.mark.parametrize("shape", [(12,), (2, 6), (3, 1)])
@pytest.mark.parametrize("dtype", [np.int64, np.int32, object])
def test_tf_idf(dtype: Any, shape: Any, skip: int, mode: str, form: str) -> None:
    """One, two and three items a gram: 4 of one, 3 of two, 1 of three."""
    x = np.random.default_rng(3).integers(2, 9, shape)
    attributes = {
        "mode": mode,
        "min_gram_length": 1,
        "max_gram_length": 3,
        "max_skip_count": skip,
        "ngram_counts": [0, 4, 10],
        "ngram_indexes": [0, 1, 3, 2, 6, 5, 4, 7],
        "weights": [0.5, 2.0, 1.5, 1.0, 3.0, 0.25, 4.0, 5.0],
        "pool_int64s": POOLS["pool_int64s"],
    }
    if dtype is object:
        x = x.astype(str).astype(object)
        attributes["pool_strings"] = [str(v) for v in attributes.pop("pool_int64s")]
    else:
        x = x.astype(dtype)
    agrees(Node("TfIdfVectorizer", [x], attributes), form)


@pytest.mark.parametrize("form", FORMS)
def test_strings_pass_where_they_may(form: str) -> None:
    table = words(["a", "b"], ["c", "d"])
    for node in (
        Node("Where", [np.array([True, False]), table, words("z")]),
        Node("Concat", [table, table], {"axis": 1}),
        Node("Reshape", [table, np.array([-1])]),
        Node("Expand", [table, np.array([2, 2, 2])]),
        Node("Slice", [table, np.array([0]), np.array([1])]),
    ):
        agrees(node, form)
    # ONNX Runtime 1.31 loses strings here
    agrees(Node("Gather", [table, np.array([1])]), form, expected=[table[1:]])
