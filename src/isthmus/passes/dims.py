"""Shapes as operands: what is known of them, entry by entry, and the free dimensions that need no computing."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import onnx_ir as ir

from isthmus.hub.free_dims import name_free_dims
from isthmus.hub.infer import infer_shapes
from isthmus.hub.model import ONNX, Hub
from isthmus.hub.sizes import gives_all_sizes
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.edit import Editor, attribute, dims, known, rank

Entry = int | str | None
"""A size that is known, the name of a free dimension, or something computed."""

_TARGETS: Mapping[str, int] = MappingProxyType({"Reshape": 1, "Resize": 3})
"""Which input has the sizes of the result, all of them."""

_MOST = 64
"""Longer lists of integers are data, not shapes."""


class SimplifyShapes(HubPass):
    """Follow sizes through shape arithmetic; a target shape with at most one free entry needs no arithmetic at all.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 3, 4] x) => (float[n, 12] y)
        <int64[1] zero = {0}, int64[1] rest = {12}>
        {
            s = Shape (x)
            b = Gather <axis = 0> (s, zero)
            t = Concat <axis = 0> (b, rest)
            y = Reshape (x, t)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 3, 4] x) => (float[n, 12] y) <int64[2] t = {-1, 12}>
        {
            y = Reshape (x, t)
        }

    An entry of Shape that is known becomes a constant even where others are free.
    """

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        edit = Editor(hub.model)
        entries: dict[ir.Value, list[Entry]] = {}
        modified = named = False
        for node in list(hub.graph.all_nodes()):
            if node.domain != ONNX:
                continue
            if (target := _TARGETS.get(node.op_type)) is not None and len(node.inputs) > target:
                named |= _name_axes(node, node.inputs[target], entries)
            if node.op_type == "Reshape":
                modified |= _simplify(edit, node, entries, reasons)
            elif (found := _entries(node, entries)) is not None and len(found) <= _MOST:
                value = node.outputs[0]
                entries[value] = found
                modified |= _make_constant(edit, node, found)
        if modified or named:
            infer_shapes(hub.model)
            name_free_dims(hub.model)
        return PassResult(hub, modified, tuple(reasons.found))


def entries_of(model: ir.Model) -> dict[ir.Value, list[Entry]]:
    """The entries of every computed list of sizes, as far as they are known."""
    entries: dict[ir.Value, list[Entry]] = {}
    for node in model.graph.all_nodes():
        if node.domain == ONNX and (found := _entries(node, entries)) is not None and len(found) <= _MOST:
            entries[node.outputs[0]] = found
    return entries


def _of(value: ir.Value | None, entries: dict[ir.Value, list[Entry]]) -> list[Entry] | None:
    """The entries of a list or scalar of integers, as far as they are known."""
    if value is None:
        return None
    if value in entries:
        return entries[value]
    if value.const_value is None or value.is_graph_input() or value.const_value.size > _MOST:
        return None
    if value.dtype not in (ir.DataType.INT64, ir.DataType.INT32) or (rank(value) or 0) > 1:
        return None
    return [int(d) for d in value.const_value.numpy().reshape(-1)]


def _entries(node: ir.Node, entries: dict[ir.Value, list[Entry]]) -> list[Entry] | None:
    first = node.inputs[0] if node.inputs else None
    match node.op_type:
        case "Shape":
            shape = dims(first)
            return None if shape is None else list(shape[slice(attribute(node, "start", 0), attribute(node, "end"))])
        case "Identity" | "Squeeze" | "Unsqueeze":
            return _of(first, entries) if (rank(node.outputs[0]) or 0) <= 1 else None
        case "Cast":
            integers = (ir.DataType.INT64, ir.DataType.INT32)
            return _of(first, entries) if node.outputs[0].dtype in integers else None
        case "Gather":
            return _gathered(_of(first, entries), known(node.inputs[1]))
        case "Slice":
            return _sliced(node, _of(first, entries))
        case "Concat":
            parts = [_of(v, entries) or _unknown(v) for v in node.inputs]
            return None if any(p is None for p in parts) else [d for p in parts if p is not None for d in p]
        case "Add" | "Sub" | "Mul":
            return _combined(_ARITHMETIC[node.op_type], *(_of(v, entries) for v in node.inputs))
    return None


_ARITHMETIC: dict[str, Callable[[int, int], int]] = {"Add": operator.add, "Sub": operator.sub, "Mul": operator.mul}


def _combined(
    function: Callable[[int, int], int], first: list[Entry] | None, second: list[Entry] | None
) -> list[Entry] | None:
    """Arithmetic entry by entry, of sizes that are known; a list of one goes with each entry of the other."""
    if first is None or second is None:
        return None
    first = first * len(second) if len(first) == 1 else first
    second = second * len(first) if len(second) == 1 else second
    if len(first) != len(second):
        return None
    return [
        function(a, b) if isinstance(a, int) and isinstance(b, int) else None
        for a, b in zip(first, second, strict=True)
    ]


def _unknown(value: ir.Value | None) -> list[Entry] | None:
    """A list of known length and unknown content."""
    shape = dims(value)
    if shape is None or len(shape) != 1 or not isinstance(shape[0], int) or value is None:
        return None
    return [None] * shape[0] if shape[0] <= _MOST else None


def _gathered(data: list[Entry] | None, indices: np.ndarray | None) -> list[Entry] | None:
    if data is None or indices is None or indices.ndim > 1:
        return None
    where = [int(i) for i in indices.reshape(-1)]
    return [data[i] for i in where] if all(-len(data) <= i < len(data) for i in where) else None


def _sliced(node: ir.Node, data: list[Entry] | None) -> list[Entry] | None:
    given = [known(v) for v in node.inputs[1:]]
    if (
        data is None
        or any(a is None for a in given[:2])
        or any(a is None and v is not None for a, v in zip(given, node.inputs[1:], strict=True))
    ):
        return None
    numbers = [1 if a is None else int(a.reshape(-1)[0]) for a in given]
    step = numbers[3] if len(numbers) > 3 else 1
    return data[numbers[0] : numbers[1] : step] if step > 0 else None


def _make_constant(edit: Editor, node: ir.Node, found: list[Entry]) -> bool:
    """Wholly known entries become an initializer under the value's name."""
    value = node.outputs[0]
    sizes = [d for d in found if isinstance(d, int)]
    dtype = value.dtype
    axes = rank(value)
    if len(sizes) < len(found) or value.is_graph_output() or not value.uses() or dtype is None or axes is None:
        return False
    array = np.asarray(sizes, dtype.numpy()).reshape(() if axes == 0 else (-1,))
    name = value.name or ""
    value.name = edit.names.fresh(f"{name}__known")
    constant = edit.initializer(ir.tensor(array), name, exact=True)
    ir.convenience.replace_all_uses_with(value, constant)
    return True


def _simplify(edit: Editor, node: ir.Node, entries: dict[ir.Value, list[Entry]], reasons: Reasons) -> bool:
    """Give a Reshape a constant target where all but one of its entries are known, or are the operand's own."""
    target = node.inputs[1]
    if target is None or known(target) is not None:
        return False
    found, given = _of(target, entries), dims(node.inputs[0])
    if found is None:
        reasons.decline(node, "its target shape is computed from data")
        return False
    if attribute(node, "allowzero", 0) and 0 in found:
        reasons.decline(node, "its target has an axis of size 0")
        return False
    spec: list[int | None] = [d if isinstance(d, int) else None for d in found]
    if spec.count(None) > 1 or -1 in spec:
        for axis, entry in enumerate(found):
            same = isinstance(entry, str) and given is not None and axis < len(given) and given[axis] == entry
            if same and (spec.count(None) > 1 or -1 in spec):
                spec[axis] = 0
    if spec.count(None) == 1 and -1 not in spec and not _empty(given):
        spec[spec.index(None)] = -1
    if None in spec:
        reasons.decline(node, "more than one axis of its target is free")
        return False
    value = edit.constant(np.asarray(spec, np.int64), target.name or "shape")
    node.attributes.pop("allowzero", None)
    node.replace_input_with(1, value)
    return True


def _name_axes(node: ir.Node, target: ir.Value | None, entries: dict[ir.Value, list[Entry]]) -> bool:
    """A free axis of the result whose size is a named dimension's has that name; inference cannot see it."""
    value = node.outputs[0]
    found, shape = _of(target, entries), dims(value)
    if value.is_graph_output() or (node.op_type == "Resize" and not gives_all_sizes(node)):
        return False
    if found is None or shape is None or len(found) != len(shape):
        return False
    better = [e if isinstance(e, str) and not isinstance(d, int) else d for e, d in zip(found, shape, strict=True)]
    if better == list(shape):
        return False
    value.shape = ir.Shape(better)
    return True


def _empty(shape: tuple[int | str | None, ...] | None) -> bool:
    """Whether a tensor surely has no elements, in which case -1 would mean nothing."""
    return shape is not None and 0 in shape
