"""What a person would not have written: scalars as buffers, slices of slices, reshapes that only flatten."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import onnx_ir as ir
import torch
from torch import fx

from isthmus.writers.torch.numerals import shortest
from isthmus.writers.torch.recorder import VALUE

_TAKE_NUMBERS = frozenset(
    {
        *(operator.add, operator.sub, operator.mul, operator.truediv),
        *(operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge),
        *(torch.add, torch.sub, torch.mul, torch.div, torch.true_divide),
        *(torch.eq, torch.ne, torch.lt, torch.le, torch.gt, torch.ge),
    }
)
"""Functions of tensors of one type that give the same for a Python number in the place of a tensor without axes."""


def polished(module: fx.GraphModule) -> fx.GraphModule:
    """``module`` with numbers written as numbers, and without what nothing uses any more."""
    for node in list(module.graph.nodes):
        if node.op == "call_function" and node.target in _TAKE_NUMBERS:
            _write_numbers(module, node, range(2))
        elif node.op == "call_function" and node.target is torch.where and len(node.args) == 3:
            _write_numbers(module, node, (1, 2))
        elif node.op == "call_function" and node.target is operator.getitem:
            _slice_once(node)
        elif node.op == "call_method" and node.target == "reshape":
            _flatten(node)
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
    if not isinstance(value, float):
        return int(value)
    # Narrower types are computed in float32, where a shorter decimal would be another number.
    return shortest(value) if math.isfinite(value) and held.dtype is torch.float32 else value


def _slice_once(node: fx.Node) -> None:
    """``x[:, :n][:, :, :m]`` as ``x[:, :n, :m]``."""
    inner, then = node.args
    if not isinstance(inner, fx.Node) or inner.target is not operator.getitem or len(inner.users) != 1:
        return
    first = inner.args[1]
    if not (_are_slices(first) and _are_slices(then)):
        return
    assert isinstance(first, tuple) and isinstance(then, tuple)
    longest = max(len(first), len(then))
    pairs = [(_at(first, i), _at(then, i)) for i in range(longest)]
    if all(_ALL in pair for pair in pairs):
        node.args = (inner.args[0], tuple(b if a == _ALL else a for a, b in pairs))


_ALL = slice(None)


def _are_slices(index: Any) -> bool:
    return isinstance(index, tuple) and all(isinstance(one, slice) for one in index)


def _at(index: tuple[slice, ...], axis: int) -> slice:
    return index[axis] if axis < len(index) else _ALL


def _flatten(node: fx.Node) -> None:
    """A reshape that keeps the first axes and joins the others, whose sizes are known."""
    made = node.meta.get(VALUE)
    source = node.args[0].meta.get(VALUE) if isinstance(node.args[0], fx.Node) else None
    if not isinstance(made, ir.Value) or not isinstance(source, ir.Value):
        return
    if source.shape is None or made.shape is None or len(node.args) != 2:
        return
    before, after = list(source.shape), list(made.shape)
    start = len(after) - 1
    joined, kept = before[start:], before[:start]
    if start < 1 or len(joined) < 2 or kept != after[:-1] or not all(isinstance(d, int) for d in joined):
        return
    if isinstance(after[-1], int) and after[-1] != math.prod(d for d in joined if isinstance(d, int)):
        return  # of nothing, every size may be made
    if all(isinstance(d, int) or d.value is not None for d in kept):
        node.target, node.args = "flatten", (node.args[0], start)


def _drop_unused(module: fx.GraphModule) -> None:
    """Constants that became numbers."""
    used = {str(node.target) for node in module.graph.nodes if node.op == "get_attr"}
    for name in [n for n in module._non_persistent_buffers_set if n not in used]:
        module._buffers.pop(name, None)
        module._non_persistent_buffers_set.discard(name)
