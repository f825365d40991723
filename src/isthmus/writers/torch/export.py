"""A recorded module as an exported program, its free dimensions declared under their names."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import onnx_ir as ir
import torch
from torch import fx, nn
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config as symbolic

from isthmus.errors import Unsupported
from isthmus.hub.model import Hub
from isthmus.hub.state import state_of
from isthmus.types import Blocker, Note, Options
from isthmus.writers.torch.examples import Examples, name_of
from isthmus.writers.torch.origins import ORIGINS, origins
from isthmus.writers.torch.plain import as_plain
from isthmus.writers.torch.record import Recorded, record
from isthmus.writers.torch.whole import as_pytorch_has_them, whole_layers

_IMAGE = 4
"""The least rank of a batch of images."""

_OTHERS = (3, 768)
"""How many times as large as the example other sizes are. What divides the one divides the others."""

_WIDE = 32
"""Between the sizes of an example that shall stay clear of what torch.export decides by small ones."""

_WIDER = (256, 2048)
"""And between those of one in which something else is to be many, such as the frames of a sound."""

_SMALL = (1, 32, 256)
"""What may lie between the sizes of inputs that a program is saved with."""


@dataclass(frozen=True)
class _Attempt:
    """One way to ask torch.export for free dimensions.

    ``named``: under their names, with no limit but the known ones; otherwise as torch.export can have them. ``step``
    lies between the sizes of an example. ``oblivious``: sizes of 1 on the way (a pooled image) are not told apart,
    which would fix, or bar, what the module takes.
    """

    named: bool
    step: int
    oblivious: bool


_ATTEMPTS = (
    *(_Attempt(True, step, oblivious) for step in (_WIDE, 1) for oblivious in (False, True)),
    *(_Attempt(False, step, oblivious) for oblivious in (True, False) for step in (_WIDE, 1)),
)
"""Until one is taken. Images want sizes that can be halved a few times, positions in a short table small ones."""


def write_program(hub: Hub, path: Path | None, *, options: Options | None = None) -> Recorded:
    """Write ``hub`` to ``path`` as an exported program, or nothing without a path; return the live module.

    Raises errors.Unsupported with every blocker at once, and where torch.export will not take the module.
    """
    options = options or Options()
    recorded = record(hub, trainable=options.trainable, options=options)
    if path is None:
        return recorded
    program, notes = exported(recorded)
    with _quiet():
        told = origins(recorded)
        torch.export.save(program, path, extra_files={ORIGINS: told})
    return Recorded(recorded.hub.with_(notes=(*recorded.hub.notes, *notes)), recorded.module, recorded.stored)


def exported(recorded: Recorded) -> tuple[ExportedProgram, list[Note]]:
    """The program, and what is not as one would expect of it. Raises errors.Unsupported.

    One that bars a batch of one is taken where there is no other, and one that was made for the example's sizes alone
    where there is none of these.
    """
    failures: list[Exception] = []
    narrow: tuple[ExportedProgram, str] | None = None
    barred: tuple[ExportedProgram, list[Note]] | None = None
    examples = Examples.of(recorded.hub)
    dims = examples.dims
    plain = as_plain(recorded.module, state_of(recorded.hub.extras).modules.get("", ""))
    attempts = _attempts(recorded.hub.graph)
    while attempts:
        attempt = attempts.pop(0)
        step = examples.affordable(attempt.step)
        shapes = examples.axes(dims if attempt.named else dict.fromkeys(dims, Dim.AUTO))
        given = examples.tensors(examples.sizes(step))
        try:
            program = _export(plain, given, shapes, oblivious=attempt.oblivious)
        except _FAILURES as error:
            failures.append(error)
            if not dims:
                break
            continue
        if not dims:
            return program, []
        guard = _guard(examples, program)
        if (equation := _equation(examples, guard, step)) is not None:
            if narrow is None:
                wider = [wide for wide in _WIDER if examples.affordable(wide) > step]
                attempts[:0] = [replace(attempt, step=wide, oblivious=o) for wide in wider for o in (False, True)]
                narrow = program, equation
            continue
        program.example_inputs = (_least(examples, guard) or given, {})
        bars = _bars_one(examples, guard)
        as_asked = attempt.named and not bars and not examples.fixed.keys() & dims
        made = program, [] if as_asked else [_loosened(examples, program, guard, named=attempt.named)]
        if not bars:
            return made
        barred = barred or made
    if barred is not None:
        return barred
    if narrow is not None:
        text = f"torch.export takes only sizes of which {narrow[1]}"
        return narrow[0], [Note("dynamic shapes", text, "the module in memory and its .py take every size")]
    raise _refused(failures[0]) from failures[0]


def _attempts(graph: ir.Graph) -> list[_Attempt]:
    """In the order in which they are likely to be taken.

    Images of any height and width shrink on their way, to what may be one pixel: that is barred where sizes of 1 are
    told apart, so the attempts that do not tell them apart come first.
    """
    images = [value.shape for value in graph.inputs if value.shape is not None and len(value.shape) >= _IMAGE]
    if not any(name_of(side) for shape in images for side in shape[1:]):
        return [*_ATTEMPTS]
    return [replace(a, oblivious=not a.oblivious) if a.named else a for a in _ATTEMPTS]


_Guard: TypeAlias = Callable[[Mapping[str, int]], str | None]
"""What a program takes only sizes of which it holds, where it does not hold of these."""


def _guard(examples: Examples, program: ExportedProgram) -> _Guard:
    guards = getattr(program.module(), "_guards_fn", None)

    def told(sizes: Mapping[str, int]) -> str | None:
        if guards is None:
            return None
        try:
            guards(*examples.tensors(sizes, device="meta"))
        except AssertionError as error:
            return str(error).partition("Guard failed: ")[2] or None
        return None

    return told


def _equation(examples: Examples, guard: _Guard, step: int) -> str | None:
    """What torch.export took for given of the example's sizes, where it does not hold at others: ``n // 256 == 1``.

    It tells sizes of 0 and 1 from all others, also those that are computed on the way, and writes no limit of them.
    """
    for times in _OTHERS:
        told = guard(examples.sizes(step, times=times))
        if told is not None and " == " in told:
            return told
    return None


def _least(examples: Examples, guard: _Guard) -> tuple[torch.Tensor, ...] | None:
    """Small inputs that a program takes: it is saved with them, whatever it was traced with."""
    sizes = next((found for step in _SMALL if guard(found := examples.sizes(step)) is None), None)
    return None if sizes is None else examples.tensors(sizes)


def _loosened(examples: Examples, program: ExportedProgram, guard: _Guard, *, named: bool) -> Note:
    """What became of free dimensions that torch.export would not take under their names, or not at all sizes."""
    told = []
    if fell := sorted(set(_fallen(examples, program))):
        told.append(f"fixed the size of {', '.join(fell)}")
    elif not named:
        told.append("named the free dimensions")
    if not fell and (limit := _least_limit(examples, guard)) is not None:
        told.append(f"takes only sizes of which {limit}")
    text = f"torch.export {' and '.join(told)}"
    return Note("dynamic shapes", text, "the module in memory and its .py take every size")


def _least_limit(examples: Examples, guard: _Guard) -> str | None:
    """What keeps a program from the least sizes that the source's inputs may have, one dimension at a time."""
    limits = (_limit(examples, guard, name) for name in examples.names)
    return next((told for told in limits if told is not None), None)


def _bars_one(examples: Examples, guard: _Guard) -> bool:
    """Whether the first axis of an input may not have the least size that the source's may: a batch of one."""
    first = {name_of(value.shape[0]) for value in examples.inputs if value.shape}
    return any(_limit(examples, guard, name) is not None for name in first if name is not None)


def _limit(examples: Examples, guard: _Guard, name: str) -> str | None:
    """What keeps a program from the least size of one dimension, where the others have room."""
    sizes = examples.sizes(examples.affordable(_WIDER[0]))
    return guard({**sizes, name: examples.least(name)})


_FAILURES = (RuntimeError, ValueError, TypeError, AssertionError, torch._dynamo.exc.UserError)


def _export(
    module: nn.Module, given: tuple[torch.Tensor, ...], shapes: tuple[dict[int, Any], ...], *, oblivious: bool
) -> ExportedProgram:
    with _quiet(), whole_layers(), symbolic.patch(backed_size_oblivious=oblivious):
        program = torch.export.export(module, given, dynamic_shapes=shapes, strict=False)
    return _without_places(as_pytorch_has_them(program))


def _without_places(program: ExportedProgram) -> ExportedProgram:
    """``program`` without the lines of code that torch.export saw: they are ours, on this machine."""
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, fx.GraphModule) else ():
            for place in ("stack_trace", "from_node"):
                node.meta.pop(place, None)
    return program


def _refused(error: Exception) -> Unsupported:
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return Unsupported(
        "torch.export refuses this model:",
        [Blocker("the model", line[:200])],
        hint="write a .py instead, or keep the module in memory",
    )


def _fallen(examples: Examples, program: ExportedProgram) -> Iterator[str]:
    """Free dimensions that became sizes."""
    holders = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    for name, value in zip(program.graph_signature.user_inputs, examples.inputs, strict=False):
        made = holders[str(name)].meta["val"].shape
        for size, dim in zip(made, value.shape or (), strict=True):
            if (free := name_of(dim)) and isinstance(size, int):
                yield free


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporter tells its own developers."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
