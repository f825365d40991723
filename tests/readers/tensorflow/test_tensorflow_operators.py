"""Every TensorFlow operator that is read: called eagerly against what ONNX Runtime makes of it.

One case an operator runs always; all attributes, element types and free sizes by ``make slow``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import numpy as np
import tensorflow as tf
from operator_cases import Case, cases, judge, settled
from operators_all import FIRST, NEVER_READ, REFUSED, SPECS, room_that_tests
from operators_page import PAGE, becomes, row, rows
from reading import hub_of

from isthmus.errors import Unsupported
from isthmus.readers.tensorflow.ops import TABLE

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

ROWS = rows(PAGE.read_text(encoding="utf-8"))


def test_every_operator_that_is_read_has_a_test() -> None:
    assert set(FIRST) <= set(TABLE)
    for op in set(TABLE) - set(FIRST) - NEVER_READ:
        room = room_that_tests(op)
        assert room is not None, f"{op} has no test"
        assert (Path(__file__).parent / f"test_tensorflow_{room}.py").is_file()


def test_the_page_names_every_operator() -> None:
    """``make conformance`` writes it."""
    assert set(ROWS) == set(TABLE)


@pytest.mark.parametrize(
    ("function", "array", "reason"),
    [
        (tf.strings.length, np.array(["a", "bc"], object), "StringLength: it looks into texts"),
        (lambda x: tf.random.gamma([3], x), np.float32(2), "RandomGamma: ONNX has no operator that draws"),
        (tf.io.decode_image, np.array("", object), "it decodes or encodes files"),
        (lambda x: tf.numpy_function(np.sin, [x], tf.float32), np.zeros(3, np.float32), "it calls Python"),
        (tf.linalg.sqrtm, np.eye(3), "MatrixSquareRoot: it is found by iteration"),
    ],
)
def test_what_is_never_read(function: Any, array: np.ndarray, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        hub_of(function, array)


@pytest.mark.parametrize("case", [*FIRST.values()], ids=lambda case: case.name)
def test_operator(case: Case) -> None:
    op = case.spec.op
    judged = judge(case)
    assert judged.outcome == ("refused" if op in REFUSED else "agrees"), judged.reason
    assert judged.hub is not None or judged.reason.startswith(f"{op}: ")
    assert ROWS[op] == row(op, becomes(judged.hub)), "the page is not up to date: make conformance"


@pytest.mark.slow
@pytest.mark.parametrize("op", sorted(FIRST))
def test_all_of_an_operator(op: str) -> None:
    """Nothing is wrong: what is not refused by name agrees, and something agrees.

    Element types are swept with the first two sets of inputs, and where a set names them.
    """
    specs = [spec for spec in SPECS if spec.op == op]
    outcomes = {
        judge(case).outcome
        for number, spec in enumerate(specs)
        for case in cases(spec if number < 2 or spec.types else replace(spec, types=settled(spec)))
    }
    assert ("agrees" in outcomes) == (op not in REFUSED)
