"""Sizes that a graph computes: what the entries of an integer tensor are, as dimensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import onnx_ir as ir

from isthmus.hub.model import ONNX

_MOST = 64
"""A tensor of more integers holds no shape."""

Entries = Sequence[int | ir.SymbolicDim]


def entries_of(value: ir.Value | None) -> Entries | None:
    """The entries of an integer tensor in order, as dimensions; ``None`` where one is neither known nor a size.

    A size that was cast stays itself: no axis is as long as to overflow.
    """
    if value is None or value.dtype is None or not value.dtype.is_integer():
        return None
    if value.const_value is not None and not value.is_graph_input():
        return _constant(value.const_value)
    node = value.producer()
    rule = _RULES.get(node.op_type) if node is not None and node.domain == ONNX else None
    return None if node is None or rule is None else rule(node)


def gives_all_sizes(resize: ir.Node) -> bool:
    """Whether the sizes that a Resize is given are those of its output: of every axis, and taken as they are."""
    policy = resize.attributes.get("keep_aspect_ratio_policy")
    return "axes" not in resize.attributes and (policy is None or policy.as_string() == "stretch")


def _constant(tensor: ir.TensorProtocol) -> Entries | None:
    return [int(entry) for entry in tensor.numpy().reshape(-1)] if tensor.size <= _MOST else None


def _shape(node: ir.Node) -> Entries | None:
    data = node.inputs[0]
    if data is None or data.shape is None:
        return None
    start, end = node.attributes.get("start"), node.attributes.get("end")
    last = len(data.shape) if end is None else end.as_int()
    return list(data.shape)[0 if start is None else start.as_int() : last]


def _gathered(node: ir.Node) -> Entries | None:
    entries, places = entries_of(node.inputs[0]), entries_of(node.inputs[1])
    if entries is None or places is None or node.inputs[0] is None or _rank(node.inputs[0]) != 1:
        return None
    if not all(isinstance(place, int) and -len(entries) <= place < len(entries) for place in places):
        return None
    return [entries[int(place)] for place in places]  # type: ignore[arg-type]  # checked above


def _joined(node: ir.Node) -> Entries | None:
    parts = [entries_of(value) if value is not None and _rank(value) == 1 else None for value in node.inputs]
    return None if None in parts else [entry for part in parts for entry in part or ()]


def _rank(value: ir.Value) -> int | None:
    return None if value.shape is None else len(value.shape)


def _same(node: ir.Node) -> Entries | None:
    return entries_of(node.inputs[0])


_RULES: Mapping[str, Callable[[ir.Node], Entries | None]] = MappingProxyType(
    {
        **dict.fromkeys(("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze"), _same),
        "Concat": _joined,
        "Gather": _gathered,
        "Shape": _shape,
    }
)
