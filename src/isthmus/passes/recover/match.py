"""What patterns are made of: who made a value, of which operands, in either order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir

from isthmus.hub.model import ONNX, ROLE, Hub
from isthmus.passes import gates
from isthmus.passes.base import PassResult, Reasons
from isthmus.passes.edit import Editor, attribute, dims, graph_of, known, replace

Found = tuple[ir.Value, Mapping[str, Any]]
"""What an activation is of, and its attributes."""

_ROUNDINGS = 4
"""So many roundings may lie between a number and its constant: a root of a quotient, say."""


def made_by(value: ir.Value | None, *ops: str) -> ir.Node | None:
    """The node that made ``value``, if it is one of ``ops``."""
    node = None if value is None else value.producer()
    return node if node is not None and node.domain == ONNX and node.op_type in ops else None


def operands(value: ir.Value | None, op: str) -> Iterator[tuple[ir.Value, ir.Value]]:
    """The two operands of what made ``value``, in both orders; nothing where that is not ``op``."""
    node = made_by(value, op)
    if node is None or len(node.inputs) != 2:
        return
    first, second = node.inputs
    if first is not None and second is not None:
        yield first, second
        yield second, first


def scalar(value: ir.Value | None) -> float | None:
    """A constant of one element that is no weight of the source."""
    if value is None or value.metadata_props.get(ROLE) in ("parameter", "buffer"):
        return None
    array = known(value)
    if array is None or array.size != 1 or array.dtype.kind not in "fiuV":
        return None
    return float(np.asarray(array, np.float64).reshape(()))


def is_near(value: ir.Value | None, wanted: float) -> bool:
    """Whether a constant is ``wanted``, as far as its own type can hold it."""
    found = scalar(value)
    return found is not None and value is not None and near(found, wanted, value.dtype)


def near(found: float, wanted: float, dtype: ir.DataType | None) -> bool:
    """Whether a number that was written in ``dtype``, or made of such, is ``wanted``."""
    if dtype is None or not dtype.is_floating_point():
        return found == wanted
    return abs(found - wanted) <= _ROUNDINGS * float(ml_dtypes.finfo(dtype.numpy()).eps) * abs(wanted)


def reciprocal_root(value: ir.Value | None) -> ir.Value | None:
    """``x`` where ``value`` is 1 / sqrt(x)."""
    node = made_by(value, "Reciprocal")
    root = None if node is None else made_by(node.inputs[0], "Sqrt")
    if root is not None:
        return root.inputs[0]
    node = made_by(value, "Div")
    if node is not None and scalar(node.inputs[0]) == 1.0:
        root = made_by(node.inputs[1], "Sqrt")
        return None if root is None else root.inputs[0]
    node = made_by(value, "Pow")
    return node.inputs[0] if node is not None and scalar(node.inputs[1]) == -0.5 else None


def is_weight(value: ir.Value | None) -> bool:
    """Whether a value is an initializer that no caller can override."""
    return value is not None and value.const_value is not None and not value.is_graph_input()


def vector(value: ir.Value | None, axes: int) -> tuple[ir.Value, int] | None:
    """A weight of rank 1, and the axis of a tensor of rank ``axes`` along which it is spread: a Reshape tells."""
    if value is None:
        return None
    if is_weight(value):
        return (value, axes - 1) if len(dims(value) or ()) == 1 else None
    node = made_by(value, "Reshape", "Unsqueeze")
    if node is None or not is_weight(node.inputs[0]) or len(dims(node.inputs[0]) or ()) != 1:
        return None
    shape, (size,) = dims(value), dims(node.inputs[0]) or (None,)
    if shape is None or len(shape) > axes or any(d not in (1, size) for d in shape):
        return None
    places = [axis for axis, d in enumerate(shape) if d == size]
    if size == 1 or len(places) != 1 or node.inputs[0] is None:
        return None
    return node.inputs[0], places[0] + axes - len(shape)


def reduced_axes(node: ir.Node, axes: int) -> tuple[int, ...] | None:
    """The axes of a reduction that keeps them, counted from the front; None where they are not known."""
    given = known(node.inputs[1]) if len(node.inputs) > 1 else None
    if given is None or not given.size or not attribute(node, "keepdims", 1):
        return None
    return tuple(sorted(int(a) % axes for a in given.reshape(-1)))


def filled(edit: Editor, value: ir.Value, count: int, number: float, wish: str) -> ir.Value:
    """A constant vector of ``count`` times ``number``, of the element type of ``value``."""
    assert value.dtype is not None
    made = edit.constant(np.full(count, number, value.dtype.numpy()), wish)
    made.metadata_props[ROLE] = "constant"
    return made


def turned(edit: Editor, anchor: ir.Node, value: ir.Value, perm: Sequence[int]) -> ir.Value:
    """``value`` transposed, before ``anchor``; itself where that changes nothing."""
    if list(perm) == sorted(perm):
        return value
    shape = dims(value)
    assert shape is not None
    return edit.before(anchor, "Transpose", [value], {"perm": list(perm)}, shape=[shape[axis] for axis in perm])


def reversal_of(value: ir.Value | None, axis: int) -> ir.Value | None:
    """What ``value`` is from back to front along ``axis``, and only along that; None where it is no such thing."""
    node = made_by(value, "Slice")
    given = [known(v) for v in node.inputs[1:]] if node is not None else []
    if node is None or len(given) != 4 or any(a is None or a.size != 1 for a in given):
        return None
    start, end, along, step = (int(a.reshape(())) for a in given if a is not None)
    rank = len(dims(value) or ())
    size = (dims(node.inputs[0]) or (None,) * rank)[axis] if rank else None
    whole = start == -1 or start >= np.iinfo(np.int32).max or (isinstance(size, int) and start >= size - 1)
    back = end <= -np.iinfo(np.int32).max or (isinstance(size, int) and end < -size)
    same = rank > 0 and along % rank == axis
    return node.inputs[0] if same and step == -1 and whole and back else None


def remove_unused(node: ir.Node) -> None:
    """Take away a node that nothing uses any more, and then what only it used."""
    if node.graph is None or any(v.uses() or v.is_graph_output() for v in node.outputs):
        return
    given = [value.producer() for value in node.inputs if value is not None]
    graph_of(node).remove(node, safe=True)
    _release(node)
    for before in given:
        if before is not None and before.graph is not None:
            remove_unused(before)


def _release(node: ir.Node) -> None:
    """Let what the bodies of a node that is gone take from outside be used no longer."""
    for held in node.attributes.values():
        for inner in held.as_graph().all_nodes() if held.type == ir.AttributeType.GRAPH else ():
            for index in range(len(inner.inputs)):
                inner.replace_input_with(index, None)


def plain(value: ir.Value) -> ir.Value:
    """A value behind Identity nodes."""
    while (node := made_by(value, "Identity")) is not None and node.inputs[0] is not None:
        value = node.inputs[0]
    return value


def is_zero(state: ir.Value | None) -> bool:
    """Whether a value is nothing but zeros, none of which is a weight of the source."""
    root = state
    while (node := made_by(root, *gates.KEEPS)) is not None:
        root = node.inputs[0]
    is_told = root is not None and root.metadata_props.get(ROLE) in ("parameter", "buffer")
    return root is not None and not is_told and gates.is_zero(root)


def recovered(hub: Hub, name: str, lasts: tuple[str, ...], find: Callable[[ir.Value], Iterator[Found]]) -> PassResult:
    """``name`` in the place of every operator among ``lasts`` that ``find`` knows as its end."""
    reasons, edit, modified = Reasons(), Editor(hub.model), False
    for node in list(hub.graph.all_nodes()):
        if node.graph is None or node.domain != ONNX or node.op_type not in lasts:
            continue
        found = next(find(node.outputs[0]), None)
        if found is None:
            continue
        value, attributes = found
        if value.dtype is None or not value.dtype.is_floating_point():
            reasons.decline(node, "its operand is no float")
            continue
        if len(dims(value) or ()) != len(dims(node.outputs[0]) or ()):
            reasons.decline(node, "its constants give it further axes")
            continue
        made = edit.before(node, name, [value], attributes, shape=dims(value))
        replace(node.outputs[0], made)
        remove_unused(node)
        modified = True
    return PassResult(hub, modified, tuple(reasons.found))
