"""Two models whose inputs and outputs have other names: what is left of either after the names is paired by place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from isthmus.types import Note, Signature, TensorSpec
from isthmus.verify.runners.codec import Array, Value
from isthmus.verify.runners.gradients import Gradients
from isthmus.verify.runners.protocol import DEFAULT, Runner


def paired(reference: Runner, candidate: Runner) -> tuple[Runner, Runner, Sequence[Note]]:
    """Both as the judge runs them, the candidate under the reference's names, and notes that fill while it does.

    Other converters rename, so a name may be in one model only. Where as many are left on either side, the first is
    held against the first. A wrong pair shows: its values differ.
    """
    pairing = _Pairing()
    heard = _Heard(reference, pairing)
    wanted = [spec.name for spec in candidate.signature.inputs]
    pairing.inputs = _by_place([spec.name for spec in reference.signature.inputs], wanted)
    pairing.tell("inputs", pairing.inputs)
    return heard, _Renamed(candidate, pairing), pairing.notes


def _by_place(known: Sequence[str], other: Sequence[str]) -> dict[str, str]:
    """Names of the candidate → the reference's, of those that only one of both has."""
    left = [name for name in known if name not in other]
    right = [name for name in other if name not in known]
    return dict(zip(right, left, strict=True)) if len(left) == len(right) else {}


@dataclass
class _Pairing:
    """What is called what: filled for outputs when both have been run."""

    inputs: dict[str, str] = field(default_factory=dict)
    expected: tuple[str, ...] = ()
    notes: list[Note] = field(default_factory=list)

    def outputs(self, made: Iterable[str]) -> dict[str, str]:
        found = _by_place(self.expected, list(made))
        self.tell("outputs", found)
        return found

    def tell(self, what: str, pairs: Mapping[str, str]) -> None:
        if pairs and not any(note.topic == what for note in self.notes):
            named = ", ".join(f"{theirs} ↔ {own}" for own, theirs in pairs.items())
            self.notes.append(Note(what, f"paired by place, for their names differ: {named}"))


@dataclass(frozen=True)
class _Heard:
    """A runner whose outputs' names are kept."""

    runner: Runner
    pairing: _Pairing

    @property
    def name(self) -> str:
        return self.runner.name

    @property
    def signature(self) -> Signature:
        return self.runner.signature

    @property
    def variants(self) -> tuple[str, ...]:
        return self.runner.variants

    @property
    def trains(self) -> bool:
        return self.runner.trains

    def run(self, feeds: Mapping[str, Value], variant: str = DEFAULT) -> dict[str, Value]:
        outputs = self.runner.run(feeds, variant)
        self.pairing.expected = tuple(outputs)
        return outputs

    def gradients(self, feeds: Mapping[str, Value], cotangents: Mapping[str, Array]) -> Gradients:
        return self.runner.gradients(feeds, cotangents)

    def close(self) -> None:
        self.runner.close()


@dataclass(frozen=True)
class _Renamed(_Heard):
    """A runner that is fed, and answers, under the names of another."""

    @property
    def signature(self) -> Signature:
        outputs = _by_place(self.pairing.expected, [spec.name for spec in self.runner.signature.outputs])
        return Signature(
            tuple(_called(spec, self.pairing.inputs) for spec in self.runner.signature.inputs),
            tuple(_called(spec, outputs) for spec in self.runner.signature.outputs),
        )

    def run(self, feeds: Mapping[str, Value], variant: str = DEFAULT) -> dict[str, Value]:
        made = self.runner.run(self._fed(feeds), variant)
        renamed = self.pairing.outputs(made)
        return {renamed.get(name, name): value for name, value in made.items()}

    def gradients(self, feeds: Mapping[str, Value], cotangents: Mapping[str, Array]) -> Gradients:
        renamed = self.pairing.outputs(spec.name for spec in self.runner.signature.outputs)
        own = {theirs: name for name, theirs in renamed.items()}
        weights = {own.get(name, name): value for name, value in cotangents.items()}
        return self.runner.gradients(self._fed(feeds), weights)

    def _fed(self, feeds: Mapping[str, Value]) -> dict[str, Value]:
        own = {theirs: name for name, theirs in self.pairing.inputs.items()}
        return {own.get(name, name): value for name, value in feeds.items()}


def _called(spec: TensorSpec, names: Mapping[str, str]) -> TensorSpec:
    return replace(spec, name=names.get(spec.name, spec.name))
