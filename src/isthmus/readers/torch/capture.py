"""The roads from a module to a graph, in a stated order, and what each refusal was."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind

from isthmus.readers.torch.dims import Axes, Derived, Fixed, Free, fixed, refined
from isthmus.readers.torch.feeds import Feeds, tensor_names
from isthmus.readers.torch.quiet import quiet
from isthmus.readers.torch.structure import forward_with_own_keywords, input_names_of_spec, output_names_of_spec
from isthmus.readers.torch.whole import whole_layers
from isthmus.types import Note

_ROUNDS = 12
"""How often suggested constraints are taken up before a road counts as refused."""


def refusals() -> tuple[type[BaseException], ...]:
    """What torch's tracers raise when they cannot capture a module: their own errors, and Python's from inside it."""
    from torch._export.verifier import SpecViolationError

    return (
        RuntimeError,
        ValueError,
        TypeError,
        AssertionError,
        LookupError,
        AttributeError,
        ArithmeticError,
        NameError,
        SpecViolationError,
    )


@dataclass(frozen=True)
class Captured:
    """A program of torch.export's, its tensor inputs, the axes that it kept free, and what had to be given up."""

    program: torch.export.ExportedProgram
    inputs: tuple[str, ...]
    axes: Axes
    notes: tuple[Note, ...]


def export(module: torch.nn.Module, feeds: Feeds, axes: Axes, *, strict: bool, trainable: bool) -> Captured:
    """torch.export, taking up its suggested constraints until it accepts.

    Raises:
        one of ``refusals()``: the module cannot be captured this way.
    """
    notes: list[Note] = []
    bound = feeds.bound(module)
    inputs = tuple(tensor_names(bound))
    for _ in range(_ROUNDS):
        try:
            shapes = axes.tree(bound) if axes.axes else None
            with quiet(), whole_layers(trainable=trainable), forward_with_own_keywords(module, bound):
                program = torch.export.export(
                    module,
                    feeds.args,
                    feeds.kwargs,
                    dynamic_shapes=shapes,
                    strict=strict,
                )
            return Captured(program, inputs, *_with_limits(program, inputs, axes, tuple(notes)))
        except torch._dynamo.exc.UserError as error:
            better = refined(axes, str(error))
            if better is None:
                better = _fallen(axes, bound, str(error))
            if better is None:
                raise
            axes, told = better
            notes += told
    raise RuntimeError(f"torch.export still asks for other dimensions after {_ROUNDS} rounds")


def _fallen(axes: Axes, bound: Mapping[str, Any], message: str) -> tuple[Axes, tuple[Note, ...]] | None:
    """The axes that a specialisation error without suggested fixes names, as fixed."""
    names = re.findall(r"You marked (\w+) as dynamic but your code specialized it", message)
    for leaf, axis in re.findall(r"You marked L((?:\[[^\]]+\])+)\.size\(\)\[(\d+)\] as dynamic", message):
        own = axes.axes.get(".".join(part.strip("'") for part in re.findall(r"\[([^\]]+)\]", leaf)), {})
        names += [own[int(axis)]] if int(axis) in own else []
    names = [name for name in dict.fromkeys(names) if name in axes.choices]
    if not names:
        return None
    reason = next((line.strip(" -") for line in message.splitlines() if "specialized it" in line), "")
    less, note = fixed(axes, names, bound, reason.split(" If you're")[0])
    return less, (note,)


def _with_limits(
    program: torch.export.ExportedProgram, inputs: Sequence[str], axes: Axes, notes: tuple[Note, ...]
) -> tuple[Axes, tuple[Note, ...]]:
    """``axes`` with the limits that torch.export found for free dimensions, each told once."""
    choices, told = dict(axes.choices), list(notes)
    for name, value in zip(inputs, tensor_placeholders(program), strict=True):
        for axis, dim in axes.axes.get(name, {}).items():
            size, choice = value.shape[axis], choices[dim]
            if isinstance(size, int) or not isinstance(choice, Free) or not size.node.expr.is_Symbol:
                continue
            limits = program.range_constraints.get(size.node.expr)
            if limits is None:
                continue
            # 2 is where torch.export starts anyhow; it means no limit of the module's own.
            low = int(limits.lower) if limits.lower > max(2, choice.minimum or 2) else choice.minimum
            high = int(limits.upper) if limits.upper < 2**31 else choice.maximum
            if Free(low, high) != choice:
                choices[dim] = Free(low, high)
                bounds = f"at least {low}" if high == choice.maximum else f"between {low or 0} and {high}"
                told.append(Note("dimension", f"{axes.asked.get(dim, dim)} must be {bounds}"))
    return dataclasses.replace(axes, choices=choices), tuple(told)


def tensor_placeholders(program: torch.export.ExportedProgram) -> list[Any]:
    """The example values, fake, of the tensor inputs, in order."""
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    specs = [s for s in program.graph_signature.input_specs if s.kind == InputKind.USER_INPUT]
    return [values[s.arg.name] for s in specs if not isinstance(s.arg, ConstantArgument)]


def named_inputs(program: torch.export.ExportedProgram) -> list[str]:
    """Names of the tensor inputs, in order."""
    specs = [s for s in program.graph_signature.input_specs if s.kind == InputKind.USER_INPUT]
    signature = program.module_call_graph[0].signature
    parameters = getattr(signature, "forward_arg_names", None)
    names = input_names_of_spec(program.call_spec.in_spec, parameters)
    return [n for n, s in zip(names, specs, strict=True) if not isinstance(s.arg, ConstantArgument)]


def named_outputs(program: torch.export.ExportedProgram) -> tuple[list[str], list[Note]]:
    """Names of the tensor outputs, in order, and a note for each output that is a constant."""
    specs = [s for s in program.graph_signature.output_specs if s.kind == OutputKind.USER_OUTPUT]
    names = output_names_of_spec(program.call_spec.out_spec)
    kept, notes = [], []
    for name, spec in zip(names, specs, strict=True):
        if not isinstance(spec.arg, ConstantArgument):
            kept.append(name)
        elif spec.arg.value is not None:
            notes.append(Note("output", f"{name} is the constant {spec.arg.value!r} and is left out"))
    return kept, notes


def state_notes(program: torch.export.ExportedProgram) -> list[Note]:
    """What ``forward`` writes besides its outputs; a graph cannot keep it."""
    notes = []
    for spec in program.graph_signature.output_specs:
        if spec.kind == OutputKind.BUFFER_MUTATION:
            text = f"forward updates the buffer {spec.target}; every call of the result starts from its saved value"
            notes.append(Note("state", text))
        elif spec.kind == OutputKind.USER_INPUT_MUTATION:
            notes.append(Note("state", f"forward writes into its input {spec.target}; the result does not"))
    return notes


def dimension_names(
    program: torch.export.ExportedProgram, axes: Axes, names: Sequence[str]
) -> tuple[dict[str, str], list[Note]]:
    """torch's symbols and expressions of the inputs' free axes → the user's names, and a note for each that fell."""
    fell: list[Note] = []
    result: dict[str, str] = {}
    roots: dict[str, str] = {}
    for name, value in zip(names, tensor_placeholders(program), strict=True):
        for axis, dim in axes.axes.get(name, {}).items():
            size = value.shape[axis]
            if isinstance(size, int):
                if not isinstance(axes.choices[dim], Fixed):
                    text = f"axis {axis} of {name} ({axes.asked[dim]}) is {size} in the exported program"
                    fell.append(Note("dimension", text))
                continue
            text, choice = str(size.node), axes.choices[dim]
            result.setdefault(text, axes.asked[dim])
            symbols = [str(symbol) for symbol in size.node.expr.free_symbols]
            if isinstance(choice, Derived) and len(symbols) == 1 and not text.isidentifier():
                inverse = axes.asked[dim]
                inverse = f"({inverse} - {choice.offset})" if choice.offset else inverse
                roots.setdefault(symbols[0], f"({inverse}//{choice.factor})" if choice.factor != 1 else inverse)
    return {**roots, **result}, fell


_INTERPRETED = "The following operation failed in the TorchScript interpreter"


def one_line(error: BaseException) -> str:
    """The reason in an error, without torch's advice on how to debug torch."""
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    lines = [line.strip() for line in str(causes[-1]).splitlines() if line.strip()]
    text = lines[0] if lines else type(causes[-1]).__name__
    if text.startswith(_INTERPRETED):  # the reason stands below the trace through the script
        text = lines[-1].removeprefix(f"{type(causes[-1]).__name__}: ")
    return f"{type(causes[-1]).__name__}: {text[:300]}"
