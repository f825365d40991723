"""Where two ONNX models part: the first value, in order of computation, that is no longer the same."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from isthmus.errors import InvalidModel, UsageError
from isthmus.hub import provenance
from isthmus.types import Divergence, Options, Where
from isthmus.verify.compare import Measure
from isthmus.verify.feeds import Feed, Feeds, load_inputs
from isthmus.verify.ranges import integer_ranges
from isthmus.verify.runners.process import ProcessRunner
from isthmus.verify.runners.protocol import ModelRaised
from isthmus.verify.tolerance import ScaledTolerance

_AT_ONCE = 32
"""Values looked at in one run: what bounds the memory."""

_INLINE_LIMIT = 1_500_000_000


def first_divergence(
    reference: Any, candidate: Any, *, inputs: Any = None, options: Options | None = None
) -> Divergence | None:
    """The first value that both models compute under one name and that differs, though all before it agree.

    Both are ONNX: a path, a ``ModelProto`` or an ``onnx_ir.Model``. Values are taken in the candidate's order of
    computation, a few at a time, on the samples that ``verify`` would use. None where all of them agree. Values
    inside If, Loop and Scan are judged by what comes out of these.

    Raises ``UsageError`` for other kinds of model and for models that share no value.
    """
    options = options or Options()
    left, right = _opened(reference), _opened(candidate)
    shared = [value for value in _values(right.graph) if value.name in _names(left.graph)]
    if not shared:
        raise UsageError(
            "the two models have no value of the same name, so there is nothing to compare inside",
            hint="locate follows names, which Isthmus keeps and other converters may not",
        )
    with tempfile.TemporaryDirectory(prefix="isthmus-") as scratch:
        return _Search(left, right, Path(scratch), options, inputs).first(shared)


@dataclass(frozen=True)
class _Search:
    """Two models, opened up a few values at a time."""

    left: ir.Model
    right: ir.Model
    scratch: Path
    options: Options
    inputs: Any

    def first(self, values: Sequence[ir.Value]) -> Divergence | None:
        for start in range(0, len(values), _AT_ONCE):
            window = values[start : start + _AT_ONCE]
            measures = self._measured([str(value.name) for value in window])
            for value in window:
                found = measures[str(value.name)].result()
                if not found.agrees:
                    node = value.producer()
                    return Divergence(str(value.name), provenance.where(node) if node else Where(), found)
        return None

    def _measured(self, names: Sequence[str]) -> dict[str, Measure]:
        measures = {name: Measure(name) for name in names}
        tolerance = ScaledTolerance.from_options(self.options)
        with ExitStack() as stack:
            one, other = (
                stack.enter_context(ProcessRunner("onnx", str(path), timeout=self.options.timeout))
                for path in (self._laid_open(self.left, names, "left"), self._laid_open(self.right, names, "right"))
            )
            signature = one.signature
            user = None if self.inputs is None else load_inputs(self.inputs, signature)
            ranges = integer_ranges(self.left.graph)
            feeds = Feeds(signature, self.options.samples, self.options.seed, ranges, user=user)
            level = 0
            for index in range(max(1, feeds.samples)):
                feed, expected = _taken(one, feeds.attempts(index, level))
                if feed is None:
                    continue
                level = feed.level
                made = other.run(feed.values)
                for name, measure in measures.items():
                    measure.add(expected[name], made[name], tolerance)
        return measures

    def _laid_open(self, model: ir.Model, names: Sequence[str], side: str) -> Path:
        """The model on disk with the named values as its only outputs."""
        path = self.scratch / f"{side}.onnx"
        graph = model.graph
        before = list(graph.outputs)
        by_name = {value.name: value for value in _values(graph)}
        graph.outputs[:] = [by_name[name] for name in names]
        try:
            ir.save(model, path, external_data=f"{side}.data" if _needs_data_file(graph) else None)
        finally:
            graph.outputs[:] = before
        return path


def _needs_data_file(graph: ir.Graph) -> bool:
    """Whether the weights do not fit into the proto, or lie in a file that a copy elsewhere would not find."""
    tensors = [value.const_value for value in graph.initializers.values() if value.const_value is not None]
    return any(isinstance(t, ir.ExternalTensor) for t in tensors) or sum(t.nbytes for t in tensors) > _INLINE_LIMIT


def _taken(runner: ProcessRunner, attempts: Iterator[Feed]) -> tuple[Feed | None, dict[str, Any]]:
    """The first feed that the model takes, and what it made of it."""
    for feed in attempts:
        try:
            return feed, runner.run(feed.values)
        except ModelRaised:
            continue
    return None, {}


def _opened(model: Any) -> ir.Model:
    if isinstance(model, ir.Model):
        return model
    if isinstance(model, str | Path) and str(model).endswith(".onnx"):
        if not Path(model).is_file():
            raise InvalidModel(f"{model} does not exist", hint="name the .onnx file")
        return ir.load(model)
    if hasattr(model, "SerializeToString"):
        return ir.from_proto(model)
    raise UsageError(
        f"locate looks inside ONNX models, not {model if isinstance(model, str) else type(model).__name__}",
        hint="carry the model to .onnx first with isthmus convert",
    )


def _values(graph: ir.Graph) -> list[ir.Value]:
    """What the graph's own nodes make, in order of computation; a sorted graph is in that order already."""
    return [value for node in graph for value in node.outputs if value.name]


def _names(graph: ir.Graph) -> set[str]:
    return {str(value.name) for value in _values(graph)}
