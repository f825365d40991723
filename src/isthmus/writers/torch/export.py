"""A recorded module as an exported program, its free dimensions declared under their names."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from isthmus.writers.torch.fixed import fixed_sizes
from isthmus.writers.torch.names import identifier, unique
from isthmus.writers.torch.origins import ORIGINS, origins
from isthmus.writers.torch.plain import as_plain
from isthmus.writers.torch.record import Recorded, record
from isthmus.writers.torch.weights import held_dtype
from isthmus.writers.torch.whole import as_pytorch_has_them, whole_layers

_IMAGE = 4
"""The least rank of a batch of images."""

_FIRST = 3
"""The least size of an example: 0 and 1 are special to torch.export."""

_OTHERS = (3, 768)
"""How many times as large as the example other sizes are. What divides the one divides the others."""

_MOST = 1 << 26
"""How many elements the examples may have together."""

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

    One that was made for the example's sizes alone is taken where there is no other.
    """
    failures: list[Exception] = []
    narrow: tuple[ExportedProgram, str] | None = None
    fixed = fixed_sizes(recorded.hub.graph)
    plain = as_plain(recorded.module, state_of(recorded.hub.extras).modules.get("", ""))
    attempts = _attempts(recorded.hub.graph)
    while attempts:
        attempt = attempts.pop(0)
        step = _affordable(recorded, attempt.step)
        sizes, dims = _free(recorded, step)
        shapes = dims if attempt.named else dict.fromkeys(dims, Dim.AUTO)
        try:
            program = _export(plain, recorded.hub.graph.inputs, sizes, shapes, oblivious=attempt.oblivious)
        except _FAILURES as error:
            failures.append(error)
            if not dims:
                break
            continue
        guard = _guard(recorded, program)
        if dims and (equation := _equation(recorded, guard, step)) is not None:
            if narrow is None:
                wider = [wide for wide in _WIDER if _affordable(recorded, wide) > step]
                attempts[:0] = [replace(attempt, step=wide, oblivious=o) for wide in wider for o in (False, True)]
                narrow = program, equation
            continue
        program.example_inputs = (_least_examples(recorded, guard, sizes), {})
        return program, [] if attempt.named and not fixed.keys() & dims else [_loosened(recorded, program, guard)]
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
    if not any(_name_of(side) for shape in images for side in shape[1:]):
        return [*_ATTEMPTS]
    return [replace(a, oblivious=not a.oblivious) if a.named else a for a in _ATTEMPTS]


_Guard: TypeAlias = Callable[[Mapping[str, int]], str | None]
"""What a program takes only sizes of which it holds, where it does not hold of these."""


def _guard(recorded: Recorded, program: ExportedProgram) -> _Guard:
    guards = getattr(program.module(), "_guards_fn", None)

    def told(sizes: Mapping[str, int]) -> str | None:
        if guards is None:
            return None
        try:
            guards(*_examples(recorded.hub.graph.inputs, sizes, device="meta"))
        except AssertionError as error:
            return str(error).partition("Guard failed: ")[2] or None
        return None

    return told


def _equation(recorded: Recorded, guard: _Guard, step: int) -> str | None:
    """What torch.export took for given of the example's sizes, where it does not hold at others: ``n // 256 == 1``.

    It tells sizes of 0 and 1 from all others, also those that are computed on the way, and writes no limit of them.
    """
    for times in _OTHERS:
        told = guard(_free(recorded, step, times=times)[0])
        if told is not None and " == " in told:
            return told
    return None


def _least_examples(recorded: Recorded, guard: _Guard, sizes: Mapping[str, int]) -> tuple[torch.Tensor, ...]:
    """Small inputs that a program takes, for those were ``sizes``: it is saved with them."""
    smaller = (_free(recorded, step)[0] for step in _SMALL)
    least = next((found for found in smaller if guard(found) is None), sizes)
    return _examples(recorded.hub.graph.inputs, least)


def _loosened(recorded: Recorded, program: ExportedProgram, guard: _Guard) -> Note:
    """What became of free dimensions that torch.export would not take under their names."""
    fell = sorted(set(_fallen(recorded, program)))
    text = f"torch.export fixed the size of {', '.join(fell)}" if fell else "torch.export named the free dimensions"
    if not fell and (limit := _least_limit(recorded, guard)) is not None:
        text += f" and takes only sizes of which {limit}"
    return Note("dynamic shapes", text, "the module in memory and its .py take every size")


def _least_limit(recorded: Recorded, guard: _Guard) -> str | None:
    """What keeps a program from the least sizes that the source's inputs may have, one dimension at a time."""
    sizes, dims = _free(recorded, _affordable(recorded, _WIDER[0]))
    limits: Mapping[str, Any] = recorded.hub.extras.get("dims", {})
    for name in dims:
        limit = limits.get(name, {})
        least = max(limit.get("min") or 1, limit.get("offset", 0) + limit.get("multiple", 1))
        if (told := guard({**sizes, name: least})) is not None:
            return told
    return None


_FAILURES = (RuntimeError, ValueError, TypeError, AssertionError, torch._dynamo.exc.UserError)


def _export(
    module: nn.Module,
    inputs: Sequence[Any],
    sizes: Mapping[str, int],
    dims: Mapping[str, Any],
    *,
    oblivious: bool,
) -> ExportedProgram:
    shapes = tuple(_axes(value, dims) for value in inputs)
    with _quiet(), whole_layers(), symbolic.patch(backed_size_oblivious=oblivious):
        program = torch.export.export(module, _examples(inputs, sizes), dynamic_shapes=shapes, strict=False)
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


def _free(recorded: Recorded, step: int, *, times: int = 1) -> tuple[dict[str, int], dict[str, Any]]:
    """The free dimensions of the inputs: sizes of an example, none like another, and what torch calls them.

    ``step`` lies between the sizes of two dimensions. The sizes are ``times`` as large as the least that will do.
    """
    names = list(dict.fromkeys(n for v in recorded.hub.graph.inputs for d in v.shape or () if (n := _name_of(d))))
    limits: Mapping[str, Any] = recorded.hub.extras.get("dims", {})
    fixed = fixed_sizes(recorded.hub.graph)
    sizes: dict[str, int] = {}
    dims: dict[str, Any] = {}
    taken: list[str] = []
    for at, name in enumerate(names):
        if name in fixed:
            sizes[name], dims[name] = fixed[name], Dim.STATIC
            continue
        limit = limits.get(name, {})
        multiple, offset = limit.get("multiple", 1), limit.get("offset", 0)
        least = max(limit.get("min") or 0, _FIRST if step == 1 else 8 * step)
        steps = -(-(least - offset) // multiple) + at * step
        sizes[name] = multiple * steps * times + offset
        if limit.get("max"):
            sizes[name] = min(sizes[name], limit["max"])
        title = unique(identifier(str(name), otherwise="dim"), taken)
        taken.append(title)
        if multiple != 1 or offset:
            dims[name] = Dim.AUTO
        else:
            dims[name] = Dim(title, **{k: v for k in ("min", "max") if (v := limit.get(k)) is not None})
    return sizes, dims


def _affordable(recorded: Recorded, step: int) -> int:
    """``step``, or less where all examples would not fit into memory."""
    while step > 1:
        sizes, _ = _free(recorded, step)
        examples = _examples(recorded.hub.graph.inputs, sizes, device="meta")
        if sum(example.numel() for example in examples) <= _MOST:
            break
        step //= 2
    return step


def _name_of(dim: Any) -> str | None:
    """The name of a free dimension; None for a size and for one without a name."""
    return None if isinstance(dim, int) else dim.value


def _examples(inputs: Sequence[Any], sizes: Mapping[str, int], *, device: str = "cpu") -> tuple[torch.Tensor, ...]:
    shapes = [[d if isinstance(d, int) else sizes.get(d.value, _FIRST) for d in v.shape or ()] for v in inputs]
    return tuple(
        torch.zeros(shape, dtype=held_dtype(value.dtype), device=device)
        for value, shape in zip(inputs, shapes, strict=True)
    )


def _axes(value: Any, dims: Mapping[str, Any]) -> dict[int, Any]:
    axes = {
        i: Dim.AUTO if d.value is None else dims[d.value]
        for i, d in enumerate(value.shape or ())
        if not isinstance(d, int)
    }
    return dict(axes)


def _fallen(recorded: Recorded, program: ExportedProgram) -> Iterator[str]:
    """Free dimensions that became sizes."""
    holders = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    for name, value in zip(program.graph_signature.user_inputs, recorded.hub.graph.inputs, strict=False):
        made = holders[str(name)].meta["val"].shape
        for size, dim in zip(made, value.shape or (), strict=True):
            if (free := _name_of(dim)) and isinstance(size, int):
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
