"""Conformance of the ONNX road: read → upgrade → write, and the same answers from ONNX Runtime before and after.

``python tests/ops/round_trip.py`` runs every backend case that ships in the onnx package and exits with 1 where a
case that passes on ONNX Runtime as it is fails after the round trip, or where a known limit is none any more.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import tomllib
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxruntime as ort
from cases import Case, all_cases, array
from onnx.backend.test.runner import Runner

from isthmus.errors import IsthmusError
from isthmus.readers.onnx import read_onnx
from isthmus.writers.onnx import write_onnx

LIMITS = Path(__file__).with_name("limits_round_trip.toml")

_ORT_ERRORS = tuple(
    error
    for error in vars(ort.capi.onnxruntime_pybind11_state).values()
    if isinstance(error, type) and issubclass(error, Exception)
)
_FAILURES = (*_ORT_ERRORS, AssertionError, RuntimeError, ValueError, TypeError, NotImplementedError)


@dataclass(frozen=True)
class Result:
    """One case: does ONNX Runtime pass it as it is, and after the round trip? ``refused`` is a refusal by name."""

    name: str
    before: bool
    after: bool
    refused: bool
    detail: str

    @property
    def regressed(self) -> bool:
        return self.before and not self.after

    @property
    def wrong(self) -> bool:
        """Failed without being refused, where it passed before."""
        return self.regressed and not self.refused


def run(selected: Iterable[Case] | None = None) -> list[Result]:
    """The results of the given cases, default all of them."""
    with tempfile.TemporaryDirectory() as folder:
        return [_result(case, Path(folder)) for case in (all_cases() if selected is None else selected)]


def _result(case: Case, folder: Path) -> Result:
    data = case.model.SerializeToString()
    before = _judged(data, case)
    target = folder / "model.onnx"
    try:
        write_onnx(read_onnx(onnx.ModelProto.FromString(data)), target)
    except IsthmusError as error:
        return Result(case.name, not before, False, True, str(error))
    after = _judged(target.read_bytes(), case)
    return Result(case.name, not before, not after, False, after or before)


def _judged(data: bytes, case: Case) -> str:
    """Why the model fails the case on ONNX Runtime; empty where it passes."""
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    settings.intra_op_num_threads = 1
    try:
        session = ort.InferenceSession(data, settings, providers=["CPUExecutionProvider"])
        names = [value.name for value in session.get_inputs()]
        for sample in case.samples:
            expected = [array(value) for value in sample.outputs]
            got = session.run(None, dict(zip(names, map(array, sample.inputs), strict=False)))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                Runner.assert_similar_outputs(expected, got, case.rtol, case.atol)
    except _FAILURES as error:
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
    return ""


def limits() -> dict[str, str]:
    """Pattern of case names → why they cannot survive the round trip: a fact, each."""
    with LIMITS.open("rb") as file:
        entries = tomllib.load(file)["limit"]
    return {entry["cases"]: entry["reason"] for entry in entries}


def unexpected(results: Sequence[Result]) -> list[str]:
    """What is neither good nor known: regressions outside of the limits, and limits that hold no more."""
    known = limits()
    problems = [
        f"{r.name}: {r.detail}" for r in results if r.regressed and not any(re.fullmatch(p, r.name) for p in known)
    ]
    for pattern in known:
        problems += [f"{r.name} passes, and is listed" for r in results if re.fullmatch(pattern, r.name) and r.after]
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pattern", nargs="?", default="", help="run only cases whose name contains this")
    pattern = parser.parse_args().pattern
    results = run([case for case in all_cases() if pattern in case.name])
    counts = Counter(
        ("passes" if r.before else "fails") + " → " + ("passes" if r.after else "fails") for r in results
    )
    print(f"{len(results)} cases on ONNX Runtime {ort.__version__}, before → after")
    for what, count in sorted(counts.items()):
        print(f"  {what}: {count}")
    print(f"  refused by name: {sum(r.refused for r in results)}; wrong: {sum(r.wrong for r in results)}")
    problems = unexpected(results)
    for problem in problems:
        print(f"  unexpected: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
