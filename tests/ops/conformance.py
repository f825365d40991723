"""Run the backend cases over a writer, and say which pass, which are refused and which are wrong.

    python tests/ops/conformance.py [--writer tensorflow|torch] [--set core|native|all] [--mode frozen|plain]
                                    [--form recorded|eager|exported|program|source …] [--only REGEX] [-v]

*recorded*: what the writer makes. *eager*: its lowerings called on tensors. *exported*: the PyTorch module through
``torch.export``. *program*, *source*: what is written to a ``.pt2``, with its free dimensions, and to a ``.py``.
A refusal by name is honest; a wrong answer or a crash is a defect.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import logging
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
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
Form = Literal["recorded", "eager", "exported", "program", "source"]
Writer = Literal["tensorflow", "torch"]
Carried = Callable[[dict[str, Any], Form], list[np.ndarray]]
"""A model in its target: outputs of named inputs, in one of its forms."""


@dataclass(frozen=True)
class Result:
    """How one case ended. ``reason`` is the first line of what stopped it."""

    name: str
    mode: Mode
    outcome: Outcome
    reason: str
    ops: tuple[str, ...]
    form: Form = "recorded"


def forms_of(case: Case, mode: Mode, writer: Writer) -> tuple[Form, ...]:
    """The forms that a writer is held to in a case."""
    if writer == "tensorflow":
        return ("recorded",)
    return ("recorded", "eager", "exported") if mode == "frozen" and case.native else ("recorded", "eager")


def run_case(case: Case, mode: Mode, *, writer: Writer, forms: Sequence[Form] = ("recorded",)) -> list[Result]:
    """Carry one case across and compare it, a form at a time, with its golden outputs."""
    ops = tuple(sorted(op for _, op in case.ops))
    found = {form: Result(case.name, mode, "pass", "", ops, form) for form in forms}
    for sample in case.samples:
        model = case.frozen(sample) if mode == "frozen" else case.model
        feeds = {
            value.name: array(given)
            for value, given in zip(_inputs(case.model), sample.inputs, strict=False)
            if value.name in {v.name for v in _inputs(model)} and given is not None
        }
        carried: Carried | None = None
        for form in [form for form, result in found.items() if result.outcome == "pass"]:
            try:
                carried = carried or CARRY[writer](model)
                outputs = carried(feeds, form)
            except IsthmusError as refusal:
                found[form] = replace(found[form], outcome="refused", reason=_line(refusal))
                continue
            except Exception as error:  # noqa: BLE001 - the outermost frame of the run: a crash is a result
                found[form] = replace(found[form], outcome="crash", reason=f"{type(error).__name__}: {_line(error)}")
                continue
            try:
                golden = [array(o) for o in sample.outputs]
                Runner.assert_similar_outputs(golden, outputs, rtol=case.rtol, atol=case.atol)
            except (AssertionError, TypeError, AttributeError) as error:
                found[form] = replace(found[form], outcome="wrong", reason=" ".join(str(error).split())[:300])
    return list(found.values())


def carry_tensorflow(model: onnx.ModelProto) -> Carried:
    """Through the whole road: read, prepare, record; the recorded signature is called."""
    import tensorflow as tf

    from isthmus.readers.onnx import read_onnx
    from isthmus.writers.tensorflow.record import record

    module = record(read_onnx(model, options=Options(verify=False)))

    def run(feeds: dict[str, Any], form: Form) -> list[np.ndarray]:
        tensors = {name: tf.constant(value) for name, value in feeds.items()}
        outputs = module.eager(tensors) if form == "eager" else module.signatures["serving_default"](**tensors)
        return [_numpy(outputs[o.name]) for o in model.graph.output]

    return run


def carry_torch(model: onnx.ModelProto) -> Carried:
    """The same for the PyTorch writer: recorded by fx."""
    import torch

    from isthmus.readers.onnx import read_onnx
    from isthmus.verify.runners.torch import as_declared, to_numpy, to_torch
    from isthmus.writers.torch.export import exported
    from isthmus.writers.torch.record import record

    hub = read_onnx(model, options=Options(verify=False))
    recorded = record(hub)

    def run(feeds: dict[str, Any], form: Form) -> list[np.ndarray]:
        tensors = {name: to_torch(value) for name, value in feeds.items()}
        if form in ("recorded", "eager"):
            outputs = recorded.eager(tensors) if form == "eager" else recorded.call(tensors)
        else:
            given = tuple(tensors[name] for name in recorded.inputs)
            made = module_of(form, given)(*given)
            outputs = dict(zip(recorded.outputs, (made,) if len(recorded.outputs) == 1 else made, strict=True))
        return [as_declared(to_numpy(outputs[spec.name]), spec.dtype) for spec in hub.signature.outputs]

    def module_of(form: Form, given: tuple[Any, ...]) -> Any:
        if form == "source":
            return _from_source(recorded)
        with _quiet():
            if form == "program":
                return exported(recorded)[0].module()
            return torch.export.export(recorded.module, given, strict=False).module()

    return run


def _from_source(recorded: Any) -> Any:
    """The module that the written source makes."""
    from isthmus.writers.torch.source import WEIGHTS, save_weights, source

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.py"
        text, constants = source(recorded)
        path.write_text(text, encoding="utf-8")
        save_weights(recorded, path.with_suffix(WEIGHTS), constants)
        namespace: dict[str, Any] = {"__file__": str(path), "__name__": "net"}
        exec(compile(text, str(path), "exec"), namespace)
        return namespace["load_model"]()


CARRY: dict[Writer, Callable[[onnx.ModelProto], Carried]] = {"tensorflow": carry_tensorflow, "torch": carry_torch}


def run_tensorflow(model: onnx.ModelProto, feeds: dict[str, Any]) -> list[np.ndarray]:
    """What the recorded signature gives."""
    return carry_tensorflow(model)(feeds, "recorded")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporter tells its own developers."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)


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
    parser.add_argument("--form", choices=Form.__args__, action="append", help="which forms; recorded by default")
    parser.add_argument("-v", "--verbose", action="store_true", help="print every case that does not pass")
    parser.add_argument("--json", type=Path, help="write every result here")
    arguments = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    cases = chosen(all_cases(), arguments.set, arguments.only)
    results = []
    forms = arguments.form or ["recorded"]
    for case in cases:
        made = run_case(case, arguments.mode, writer=arguments.writer, forms=forms)
        results += made
        for result in made if arguments.verbose else ():
            if result.outcome != "pass":
                print(f"{result.outcome:8}{result.name} ({result.form}): {result.reason}", flush=True)
    for form in forms:
        print(f"{form}: {summarize([r for r in results if r.form == form])}")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(r) for r in results], indent=1))
    return int(any(r.outcome in ("wrong", "crash") for r in results))


if __name__ == "__main__":
    sys.exit(main())
