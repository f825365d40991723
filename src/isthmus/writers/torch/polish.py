"""What a person would not have written: scalars as buffers."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence

import torch
from torch import fx

_TAKE_NUMBERS = frozenset(
    {
        *(operator.add, operator.sub, operator.mul, operator.truediv),
        *(torch.add, torch.sub, torch.mul, torch.div, torch.true_divide),
    }
)
"""Functions of tensors of one type that give the same for a Python number in the place of a tensor without axes."""


def polished(module: fx.GraphModule) -> fx.GraphModule:
    """``module`` with numbers written as numbers, and without what nothing uses any more."""
    for node in list(module.graph.nodes):
        if node.op == "call_function" and node.target in _TAKE_NUMBERS:
            _write_numbers(module, node, range(2))
        if node.op == "call_function" and node.target is torch.where and len(node.args) == 3:
            _write_numbers(module, node, (1, 2))
    module.graph.eliminate_dead_code()
    _drop_unused(module)
    module.recompile()
    return module


def _write_numbers(module: fx.GraphModule, node: fx.Node, places: Sequence[int]) -> None:
    """Write the only constant without axes among these operands; one tensor must stay to tell the type."""
    numbers = {i: _number(module, node.args[i]) for i in places} if len(node.args) > max(places) else {}
    if sum(n is None for n in numbers.values()) != 1 or node.kwargs:
        return
    node.args = tuple(a if numbers.get(i) is None else numbers[i] for i, a in enumerate(node.args))


def _number(module: fx.GraphModule, argument: object) -> float | int | None:
    """The value of a constant without axes, where a Python number says it exactly."""
    if not isinstance(argument, fx.Node) or argument.op != "get_attr":
        return None
    name = str(argument.target)
    held = module._buffers.get(name)
    if held is None or name not in module._non_persistent_buffers_set or held.ndim or held.dtype == torch.bool:
        return None
    if held.dtype.is_complex or held.dtype.itemsize < 2:
        return None
    value = held.item()
    if isinstance(value, float):
        if not math.isfinite(value):
            return value
        short = float(f"{value:.7g}")
        return short if torch.tensor(short, dtype=held.dtype).item() == value and held.itemsize <= 4 else value
    return int(value)


def _drop_unused(module: fx.GraphModule) -> None:
    """Constants that became numbers."""
    used = {str(node.target) for node in module.graph.nodes if node.op == "get_attr"}
    for name in [n for n in module._non_persistent_buffers_set if n not in used]:
        module._buffers.pop(name, None)
        module._non_persistent_buffers_set.discard(name)
