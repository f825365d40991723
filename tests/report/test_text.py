"""What a person sees: the answer first, every name as it is, no colour where nobody looks."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import pytest
from rich.console import Console

from isthmus.doctor import examine
from isthmus.report.text import render
from isthmus.types import (
    Blocker,
    Change,
    Comparison,
    Divergence,
    Note,
    Report,
    Sample,
    Signature,
    Summary,
    Support,
    TensorSpec,
    Verdict,
    Where,
)

GOOD = Comparison("logits", "float32", "noise", 1.5e-6, 2e-6, 1e-7, 0.999999, 0, 0, 1e-4, 1e-4)
BAD = Comparison(
    "ids", "int64", "wrong", math.inf, math.inf, 0, 1, 3, 2, 0, 0, "the reference is [2], the result [3]"
)
SAMPLES = (Sample(0, "user", {"batch": 2, "seq": 5}), Sample(1, "synthetic", {"batch": 3, "seq": 7}))
AGREES = Verdict((GOOD,), SAMPLES, "net.pt2", "net.onnx", (Note("sizes", "judged [/bold] twice", "pass --inputs"),))
DISAGREES = replace(AGREES, comparisons=(GOOD, BAD))
SIGNATURE = Signature(
    (TensorSpec("x[0]", "float32", ("batch", 3, None)),), (TensorSpec("y", "float32", None, kind="sequence"),)
)
REPORT = Report(
    *("net.pt2", "torch", "out", "saved_model", "torch.export", SIGNATURE),
    ledger=(Change("fold", {"Add": 3}, {"Add": 1}, 0.1),),
    notes=(Note("axes", "seq fell to 16"),),
    artifact=None,
    verdict=AGREES,
    versions={},
)


def shown(result: object, *, terminal: bool = False, verbose: bool = False, quiet: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=terminal, color_system="standard" if terminal else None)
    console.print(render(result, verbose=verbose, quiet=quiet))
    return out.getvalue()


def test_a_verdict_says_whether_it_agrees_how_far_and_at_which_sizes() -> None:
    text = shown(AGREES)
    head, columns, row = text.splitlines()[:3]
    assert head == "✓ agrees  net.pt2 → net.onnx"
    assert columns.split() == ["output", "grade", "max", "abs", "max", "rel", "cosine"]
    assert row.split() == ["logits", "noise", "1.5e-06", "2e-06", "0.999999"]
    assert "2 user and synthetic samples: batch=2 seq=5 · batch=3 seq=7" in text
    assert "note: judged [/bold] twice" in text
    assert "hint: pass --inputs" in text


def test_a_disagreement_counts_the_outputs_and_gives_the_reason() -> None:
    text = shown(DISAGREES)
    assert text.startswith("✗ disagrees (1 of 2 outputs)")
    assert "ids: the reference is [2], the result [3]" in text
    assert {"atol", "rtol", "flips", "inf/nan"} <= set(text.splitlines()[1].split())


def test_colour_is_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[" not in shown(DISAGREES)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[1;31m✗ disagrees" in shown(DISAGREES, terminal=True)


def test_quiet_is_one_line_and_verbose_is_more() -> None:
    assert shown(DISAGREES, quiet=True) == "✗ disagrees (1 of 2 outputs)  net.pt2 → net.onnx\n"
    assert len(shown(REPORT, verbose=True)) > len(shown(REPORT))
    assert "3 → 1" in shown(REPORT, verbose=True)


@pytest.mark.parametrize(
    ("verdict", "ending"),
    [(AGREES, "✓ agrees"), (DISAGREES, "✗ disagrees: kept as .unverified"), (None, "not judged")],
)
def test_a_conversion_says_what_became_of_it(verdict: Verdict | None, ending: str) -> None:
    text = shown(replace(REPORT, verdict=verdict))
    assert text.splitlines()[0] == f"converted  net.pt2 → out (saved_model)  {ending}"
    assert "x[0]" in text
    assert "[batch, 3, ?]" in text
    assert "sequence of float32" in text
    assert "note: seq fell to 16" in text


def test_a_summary_tells_size_signature_and_operators() -> None:
    ops = {f"Op{i}": 20 - i for i in range(15)}
    summary = Summary("m.onnx", "onnx", SIGNATURE, ops, 12345, 67_890_123, {"float32": 3}, {"": 18}, "pytorch")
    text = shown(summary)
    assert "12,345 parameters, 67.9 MB (float32 3)" in text
    assert "opset ai.onnx 18" in text
    assert "195 operators, 15 different: Op0 20" in text
    assert "and 3 more" in text
    assert "and 3 more" not in shown(summary, verbose=True)


def test_blockers_come_all_at_once_with_their_remedies() -> None:
    blockers = (
        Blocker("Foo", "TensorFlow has no Foo", "use Bar", Where("n1", "Foo", "net.layer[0]"), 2),
        Blocker("Baz", "TensorFlow has no Baz"),
    )
    text = shown(Support("saved_model", blockers, {"Foo": 2, "Baz": 1}))
    assert text.startswith("✗ cannot be carried to saved_model: 3 nodes stand in the way")
    assert "✗ Foo (×2): TensorFlow has no Foo — node 'n1' (Foo) in module net.layer[0]" in text
    assert "hint: use Bar" in text
    assert "Baz: TensorFlow has no Baz" in text
    assert shown(Support("onnx", (), {"Add": 1})).startswith("✓ can be carried to onnx")


def test_a_divergence_names_the_value_and_its_place() -> None:
    text = shown(Divergence("conv_out", Where("n7", "Conv", "net.stem"), BAD, "repro/"))
    assert text.startswith("diverges first at conv_out  node 'n7' (Conv) in module net.stem")
    assert "repro: repro/" in text


def test_the_doctor_shows_what_is_absent_and_how_to_get_it() -> None:
    text = shown(examine({"onnx": "1.0", "numpy": "2.4"}))
    assert text.startswith("✗ something does not go together")
    assert "absent" in text
    assert "older than 1.20" in text


def test_what_cannot_be_shown_is_an_error() -> None:
    with pytest.raises(TypeError, match="a int cannot be shown"):
        render(3)


def test_gradients_are_one_line_and_a_table_of_those_that_disagree() -> None:
    good = Comparison("a.weight", "float32", "noise", 1e-7, 2e-6, 1e-8, 1.0, 0, 0, 1e-6, 1e-4)
    bad = replace(good, output="b.weight", grade="wrong", max_abs=1.0, detail="the result has no such parameter")
    output = replace(good, output="y")
    verdict = Verdict((output,), (), "a", "b", gradients=(good,))
    assert "gradients of 1 parameters: all agree, largest max rel 2e-06 in a.weight" in shown(verdict)
    text = shown(replace(verdict, gradients=(good, bad)))
    assert "disagrees (1 of 2 gradients)" in text and "gradients of 2 parameters: 1 disagree" in text
    assert "b.weight: the result has no such parameter" in text and "a.weight" not in text
