"""The same loss over source and result: what it is worth to every weight, compared by the weight's name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from isthmus.types import Comparison, Note, StoredWeight
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
    """Gathered sample by sample, as outputs are.

    ``exactly``: the user's tolerance alone decides. ``converted``: the candidate was made of the reference, so that
    its map of weights leads there; else either may have been made of the other, or both of a third.
    """

    tolerance: Tolerance
    exactly: bool = False
    converted: bool = False
    measures: dict[str, Measure] = field(default_factory=dict)
    lacking: dict[str, None] = field(default_factory=dict)
    """Weights that the result has not, and that the loss does not reach."""
    further: dict[str, None] = field(default_factory=dict)
    """Weights that only the result trains."""

    def add(self, reference: Gradients, candidate: Gradients) -> None:
        """Compare one sample's gradients."""
        if self.converted:
            reference = replace(reference, stored={})
        largest = 0.0 if self.exactly else max((_size(v) for v in reference.values.values()), default=0.0)
        matched: set[str] = set()
        for name in reference.values:
            partners = list(_partners(name, reference, candidate))
            matched.update(found for found, _, _ in partners)
            for found, ours, theirs in partners:
                try:
                    pair = ours(reference.values[name]), theirs(candidate.values[found])
                except _Misfit as misfit:
                    self._measure(name).condemn(str(misfit))
                else:
                    self._compare(name, *pair, largest)
            if partners:
                continue
            value = reference.values[name]
            if isinstance(value, np.ndarray) and value.any():
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


Arranged = Callable[[Value], Value]


def _partners(name: str, reference: Gradients, candidate: Gradients) -> Iterator[tuple[str, Arranged, Arranged]]:
    """The candidate's weights that are the reference's ``name`` or were made of it, and what makes both alike.

    A map goes from the source of a conversion to its target; where both sides have the same one, nothing is arranged.
    """
    names = reference.names_of(name)
    own = reference.stored.get(name)
    same = candidate.find(names)
    made = [key for key, stored in candidate.stored.items() if stored.source in names and key in candidate.values]
    if same is not None and own == candidate.stored.get(same):
        yield same, _as_it_is, _as_it_is
    elif made:
        for key in made:
            yield key, partial(arranged, candidate.stored[key]), _as_it_is
    elif own is not None and (found := candidate.find([own.source])) is not None:
        yield found, _as_it_is, partial(arranged, own)
    elif same is not None:  # what the files tell leads to a third model
        yield same, _as_it_is, _as_it_is


class _Misfit(ValueError):
    """A weight cannot have been made of another one in the way that a file tells."""


def _as_it_is(value: Value) -> Value:
    return value


def arranged(stored: StoredWeight, value: Value) -> Value:
    """The source's array as the target stores it. Raises ValueError where there is no such array."""
    if not isinstance(value, np.ndarray):
        return value
    try:
        array: Array = value if stored.index is None else value[stored.index]
        if stored.blocks is not None:
            parts = np.split(array, stored.of or len(stored.blocks), axis=stored.axis)
            array = np.concatenate([parts[block] for block in stored.blocks], axis=stored.axis)
        if stored.perm is not None:
            array = array.transpose(stored.perm)
        return array if stored.shape is None else array.reshape(stored.shape)
    except (ValueError, IndexError) as error:
        sizes = list(value.shape)
        raise _Misfit(f"{stored.key!r} is not made of {stored.source!r} {sizes} as it is told: {error}") from error


def _size(value: Value) -> float:
    return magnitude(value) if isinstance(value, np.ndarray) and value.size else 0.0


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:_LISTED])
    return shown if len(names) <= _LISTED else f"{shown} and {len(names) - _LISTED} more"
