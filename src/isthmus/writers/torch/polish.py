"""What a person would not have written: scalars as buffers."""

from __future__ import annotations

import math
import operator

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
            _write_numbers(module, node)
    module.graph.eliminate_dead_code()
    _drop_unused(module)
    module.recompile()
    return module


def _write_numbers(module: fx.GraphModule, node: fx.Node) -> None:
    numbers = [_number(module, a) for a in node.args]
    if sum(n is None for n in numbers) != 1 or len(node.args) != 2 or node.kwargs:
        return
    node.args = tuple(a if n is None else n for a, n in zip(node.args, numbers, strict=True))


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
            return None
        short = float(f"{value:.7g}")
        return short if torch.tensor(short, dtype=held.dtype).item() == value and held.itemsize <= 4 else value
    return int(value)


def _drop_unused(module: fx.GraphModule) -> None:
    """Constants that became numbers."""
    used = {str(node.target) for node in module.graph.nodes if node.op == "get_attr"}
    for name in [n for n in module._non_persistent_buffers_set if n not in used]:
        module._buffers.pop(name, None)
        module._non_persistent_buffers_set.discard(name)
