"""The same loss over source and result: what it is worth to every weight, compared by the weight's name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from isthmus.types import Comparison, Note
from isthmus.verify.compare import Measure
from isthmus.verify.runners.codec import Array, Value, dtype_name
from isthmus.verify.runners.gradients import Gradients
from isthmus.verify.tolerance import Bounds, Tolerance, epsilon, magnitude

_ROUNDING = 32.0
"""Steps of the element type, at the largest gradient of the model, that sums which cancel may leave behind: the bias
of an attention's keys has no gradient, and what is computed for it is rounding."""

_LISTED = 5
_TYPES = ("float16", "bfloat16", "float32", "float64")


def cotangents(
    outputs: Mapping[str, Value], seed: int, sample: int, without: Collection[str] = ()
) -> dict[str, Array]:
    """The weights of the loss, which is the sum of all floating outputs times these: seeded, of the outputs' shapes.

    What is not finite in the reference has no part in the loss; outputs named in ``without`` neither.
    """
    drawn: dict[str, Array] = {}
    for place, (name, value) in enumerate(outputs.items()):
        if name in without or not isinstance(value, np.ndarray) or not value.size:
            continue
        if dtype_name(value.dtype) not in _TYPES:
            continue
        rng = np.random.Generator(np.random.PCG64([seed, sample, place]))
        weights = np.where(np.isfinite(value.astype(np.float64)), rng.standard_normal(value.shape), 0.0)
        drawn[name] = weights.astype(value.dtype)
    return drawn


@dataclass
class GradientMeasures:
    """Gathered sample by sample, as outputs are. ``exactly``: the user's tolerance alone decides."""

    tolerance: Tolerance
    exactly: bool = False
    measures: dict[str, Measure] = field(default_factory=dict)
    lacking: dict[str, None] = field(default_factory=dict)
    """Weights that the result has not, and that the loss does not reach."""
    further: dict[str, None] = field(default_factory=dict)
    """Weights that only the result trains."""

    def add(self, reference: Gradients, candidate: Gradients) -> None:
        """Compare one sample's gradients."""
        largest = 0.0 if self.exactly else max((_size(v) for v in reference.values.values()), default=0.0)
        matched = set()
        for name in reference.values:
            value = reference.values[name]
            found = candidate.find(reference.names_of(name))
            if found is not None:
                matched.add(found)
                self._compare(name, value, candidate.values[found], largest)
            elif isinstance(value, np.ndarray) and value.any():
                self._measure(name).condemn("the result has no such parameter, or does not train it")
            else:
                self.lacking[name] = None
        self.further.update(dict.fromkeys(name for name in candidate.values if name not in matched))

    def condemn(self, reference: Gradients, detail: str) -> None:
        """No gradient could be had of the result."""
        for name in reference.values:
            self._measure(name).condemn(detail)

    def results(self) -> tuple[Comparison, ...]:
        return tuple(measure.result() for measure in self.measures.values())

    def notes(self) -> list[Note]:
        """What has no partner on the other side."""
        notes = []
        if self.lacking:
            text = f"the loss does not reach {_listed(self.lacking)}, which the result has not"
            notes.append(Note("gradients", text))
        if further := [name for name in self.further if name not in self.measures]:
            notes.append(Note("gradients", f"only the result trains {_listed(further)}"))
        return notes

    def _compare(self, name: str, expected: Value, made: Value, largest: float) -> None:
        if expected is None and made is None:
            self._measure(name).soften("the loss does not reach it")
            return
        if expected is None:
            expected = np.zeros_like(made)
        if made is None:
            made = np.zeros_like(expected)
        floor = _ROUNDING * epsilon(expected.dtype) * largest if isinstance(expected, np.ndarray) else 0.0

        def tolerance(output: str, reference: Array) -> Bounds:
            bounds = self.tolerance(output, reference)
            return Bounds(max(bounds.atol, floor), bounds.rtol)

        self._measure(name).add(expected, made, tolerance)

    def _measure(self, name: str) -> Measure:
        return self.measures.setdefault(name, Measure(name))


def _size(value: Value) -> float:
    return magnitude(value) if isinstance(value, np.ndarray) and value.size else 0.0


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:_LISTED])
    return shown if len(names) <= _LISTED else f"{shown} and {len(names) - _LISTED} more"
