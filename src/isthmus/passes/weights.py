"""Weights are stored as the operator that uses them takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import onnx_ir as ir

from isthmus.hub.model import ONNX, Hub
from isthmus.passes.arrange import Step, reshaped_first
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.edit import PERM, SHAPE, attribute, dims, graph_of, lazily, mark_permuted

_WEIGHTS: Mapping[str, tuple[int, ...]] = MappingProxyType({"Conv": (1, 2), "ConvTranspose": (1, 2)})
"""Which operands of an operator are weights."""

_RESHAPING = frozenset({"Reshape", "Squeeze", "Unsqueeze"})


@dataclass(frozen=True)
class View:
    """A weight, and the nodes that turn and reshape it, in order."""

    weight: ir.Value
    nodes: tuple[ir.Node, ...]


class StoreWeights(HubPass):
    """Turn and reshape the filters of a convolution when they are written, not when the model runs.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 2, 8, 8] x) => (float[n, 4, 8, 8] y)
        <float[1, 1, 2, 2] w = {1, 2, 3, 4}, int64[4] target = {4, 1, 1, 1}>
        {
            a = Transpose <perm = [2, 3, 0, 1]> (w)
            b = Reshape (a, target)
            y = Conv <group = 2> (x, b)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 2, 8, 8] x) => (float[n, 4, 8, 8] y)
        <float[4, 1, 1, 1] w = {1, 2, 3, 4}>
        {
            y = Conv <group = 2> (x, w)
        }

    The weight keeps its name, and is read when it is written. One that others use as it is stays so.
    """

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        modified = False
        for node in list(hub.graph.all_nodes()):
            if node.domain != ONNX:
                continue
            for index in _WEIGHTS.get(node.op_type, ()):
                view = view_of(node.inputs[index]) if index < len(node.inputs) else None
                if view is None or not view.nodes:
                    continue
                if (reason := _shared(view) or _scattered(view)) is not None:
                    reasons.decline(node, reason)
                    continue
                store(view)
                modified = True
        return PassResult(hub, modified, tuple(reasons.found))


def view_of(value: ir.Value | None) -> View | None:
    """The weight behind ``value`` and what turns it, or None where it is no weight, or its shape is not known."""
    nodes: list[ir.Node] = []
    while value is not None and (node := value.producer()) is not None:
        shape = dims(value)
        known = shape is not None and all(isinstance(d, int) for d in shape)
        turning = node.op_type == "Transpose" or (node.op_type in _RESHAPING and known)
        if node.domain != ONNX or not turning or value.is_graph_output():
            return None
        nodes.insert(0, node)
        value = node.inputs[0]
    if value is None or value.const_value is None or value.is_graph_input() or value.is_graph_output():
        return None
    return View(value, tuple(nodes))


def _shared(view: View) -> str | None:
    """Why the weight cannot be stored otherwise."""
    alone = len(view.weight.uses()) == 1 and all(len(node.outputs[0].uses()) == 1 for node in view.nodes)
    return None if alone else "others use its weight as it is"


def _scattered(view: View) -> str | None:
    """Why nobody could tell how the weight is stored."""
    sizes, steps = told(view.weight)
    further: list[Step] = []
    for node in view.nodes:
        made = dims(node.outputs[0]) or ()
        perm = attribute(node, "perm") or tuple(reversed(range(len(made))))
        turned = node.op_type == "Transpose"
        further.append(("perm", perm) if turned else ("shape", [d for d in made if isinstance(d, int)]))
    arranged = reshaped_first(sizes, (*steps, *further))
    return "its axes are cut and moved apart" if arranged is None else None


def store(view: View) -> None:
    """Do what the nodes do to the weight, and let their users use it."""
    for node in view.nodes:
        _STEPS.get(node.op_type, _reshape)(view.weight, node)
    last = view.nodes[-1].outputs[0]
    ir.convenience.replace_all_uses_with(last, view.weight)
    for node in reversed(view.nodes):
        graph_of(node).remove(node, safe=True)


def _transpose(weight: ir.Value, node: ir.Node) -> None:
    tensor = weight.const_value
    assert tensor is not None
    rank = len(tensor.shape)
    perm = tuple(attribute(node, "perm") or reversed(range(rank)))
    _hold(weight, lazily(tensor, perm))
    mark_permuted(weight, perm, weight)


def _reshape(weight: ir.Value, node: ir.Node) -> None:
    reshape(weight, [d for d in dims(node.outputs[0]) or () if isinstance(d, int)])


def reshape(weight: ir.Value, shape: Sequence[int]) -> None:
    """Give a weight another shape when it is written. Its marks say how to undo it, or where none can, are gone."""
    tensor = weight.const_value
    assert tensor is not None
    marks = weight.metadata_props
    before, steps = told(weight)
    arranged = reshaped_first(before, (*steps, ("shape", shape)))
    _hold(weight, lazily(tensor, range(len(shape)), shape))
    marks.pop(PERM, None)
    marks.pop(SHAPE, None)
    if arranged is not None and before != tuple(shape):
        marks[SHAPE] = ",".join(map(str, before))
        marks[PERM] = ",".join(map(str, arranged[1]))


def told(weight: ir.Value) -> tuple[tuple[int, ...], tuple[Step, ...]]:
    """The sizes that a weight had in the source, and what was done to it since, by its marks."""
    tensor = weight.const_value
    assert tensor is not None
    held = tuple(int(size) for size in tensor.shape.numpy())
    marks = weight.metadata_props
    perm = _ints(marks[PERM]) if PERM in marks else tuple(range(len(held)))
    unturned = tuple(held[perm.index(axis)] for axis in range(len(perm)))
    before = _ints(marks[SHAPE]) if SHAPE in marks else unturned
    return before, (("shape", unturned), ("perm", perm))


def _ints(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part)


def _hold(weight: ir.Value, tensor: ir.LazyTensor) -> None:
    weight.const_value = tensor
    weight.shape = ir.Shape(tensor.shape.numpy())


_STEPS: Mapping[str, Callable[[ir.Value, ir.Node], None]] = MappingProxyType({"Transpose": _transpose})
