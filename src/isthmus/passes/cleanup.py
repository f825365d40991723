"""What does nothing goes: dead nodes, identities in disguise, the same thing computed twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import onnx_ir as ir

from isthmus.hub.model import ONNX, Hub, is_detached
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.edit import attribute, dims, graphs_of, known

RANDOM = frozenset(
    {
        "Bernoulli",
        "Dropout",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)
"""Operators whose result may differ from one run to the next."""


class RemoveDead(HubPass):
    """Remove nodes and initializers that no graph output needs.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n] x) => (float[n] y) <float[1] w = {1.0}>
        {
            a = Add (x, w)
            b = Neg (a)
            y = Relu (x)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n] x) => (float[n] y)
        {
            y = Relu (x)
        }
    """

    def call(self, hub: Hub) -> PassResult:
        modified = _remove_dead_nodes(hub.graph)
        for name, value in list(hub.graph.initializers.items()):
            if not value.uses() and not value.is_graph_output():
                del hub.graph.initializers[name]
                modified = True
        return PassResult(hub, modified)


def _remove_dead_nodes(graph: ir.Graph) -> bool:
    modified = False
    for node in reversed(graph):
        if any(value.uses() or value.is_graph_output() for value in node.outputs):
            for attr in node.attributes.values():
                if attr.type == ir.AttributeType.GRAPH:
                    modified |= _remove_dead_nodes(attr.as_graph())
            continue
        graph.remove(node, safe=True)
        modified = True
    return modified


class RemoveNoOps(HubPass):
    """Remove nodes that give what they are given, and join Transposes that follow one another.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[2, 3, 4] x) => (float[2, 3, 4] y)
        {
            a = Transpose <perm = [2, 0, 1]> (x)
            b = Transpose <perm = [1, 2, 0]> (a)
            c = Cast <to = 1> (b)
            y = Relu (c)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[2, 3, 4] x) => (float[2, 3, 4] y)
        {
            y = Relu (x)
        }
    """

    def __init__(self, *, trainable: bool = False) -> None:
        self._trainable = trainable

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        modified = False
        for node in list(hub.graph.all_nodes()):
            if node.domain != ONNX or not node.inputs or node.inputs[0] is None:
                continue
            if node.op_type == "Transpose":
                modified |= _join_transposes(node)
            rule = _NO_OPS.get(node.op_type)
            if rule is None or (self._trainable and _matters_in_training(node)) or not rule(node):
                continue
            if (reason := bypass(node)) is None:
                modified = True
            else:
                reasons.decline(node, reason)
        return PassResult(hub, modified, tuple(reasons.found))


def _matters_in_training(node: ir.Node) -> bool:
    return node.op_type == "Dropout" or is_detached(node)


def bypass(node: ir.Node) -> str | None:
    """Let the node's users use its first input instead, and remove it; or say why it must stay."""
    given, made = node.inputs[0], node.outputs[0]
    assert given is not None and isinstance(node.graph, ir.Graph)
    if any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
        return "a further output of it is used"
    if made.is_graph_output():
        producer = given.producer()
        if producer is None or producer.graph is not node.graph:
            return "it gives a graph output that is no node's"
        if given.is_graph_output():
            return "it gives a graph output that is one already"
        name = made.name
        made.name = f"{name}__bypassed"
        given.name = name
        if made.shape is not None:
            given.shape = made.shape.copy()
        ir.convenience.replace_all_uses_with(made, given, replace_graph_outputs=True)
    else:
        ir.convenience.replace_all_uses_with(made, given)
    node.graph.remove(node, safe=True)
    return None


def _join_transposes(node: ir.Node) -> bool:
    """Take the input of the Transpose before, and both permutations at once."""
    before = node.inputs[0].producer() if node.inputs[0] is not None else None
    if before is None or before.op_type != "Transpose" or before.domain != ONNX:
        return False
    first, then = _perm(before), _perm(node)
    if first is None or then is None:
        return False
    node.replace_input_with(0, before.inputs[0])
    node.attributes["perm"] = ir.AttrInt64s("perm", [first[axis] for axis in then])
    return True


def _perm(node: ir.Node) -> tuple[int, ...] | None:
    shape = dims(node.inputs[0])
    given = attribute(node, "perm")
    return tuple(given) if given is not None else None if shape is None else tuple(reversed(range(len(shape))))


def _same_shape(node: ir.Node) -> bool:
    """Whether the result provably has the operand's shape: free dimensions by the names that inference gave.

    The names in a graph output's shape are the source's word, which is not proof enough.
    """
    given, made = dims(node.inputs[0]), dims(node.outputs[0])
    if given is None or given != made or None in given:
        return False
    return _is_static(node) or not node.outputs[0].is_graph_output()


def _casts_nothing(node: ir.Node) -> bool:
    value = node.inputs[0]
    return value is not None and value.dtype is not None and int(value.dtype) == attribute(node, "to")


def _transposes_nothing(node: ir.Node) -> bool:
    perm = _perm(node)
    return perm is not None and list(perm) == sorted(perm)


def _slices_nothing(node: ir.Node) -> bool:
    starts, ends = known(node.inputs[1]), known(node.inputs[2])
    steps = known(node.inputs[4]) if len(node.inputs) > 4 and node.inputs[4] is not None else np.ones(1)
    if starts is None or ends is None or steps is None or (steps != 1).any() or (starts != 0).any():
        return False
    return bool((ends >= np.iinfo(np.int32).max).all()) or (_same_shape(node) and _is_static(node))


def _is_static(node: ir.Node) -> bool:
    return all(isinstance(d, int) for d in dims(node.inputs[0]) or (None,))


def _pads_nothing(node: ir.Node) -> bool:
    pads = known(node.inputs[1])
    return pads is not None and not pads.any()


def _drops_nothing(node: ir.Node) -> bool:
    training = node.inputs[2] if len(node.inputs) > 2 else None
    if training is None:
        return True
    value = known(training)
    return value is not None and not value.any()


def _adds_no_axes(node: ir.Node) -> bool:
    axes = known(node.inputs[1]) if len(node.inputs) > 1 else None
    return axes is not None and axes.size == 0 and _same_shape(node)


_NO_OPS: Mapping[str, Callable[[ir.Node], bool]] = MappingProxyType(
    {
        "Identity": lambda node: True,
        "Cast": _casts_nothing,
        "Transpose": _transposes_nothing,
        "Reshape": _same_shape,
        "Expand": _same_shape,
        "Slice": _slices_nothing,
        "Pad": _pads_nothing,
        "Dropout": _drops_nothing,
        "Squeeze": _adds_no_axes,
        "Unsqueeze": _adds_no_axes,
        **dict.fromkeys(("Concat", "Sum", "Max", "Min", "Mean"), lambda node: len(node.inputs) == 1),
    }
)


_FEW = 64
"""Integers up to this many are compared one by one."""


class ShareEqual(HubPass):
    """Compute once what is computed twice: same operator, attributes and operands, in one graph.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n] x) => (float[n] y)
        {
            a = Exp (x)
            b = Exp (x)
            y = Add (a, b)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n] x) => (float[n] y)
        {
            a = Exp (x)
            y = Add (a, a)
        }
    """

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        modified = False
        for graph in list(graphs_of(hub.model)):
            first: dict[tuple[object, ...], ir.Node] = {}
            for node in list(graph):
                key = _key(node)
                if key is None:
                    continue
                twin = first.setdefault(key, node)
                if twin is node:
                    continue
                if any(value.is_graph_output() for value in node.outputs):
                    reasons.decline(node, "its result is a graph output, under its own name")
                    continue
                ir.convenience.replace_all_uses_with(node.outputs, twin.outputs)
                graph.remove(node, safe=True)
                modified = True
        return PassResult(hub, modified, tuple(reasons.found))


def _key(node: ir.Node) -> tuple[object, ...] | None:
    """What two nodes must share to give the same; None for what may differ from run to run or holds a graph."""
    if node.op_type in RANDOM or node.domain != ONNX or is_detached(node):
        return None
    if any(isinstance(v.type, ir.SequenceType | ir.OptionalType) for v in node.outputs):
        return None
    attributes: list[tuple[str, object]] = []
    for name, attr in sorted(node.attributes.items()):
        if attr.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS, ir.AttributeType.TYPE_PROTO):
            return None
        if attr.type == ir.AttributeType.TENSOR:
            array = attr.as_tensor().numpy()
            attributes.append((name, (str(array.dtype), array.shape, array.tobytes())))
        else:
            attributes.append((name, str(attr.value)))
    inputs = tuple(_identity(v) for v in node.inputs)
    wanted = tuple(bool(v.name) for v in node.outputs)
    return (node.op_type, inputs, tuple(attributes), len(node.outputs), wanted)


def _identity(value: ir.Value | None) -> object:
    """What an operand is: few known integers, such as axes, are what they say; all else is itself."""
    tensor = None if value is None or value.is_graph_input() else value.const_value
    if tensor is None or not tensor.dtype.is_integer() or tensor.size > _FEW:
        return id(value)
    array = tensor.numpy()
    return str(tensor.dtype), array.shape, array.tobytes()
