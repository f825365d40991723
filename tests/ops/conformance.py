"""Run the backend cases over a writer, and say which pass, which are refused and which are wrong.

    python tests/ops/conformance.py [--writer tensorflow|torch] [--set core|native|all] [--mode frozen|plain]
                                    [--only REGEX] [--eager] [-v]

A refusal by name is honest; a wrong answer or a crash is a defect.
"""

from __future__ import annotations

import argparse
import collections
import json
import re
import sys
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from cases import Case, all_cases, array
from onnx.backend.test.runner import Runner

from isthmus.errors import IsthmusError
from isthmus.types import Options

Outcome = Literal["pass", "refused", "wrong", "crash"]
Mode = Literal["frozen", "plain"]
Writer = Literal["tensorflow", "torch"]


@dataclass(frozen=True)
class Result:
    """How one case ended. ``reason`` is the first line of what stopped it."""

    name: str
    mode: Mode
    outcome: Outcome
    reason: str
    ops: tuple[str, ...]


def run_case(case: Case, mode: Mode, *, writer: Writer = "tensorflow", eager: bool = False) -> Result:
    """Carry one case across and compare it with its golden outputs."""
    ops = tuple(sorted(op for _, op in case.ops))
    for sample in case.samples:
        model = case.frozen(sample) if mode == "frozen" else case.model
        feeds = {
            value.name: array(given)
            for value, given in zip(_inputs(case.model), sample.inputs, strict=False)
            if value.name in {v.name for v in _inputs(model)} and given is not None
        }
        try:
            outputs = RUN[writer](model, feeds, eager=eager)
        except IsthmusError as refusal:
            return Result(case.name, mode, "refused", _line(refusal), ops)
        except Exception as error:  # noqa: BLE001 - the outermost frame of the run: a crash is a result
            return Result(case.name, mode, "crash", f"{type(error).__name__}: {_line(error)}", ops)
        try:
            golden = [array(o) for o in sample.outputs]
            Runner.assert_similar_outputs(golden, outputs, rtol=case.rtol, atol=case.atol)
        except (AssertionError, TypeError, AttributeError) as error:
            return Result(case.name, mode, "wrong", " ".join(str(error).split())[:300], ops)
    return Result(case.name, mode, "pass", "", ops)


def run_tensorflow(model: onnx.ModelProto, feeds: dict[str, Any], *, eager: bool = False) -> list[np.ndarray]:
    """Through the whole road: read, prepare, record, call the recorded signature."""
    import tensorflow as tf

    from isthmus.readers.onnx import read_onnx
    from isthmus.writers.tensorflow.record import record

    module = record(read_onnx(model, options=Options(verify=False)))
    tensors = {name: tf.constant(value) for name, value in feeds.items()}
    outputs = module.eager(tensors) if eager else module.signatures["serving_default"](**tensors)
    return [_numpy(outputs[o.name]) for o in model.graph.output]


def run_torch(model: onnx.ModelProto, feeds: dict[str, Any], *, eager: bool = False) -> list[np.ndarray]:
    """The same for the PyTorch writer: recorded by fx, or its lowerings called eagerly."""
    from isthmus.readers.onnx import read_onnx
    from isthmus.verify.runners.torch import as_declared, to_numpy, to_torch
    from isthmus.writers.torch.record import record

    hub = read_onnx(model, options=Options(verify=False))
    recorded = record(hub)
    tensors = {name: to_torch(value) for name, value in feeds.items()}
    outputs = recorded.eager(tensors) if eager else recorded.call(tensors)
    return [as_declared(to_numpy(outputs[spec.name]), spec.dtype) for spec in hub.signature.outputs]


RUN = {"tensorflow": run_tensorflow, "torch": run_torch}


def _numpy(tensor: Any) -> np.ndarray:
    if tensor.dtype.name == "string":
        return np.vectorize(bytes.decode, otypes=[object])(np.asarray(tensor.numpy(), dtype=object))
    return np.asarray(tensor.numpy())


def _inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    weights = {t.name for t in model.graph.initializer}
    return [v for v in model.graph.input if v.name not in weights]


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " | ".join(lines[:3])[:300]


def chosen(cases: Iterable[Case], group: str, only: str | None) -> list[Case]:
    wanted = [c for c in cases if group == "all" or getattr(c, group)]
    return [c for c in wanted if only is None or re.search(only, c.name)]


def summarize(results: Sequence[Result]) -> str:
    counts = collections.Counter(r.outcome for r in results)
    share = 100 * counts["pass"] / max(1, len(results))
    return f"{share:.1f} % of {len(results)}: " + ", ".join(f"{counts[o]} {o}" for o in Outcome.__args__)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--writer", choices=("tensorflow", "torch"), default="tensorflow")
    parser.add_argument("--set", choices=("core", "native", "all"), default="core")
    parser.add_argument("--mode", choices=("frozen", "plain"), default="frozen")
    parser.add_argument("--only", help="a regular expression over case names")
    parser.add_argument("--eager", action="store_true", help="call the lowerings eagerly, without recording")
    parser.add_argument("-v", "--verbose", action="store_true", help="print every case that does not pass")
    parser.add_argument("--json", type=Path, help="write every result here")
    arguments = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    cases = chosen(all_cases(), arguments.set, arguments.only)
    results = []
    for case in cases:
        results.append(run_case(case, arguments.mode, writer=arguments.writer, eager=arguments.eager))
        if arguments.verbose and results[-1].outcome != "pass":
            print(f"{results[-1].outcome:8}{case.name}: {results[-1].reason}", flush=True)
    print(summarize(results))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(r) for r in results], indent=1))
    return int(any(r.outcome in ("wrong", "crash") for r in results))


if __name__ == "__main__":
    sys.exit(main())
