"""Loops that PyTorch can export: a Python loop over tensors eagerly, ``while_loop`` once recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import nn

from isthmus.lower.walk import Context
from isthmus.writers.torch.backend import TorchBackend
from isthmus.writers.torch.ops._common import leaf


def recorder_of(c: Context) -> Any:
    """What records the lowering, or None where it is called on tensors of now."""
    return cast(TorchBackend, c._backend).recorder


def while_loop(
    c: Context, goes_on: Callable[..., Any], step: Callable[..., Sequence[Any]], state: Sequence[Any]
) -> list[Any]:
    """``state`` after ``step`` has been applied for as long as ``goes_on``, which gives a bool of shape ().

    Every tensor of the state keeps its type, and its shape too where the module is to be exported.
    """
    recorder = recorder_of(c)
    if recorder is None:
        state = list(state)
        while bool(goes_on(*state)):
            state = list(step(*state))
        return list(state)
    bodies, captured = recorder.bodies([goes_on, lambda *given: apart(step(*given))], len(state))
    made = recorder.call(torch.ops.higher_order.while_loop, *bodies, tuple(state), captured)
    return [made[i] for i in range(len(state))]


@leaf
def scanned(
    body: nn.Module, state: list[torch.Tensor], xs: list[torch.Tensor], captured: Sequence[Any]
) -> list[torch.Tensor]:
    """``state`` after ``body`` has gone along the first axis of ``xs``, then what it collected on the way."""
    if torch.compiler.is_exporting() and not torch.compiler.is_dynamo_compiling():
        return list(torch.ops.higher_order.scan(body, state, xs, captured))
    count = len(state)
    rows = []
    for step in range(xs[0].size(0)):
        made = body(*state, *(x[step] for x in xs), *captured)
        state = list(made[:count])
        rows.append(made[count:])
    if rows:
        return [*state, *(torch.stack(row) for row in zip(*rows, strict=True))]
    made = body(*state, *(x.new_zeros(x.shape[1:]) for x in xs), *captured)  # for the shapes alone
    return [*state, *(row.new_zeros([0, *row.shape]) for row in made[count:])]


def apart(made: Sequence[Any]) -> list[Any]:
    """What a body gives, in memory of its own: PyTorch refuses results that are views of operands."""
    return [apart(value) if isinstance(value, list) else value.clone() for value in made]
