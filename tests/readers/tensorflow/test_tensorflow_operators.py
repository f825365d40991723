"""Every TensorFlow operator that is read: called eagerly against what ONNX Runtime makes of it.

One case an operator runs always; all attributes, element types and free sizes by ``make slow``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

from operator_cases import Case, cases, judge
from operators_all import FIRST, REFUSED, SPECS, room_that_tests
from operators_page import PAGE, becomes, row, rows

from isthmus.readers.tensorflow.ops import TABLE

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

ROWS = rows(PAGE.read_text(encoding="utf-8"))


def test_every_operator_that_is_read_has_a_test() -> None:
    assert set(FIRST) <= set(TABLE)
    for op in set(TABLE) - set(FIRST):
        room = room_that_tests(op)
        assert room is not None, f"{op} has no test"
        assert (Path(__file__).parent / f"test_tensorflow_{room}.py").is_file()


def test_the_page_names_every_operator() -> None:
    """``make conformance`` writes it."""
    assert set(ROWS) == set(TABLE)


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
    """Nothing is wrong: what is not refused by name agrees, and something agrees."""
    outcomes = {judge(case).outcome for spec in SPECS if spec.op == op for case in cases(spec)}
    assert ("agrees" in outcomes) == (op not in REFUSED)
