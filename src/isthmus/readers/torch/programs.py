"""Exported programs as they come: their free dimensions, which carry no names of the user's any more."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from isthmus.readers.torch.capture import named_inputs, tensor_placeholders
from isthmus.readers.torch.dims import Axes, Choice, Derived, Free, asked_axes


def axes_of(program: torch.export.ExportedProgram, dynamic_shapes: Any) -> Axes:
    """The program's own free axes, named after the input where they first appear, or as ``dynamic_shapes`` says."""
    bound = dict(zip(named_inputs(program), tensor_placeholders(program), strict=True))
    asked = asked_axes(dynamic_shapes, bound)
    axes: dict[str, dict[int, str]] = {name: dict(own) for name, own in asked.axes.items()}
    choices: dict[str, Choice] = dict(asked.choices)
    names = dict(asked.asked)
    known: dict[str, str] = {}
    for name, value in bound.items():
        for axis, size in enumerate(value.shape):
            if isinstance(size, int):
                continue
            text = str(size.node)
            own = axes.get(name, {}).get(axis) or known.get(text) or f"{name.replace('.', '_')}_dim_{axis}"
            known.setdefault(text, own)
            axes.setdefault(name, {})[axis] = known[text]
            names.setdefault(known[text], known[text])
            choices[known[text]] = _choice(program, size, known, choices)
    return dataclasses.replace(asked, axes=axes, choices=choices, asked=names)


def _choice(
    program: torch.export.ExportedProgram, size: Any, known: dict[str, str], choices: dict[str, Choice]
) -> Choice:
    expression = size.node.expr
    bounds = program.range_constraints.get(expression)
    if expression.is_Symbol:
        low = int(bounds.lower) if bounds is not None and bounds.lower > 1 else None
        finite = bounds is not None and bounds.upper < 2**31
        return Free(low, int(bounds.upper) if finite else None)
    symbols = list(expression.free_symbols)
    if len(symbols) != 1:
        return Free()
    symbol = symbols[0]
    offset = int(expression.subs(symbol, 0))
    factor = int(expression.subs(symbol, 1)) - offset
    root = known.setdefault(str(symbol), f"_{symbol}")
    choices.setdefault(root, Free())
    return Derived(root, factor, offset)
