"""Shapes that follow where an operator's operands tell more than onnx's inference sees."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType

import onnx_ir as ir

from isthmus.hub.model import ONNX
from isthmus.hub.sizes import entries_of

_FAR = 2**31 - 1
"""Exporters' "to the end", and beyond: no axis is as long."""

Unknown = Callable[[ir.SymbolicDim], bool]
"""Whether a free dimension has no name that means anything."""


def copied_axis(node: ir.Node) -> int | None:
    """The axis of -1 in a Reshape's known target that is surely the operand's own: the others hold as much."""
    data = node.inputs[0] if len(node.inputs) > 1 else None
    target = node.inputs[1] if data is not None and node.op_type == "Reshape" and node.domain == ONNX else None
    if data is None or data.shape is None or target is None or target.const_value is None or target.is_graph_input():
        return None
    sizes = [int(size) for size in target.const_value.numpy().reshape(-1)]
    if sizes.count(-1) != 1 or 0 in sizes or sizes.index(-1) >= len(data.shape):
        return None
    axis = sizes.index(-1)
    others = [dim for index, dim in enumerate(data.shape) if index != axis]
    held = math.prod(dim for dim in others if isinstance(dim, int))
    same = isinstance(data.shape[axis], ir.SymbolicDim) and all(isinstance(dim, int) for dim in others)
    return axis if same and held == -math.prod(sizes) else None


def told_shape(node: ir.Node, unknown: Unknown) -> ir.Shape | None:
    """The shape of the output where the operands tell more of it than onnx sees; ``None`` where nothing is won."""
    if node.domain != ONNX:
        return None
    rule = _RULES.get(node.op_type)
    return None if rule is None else rule(node, unknown)


def _sliced(node: ir.Node, unknown: Unknown) -> ir.Shape | None:
    """The output of a Slice: an axis that is taken from end to end, forwards or backwards, is the operand's own."""
    data, *bounds = node.inputs
    told = [entries_of(value) for value in bounds]
    if data is None or data.shape is None or len(told) < 2 or None in told:  # before opset 10 attributes tell
        return None
    starts, ends, *more = (entries for entries in told if entries is not None)
    axes = more[0] if more else range(len(starts))
    steps = more[1] if len(more) > 1 else [1] * len(starts)
    rank = len(data.shape)
    cut = set[int]()
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if not isinstance(axis, int) or not -rank <= axis < rank:
            return None
        forwards = step == 1 and start == 0 and (end == data.shape[axis] or (isinstance(end, int) and end >= _FAR))
        turned = step == -1 and (start == -1 or (isinstance(start, int) and start >= _FAR))
        if not forwards and not (turned and isinstance(end, int) and end <= -_FAR):
            cut.add(axis % rank)
    return _kept(node, data.shape, set(range(rank)) - cut, unknown)


def _tiled(node: ir.Node, unknown: Unknown) -> ir.Shape | None:
    """The output of a Tile: an axis that is there once is the operand's own, whatever its size."""
    data, repeats = node.inputs[0], entries_of(node.inputs[1])
    if data is None or data.shape is None or repeats is None or len(data.shape) != len(repeats):
        return None
    return _kept(node, data.shape, {axis for axis, times in enumerate(repeats) if times == 1}, unknown)


def _kept(node: ir.Node, given: ir.Shape, axes: Collection[int], unknown: Unknown) -> ir.Shape | None:
    """The output's shape with the ``axes`` of the ``given`` one where they have names and the output's have none."""
    after = node.outputs[0].shape
    before = list(after) if after is not None and len(after) == len(given) else [ir.SymbolicDim(None)] * len(given)
    dims = [
        own if axis in axes and isinstance(dim, ir.SymbolicDim) and unknown(dim) else dim
        for axis, (own, dim) in enumerate(zip(given, before, strict=True))
    ]
    won = any(a != b and (isinstance(b, int) or not unknown(b)) for a, b in zip(before, dims, strict=True))
    return ir.Shape(dims) if won else None


def _reshaped(node: ir.Node, unknown: Unknown) -> ir.Shape | None:
    """The output of a Reshape whose one open size follows: it holds as many elements as the input.

    What is free on both sides cancels: [batch, 3, 4] to [batch, ?] is [batch, 12], and to [?, 12] it is [batch, 12].
    ``None`` where nothing is won.
    """
    if node.inputs[0] is None:
        return None
    before, after = node.inputs[0].shape, node.outputs[0].shape
    if before is None or after is None:
        return None
    open_axes = [axis for axis, dim in enumerate(after) if isinstance(dim, ir.SymbolicDim) and unknown(dim)]
    if len(open_axes) != 1:
        return None
    others = [dim for axis, dim in enumerate(after) if axis != open_axes[0]]
    free_before, free_after = _free(before), _free(others)
    if None in free_before or free_after - free_before:
        return None
    left = free_before - free_after
    size = math.prod(dim for dim in before if isinstance(dim, int))
    rest = math.prod(dim for dim in others if isinstance(dim, int))
    if rest == 0 or size % rest:
        return None
    dims = list(after)
    if not left:
        dims[open_axes[0]] = size // rest
        return ir.Shape(dims)
    name, *more = left.elements()
    if more or size != rest or unknown(ir.SymbolicDim(name)):
        return None
    dims[open_axes[0]] = ir.SymbolicDim(name)
    return ir.Shape(dims)


def _free(dims: Iterable[int | ir.SymbolicDim]) -> Counter[str | None]:
    return Counter(dim.value for dim in dims if isinstance(dim, ir.SymbolicDim))


_RULES: Mapping[str, Callable[[ir.Node, Unknown], ir.Shape | None]] = MappingProxyType(
    {"Reshape": _reshaped, "Slice": _sliced, "Tile": _tiled}
)
