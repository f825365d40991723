"""Loops that PyTorch can export: a Python loop over tensors eagerly, ``while_loop`` once recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch

from isthmus.lower.walk import Context
from isthmus.writers.torch.backend import TorchBackend


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


def apart(made: Sequence[Any]) -> list[Any]:
    """What a body gives, in memory of its own: PyTorch refuses results that are views of operands."""
    return [apart(value) if isinstance(value, list) else value.clone() for value in made]
