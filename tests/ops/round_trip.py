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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

from isthmus.errors import IsthmusError
from isthmus.readers.onnx import read_onnx
from isthmus.writers.onnx import write_onnx

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
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


def cases() -> list[Any]:
    """All cases, by name. The loader computes some goldens with overflows that numpy warns of."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = [case for kind in KINDS for case in load_model_tests(kind=kind)]
    return sorted(found, key=lambda case: case.name)


def run(selected: Iterable[Any] | None = None) -> list[Result]:
    """The results of the given cases, default all of them."""
    with tempfile.TemporaryDirectory() as folder:
        return [_result(case, Path(folder)) for case in (cases() if selected is None else selected)]


def _result(case: Any, folder: Path) -> Result:
    source = case.model if case.model is not None else str(Path(case.model_dir) / "model.onnx")
    data = case.model.SerializeToString() if case.model is not None else Path(source).read_bytes()
    model = onnx.ModelProto.FromString(data)
    before = _judged(data, model, case)
    target = folder / "model.onnx"
    try:
        write_onnx(read_onnx(source), target)
    except IsthmusError as error:
        return Result(case.name, not before, False, True, str(error))
    after = _judged(target.read_bytes(), model, case)
    return Result(case.name, not before, not after, False, after or before)


def _judged(data: bytes, model: onnx.ModelProto, case: Any) -> str:
    """Why the model fails the case on ONNX Runtime; empty where it passes."""
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    settings.intra_op_num_threads = 1
    try:
        session = ort.InferenceSession(data, settings, providers=["CPUExecutionProvider"])
        for inputs, expected in _data(case, model):
            names = [value.name for value in session.get_inputs()]
            got = session.run(None, dict(zip(names, inputs, strict=False)))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                Runner.assert_similar_outputs(expected, got, case.rtol, case.atol)
    except _FAILURES as error:
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
    return ""


def _data(case: Any, model: onnx.ModelProto) -> Iterator[tuple[Sequence[Any], Sequence[Any]]]:
    if case.data_sets is not None:
        for inputs, outputs in case.data_sets:
            yield [_array(value) for value in inputs], [_array(value) for value in outputs]
        return
    for folder in sorted(Path(case.model_dir).glob("test_data_set_*")):
        yield (
            [_value(folder / f"input_{i}.pb", info.type) for i, info in enumerate(_required(model))],
            [_value(folder / f"output_{i}.pb", info.type) for i, info in enumerate(model.graph.output)],
        )


def _array(value: Any) -> Any:
    """Types that numpy lacks come as protos, some scalars without their array."""
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, np.generic) else value


def _required(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    constant = {tensor.name for tensor in model.graph.initializer}
    return [info for info in model.graph.input if info.name not in constant]


def _value(path: Path, kind: onnx.TypeProto) -> Any:
    data = path.read_bytes()
    if kind.HasField("sequence_type"):
        return onnx.numpy_helper.to_list(onnx.SequenceProto.FromString(data))
    if kind.HasField("optional_type"):
        return onnx.numpy_helper.to_optional(onnx.OptionalProto.FromString(data))
    return onnx.numpy_helper.to_array(onnx.TensorProto.FromString(data))


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
    results = run([case for case in cases() if pattern in case.name])
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
