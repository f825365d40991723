"""The judgement: reference and candidate run on the same bytes, every output compared, every doubt noted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from isthmus.errors import RunnerFailed
from isthmus.types import Note, Options, Sample, Verdict
from isthmus.verify.compare import FEW, Measure, spread_agrees
from isthmus.verify.feeds import Feed, Feeds
from isthmus.verify.floor import Floor
from isthmus.verify.gradients import GradientMeasures, cotangents
from isthmus.verify.layouts import relaid
from isthmus.verify.runners.codec import Value
from isthmus.verify.runners.protocol import DEFAULT, ModelRaised, Runner, SizesRefused
from isthmus.verify.tolerance import ScaledTolerance, Tolerance

Outputs = Mapping[str, Value]
_EMPTY_ATTEMPTS = 8
"""How many sizes of a sample are tried for one that gives something."""


def judge(
    reference: Runner,
    candidate: Runner,
    feeds: Feeds,
    *,
    options: Options | None = None,
    tolerance: Tolerance | None = None,
    floor: Floor | None = None,
    notes: Sequence[Note] = (),
    converted: bool = False,
    channels_last: bool = False,
) -> Verdict:
    """Run both on every sample and compare each output by name.

    One sample is held at a time. Where the reference refuses the sizes of a sample, or the candidate declares that
    it does not take them, others are tried, and the verdict says so; where the reference can
    compute in several ways (torch's attention fast path), the candidate is held against each and the verdict says
    which it agrees with. Outputs that the reference itself makes at random are compared by mean and spread.
    ``floor`` is asked, where ``tolerance`` is exceeded, how much of an output rounding leaves undecided. With
    ``options.trainable`` the gradients of one loss by every parameter are compared as well, where both sides train;
    ``converted`` says that the candidate was made of the reference, which tells whose weights its own come from, and
    ``channels_last`` that the reference has the channels of images there, where ``options`` ask for other layouts.

    Raises ``RunnerFailed`` where a process dies, or where the reference runs on none of the inputs.
    """
    options = options or Options()
    tolerance = tolerance or ScaledTolerance.from_options(options)
    session = _Session(reference, candidate, options, tolerance, floor, converted, channels_last)
    level = 0
    for index in range(max(1, feeds.samples)):  # even one that is asked for none
        level = session.take(feeds.attempts(index, level), level)
    return session.verdict(notes)


@dataclass
class _Session:
    """What is known so far: measures by variant and output, samples, notes."""

    reference: Runner
    candidate: Runner
    options: Options
    tolerance: Tolerance
    floor: Floor | None = None
    converted: bool = False
    channels_last: bool = False
    samples: list[Sample] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    measures: dict[str, dict[str, Measure]] = field(default_factory=dict)
    between: dict[str, dict[str, Measure]] = field(default_factory=dict)
    """Each further variant of the reference against its default."""
    random: frozenset[str] = frozenset()
    refused: int = 0
    declined: set[str] = field(default_factory=set)
    """What the candidate said of sizes that it does not take."""
    gradients: GradientMeasures | None = None

    def take(self, attempts: Iterable[Feed], level: int) -> int:
        """Judge one sample; returns the level of sizes that the reference took."""
        rest = iter(attempts)
        found = self._referenced(rest)
        if found is None:
            return level
        feed, outputs = found
        wanted = [spec.name for spec in self.candidate.signature.inputs]
        unknown = [name for name in wanted if name not in feed.values]
        made = self._made(feed) if not unknown else None
        while isinstance(made, SizesRefused) and (other := self._tried(rest, [])) is not None:
            self._note_declined(feed, made)
            feed, outputs = other
            made = self._made(feed)
        if isinstance(made, SizesRefused) and self.samples:
            self._note_declined(feed, made)
            return feed.level
        self.samples.append(Sample(feed.index, feed.origin, feed.sizes))
        self._note_alike(feed)
        if len(self.samples) == 1:
            self._look_for_chance(feed, outputs)
        self._compare_variants(outputs)
        if made is None:
            self._condemn(outputs, f"the result wants inputs that the reference has not: {', '.join(unknown)}")
            return feed.level
        self._note_dropped([name for name in feed.values if name not in wanted])
        if isinstance(made, ModelRaised):
            where = _sizes_text(feed) or f"sample {feed.index}"
            self._condemn(outputs, f"the result fails on {where}: {_shortened(made.message)}")
            return feed.level
        tolerance = self.tolerance if self.floor is None else self.floor.on(feed.values, self.tolerance)
        for variant, expected in outputs.items():
            self._compare(self.measures.setdefault(variant, {}), expected, made, tolerance)
        if self.options.trainable and self.reference.trains and self.candidate.trains:
            self._compare_gradients(feed, self._given(feed), outputs[DEFAULT])
        return feed.level

    def verdict(self, notes: Sequence[Note]) -> Verdict:
        best = self._best_variant()
        comparisons = tuple(measure.result() for measure in self.measures[best].values())
        self._note_single_sizes()
        self._note_empty_proofs(self.measures[best].values())
        self._note_gradients()
        self._note_floor()
        label = self.reference.name if best == DEFAULT else f"{self.reference.name} ({best})"
        gradients = self.gradients.results() if self.gradients is not None else ()
        told = (*notes, *self.notes)
        return Verdict(comparisons, tuple(self.samples), label, self.candidate.name, told, gradients)

    def _referenced(self, attempts: Iterable[Feed]) -> tuple[Feed, dict[str, Outputs]] | None:
        """The first attempt that the reference takes; None where it took an earlier sample and takes no other."""
        refusals: list[str] = []
        if (found := self._tried(attempts, refusals)) is not None:
            return found
        if self.samples:
            text = f"the reference took no other sizes than those of the first sample ({refusals[0]})"
            self.notes.append(Note("sizes", text, "judge inputs of another size with isthmus verify --inputs"))
            return None
        tried = "\n  ".join(refusals[:3])
        raise RunnerFailed(
            f"{self.reference.name} runs on none of the inputs tried:\n  {tried}",
            hint="pass inputs that it takes with --inputs FILE.npz",
        )

    def _tried(self, attempts: Iterable[Feed], refusals: list[str]) -> tuple[Feed, dict[str, Outputs]] | None:
        """The next attempt that the reference takes and returns something for, if there is any such.

        What it says of those before is added to ``refusals``.
        """
        empty: list[tuple[Feed, dict[str, Outputs]]] = []
        for feed in attempts:
            try:
                outputs: dict[str, Outputs] = {
                    way: self.reference.run(feed.values, way) for way in self.reference.variants
                }
            except ModelRaised as error:
                refusals.append(f"{_sizes_text(feed) or 'the inputs given'}: {_shortened(error.message)}")
                continue
            if refusals and not self.refused:
                text = f"the reference itself refused {len(refusals)} choices of sizes, first {refusals[0]}"
                self.notes.append(Note("sizes", text))
            self.refused += len(refusals)
            if feed.sizes and _is_empty(outputs[DEFAULT]) and len(empty) < _EMPTY_ATTEMPTS:
                empty.append((feed, outputs))  # too small for this model, if another size gives more
                continue
            return feed, outputs
        return empty[0] if empty else None

    def _made(self, feed: Feed) -> Outputs | ModelRaised:
        """What the result makes of a sample, or what it raises over it."""
        last = self.channels_last
        try:
            made = self.candidate.run(self._given(feed))
            return relaid(made, self.options.output_layouts, channels_last=last, back=True)
        except ModelRaised as error:
            return error

    def _given(self, feed: Feed) -> Mapping[str, Value]:
        """What the candidate is given: the sample in the layouts that were asked for."""
        return relaid(feed.values, self.options.input_layouts, channels_last=self.channels_last)

    def _note_declined(self, feed: Feed, refusal: SizesRefused) -> None:
        """Sizes that the reference takes and the result does not, once for each reason."""
        reason = _shortened(refusal.message)
        if reason in self.declined:
            return
        self.declined.add(reason)
        text = f"the reference takes {_sizes_text(feed)} and the result declares that it does not: {reason}"
        self.notes.append(Note("sizes", text, "the sizes that were judged are those of the samples"))

    def _note_alike(self, feed: Feed) -> None:
        """Integers that had to be all alike prove less than those that differ."""
        if feed.alike and not any(note.topic == "integers" for note in self.notes):
            text = "integers are all alike within an input, for the reference takes no others that were tried"
            self.notes.append(Note("integers", text, "pass inputs that mean something with --inputs"))

    def _look_for_chance(self, feed: Feed, outputs: Mapping[str, Outputs]) -> None:
        """Run the reference again: what it does not repeat cannot be held against the candidate value by value."""
        again = self.reference.run(feed.values, DEFAULT)
        measures: dict[str, Measure] = {}
        self._compare(measures, outputs[DEFAULT], again, self.tolerance)
        self.random = frozenset(name for name, measure in measures.items() if not measure.result().agrees)
        if self.random:
            names = ", ".join(sorted(self.random))
            text = f"the reference gives other values on the same inputs in {names}; compared by mean and spread"
            self.notes.append(Note("random", text))

    def _compare_variants(self, outputs: Mapping[str, Outputs]) -> None:
        for variant, values in outputs.items():
            if variant != DEFAULT:
                self._compare(self.between.setdefault(variant, {}), outputs[DEFAULT], values, self.tolerance)

    def _compare(self, measures: dict[str, Measure], expected: Outputs, made: Outputs, tolerance: Tolerance) -> None:
        for name, value in expected.items():
            measure = measures.setdefault(name, Measure(name))
            if name not in made:
                measure.condemn(f"the result has no such output; it has {', '.join(made) or 'none'}")
            elif name in self.random:
                if not spread_agrees(value, made[name]):
                    measure.condemn("random in the reference, and the result's mean or spread is another")
                few = isinstance(value, np.ndarray) and value.size < FEW
                how = "by type and shape, for its values are few" if few else "by mean and spread"
                measure.soften(f"random in the reference: compared {how}")
            else:
                measure.add(value, made[name], tolerance)
        for name in made:
            if name not in expected:
                measures.setdefault(name, Measure(name)).condemn("the reference has no such output")

    def _compare_gradients(self, feed: Feed, given: Mapping[str, Value], outputs: Outputs) -> None:
        """The same loss over both: the reference's floating outputs, weighted."""
        weights = cotangents(outputs, self.options.seed, feed.index, self.random)
        if not weights:
            return
        try:
            expected = self.reference.gradients(feed.values, weights)
        except ModelRaised as error:
            text = f"the reference's own gradients cannot be computed: {_shortened(error.message)}"
            self.notes.append(Note("gradients", text))
            return
        if self.gradients is None:
            exactly = self.options.atol is not None
            self.gradients = GradientMeasures(self.tolerance, exactly, self.converted)
        weighted = relaid(weights, self.options.output_layouts, channels_last=self.channels_last)
        try:
            made = self.candidate.gradients(given, weighted)
        except ModelRaised as error:
            reason = _shortened(error.message)
            self.gradients.condemn(expected, f"the result's gradients cannot be computed: {reason}")
            return
        self.gradients.add(expected, made)

    def _note_gradients(self) -> None:
        """What was asked of gradients and could not be had, and what has no partner."""
        if not self.options.trainable:
            return
        fixed = [side.name for side in (self.reference, self.candidate) if not side.trains]
        if fixed:
            sides = " and ".join(dict.fromkeys(fixed))
            text = f"{sides}: no gradients can be had there, so only outputs were compared"
            self.notes.append(Note("gradients", text))
        elif self.gradients is not None:
            self.notes += self.gradients.notes()
            if not self.gradients.measures:
                self.notes.append(Note("gradients", f"{self.reference.name} has no parameter that is trained"))

    def _note_floor(self) -> None:
        """How much of an output rounding alone leaves undecided, where that was measured."""
        if self.floor is None:
            return
        measured = "rounding alone leaves {} undecided in this graph (against float64)"
        if self.floor.found:
            text = f"{measured.format(_shares(self.floor.found))}, which widened the bounds"
            self.notes.append(Note("floor", text, "--atol and --rtol set bounds of your own"))
        if self.floor.lost:
            text = f"{measured.format(_shares(self.floor.lost))}: right or wrong, it cannot be told on these inputs"
            self.notes.append(Note("floor", text, "pass inputs that the model was made for with --inputs"))

    def _condemn(self, outputs: Mapping[str, Outputs], detail: str) -> None:
        for variant, expected in outputs.items():
            measures = self.measures.setdefault(variant, {})
            for name in expected:
                measures.setdefault(name, Measure(name)).condemn(detail)

    def _best_variant(self) -> str:
        """The way of the reference that the candidate agrees with; the default, where it agrees with that."""
        agreeing = [way for way, found in self.measures.items() if _agrees(found)]
        best = agreeing[0] if agreeing else DEFAULT
        for variant, found in self.between.items():
            if _agrees(found):
                continue
            worst = max((m.result() for m in found.values()), key=lambda c: c.max_abs)
            text = (
                f"the reference computes differently with its {variant} (output {worst.output!r} "
                f"by {worst.max_abs:.3g}); the result agrees with {_listed(agreeing)}"
            )
            self.notes.append(Note("variants", text))
        return best

    def _note_dropped(self, names: Sequence[str]) -> None:
        if names and len(self.samples) == 1:
            self.notes.append(Note("inputs", f"the result takes no input {', '.join(names)}"))

    def _note_single_sizes(self) -> None:
        """A free dimension that never changed its size was not proved to be free."""
        seen: dict[str, set[int]] = {}
        for sample in self.samples:
            for dim, size in sample.sizes.items():
                seen.setdefault(dim, set()).add(size)
        fixed = [f"{dim} at {next(iter(sizes))}" for dim, sizes in seen.items() if len(sizes) == 1]
        if fixed:
            text = f"judged at one size only: {', '.join(fixed)}"
            self.notes.append(Note("sizes", text, "judge more samples, or pass inputs of another size"))

    def _note_empty_proofs(self, measures: Iterable[Measure]) -> None:
        """Agreement over nothing, or over nothing but NaN and infinities, is no proof."""
        for measure in measures:
            if measure.result().agrees and not measure.finite and measure.output not in self.random:
                what = "held no finite number" if measure.entries else "was empty"
                text = f"{measure.output!r} {what} in any sample, so its agreement proves little"
                self.notes.append(Note("values", text, "pass inputs that mean something with --inputs"))


def _is_empty(outputs: Outputs) -> bool:
    """Whether there is nothing in any of them."""
    return all(isinstance(value, np.ndarray) and not value.size for value in outputs.values())


def _agrees(found: Mapping[str, Measure]) -> bool:
    return all(measure.result().agrees for measure in found.values())


def _shares(found: Mapping[str, float]) -> str:
    return ", ".join(f"{share:.1e} of {name!r}" for name, share in found.items())


def _sizes_text(feed: Feed) -> str:
    return ", ".join(f"{dim}={size}" for dim, size in feed.sizes.items())


def _shortened(text: str, limit: int = 400) -> str:
    """On one line, with its beginning and its end: frameworks put the reason at either."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit // 2]} … {line[-limit // 2 :]}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(f"its {name}" for name in names) or "neither"
