"""Convolutions and pools over one axis, which TensorFlow computes over an image of height 1."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from isthmus.hub.model import ONNX, ROLE, Hub
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.edit import Editor, attribute, dims, known, replace
from isthmus.passes.recover.match import is_weight, made_by, remove_unused, turned

_FILTERED = ("Conv", "ConvTranspose")
_POOLED = ("AveragePool", "MaxPool")

_SPATIAL = ("kernel_shape", "strides", "dilations", "output_padding", "output_shape")
"""Attributes with one entry a spatial axis; ``pads`` has two."""


class RecoverPlanes(HubPass):
    """Convolve or pool what an axis of one entry was added to, instead of the plane that it makes.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 9, 2] x) => (float[n, 7, 4] y)
        <float[3, 2, 4] w = {1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1},
         int64[1] first = {1}, int64[1] front = {0}>
        {
            a = Unsqueeze (x, first)
            b = Transpose <perm = [0, 3, 1, 2]> (a)
            v = Unsqueeze (w, front)
            f = Transpose <perm = [3, 2, 0, 1]> (v)
            c = Conv <kernel_shape = [1, 3]> (b, f)
            d = Transpose <perm = [0, 2, 3, 1]> (c)
            y = Squeeze (d, first)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 9, 2] x) => (float[n, 7, 4] y)
        <float[3, 2, 4] w = {1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1}>
        {
            b = Transpose <perm = [0, 2, 1]> (x)
            f = Transpose <perm = [2, 1, 0]> (w)
            c = Conv <kernel_shape = [3]> (b, f)
            y = Transpose <perm = [0, 2, 1]> (c)
        }

    ``nn.Conv1d`` and its like come of it, with filters of the shape that Keras has them in.
    """

    requires = ("known ranks",)

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        edit = Editor(hub.model)
        modified = False
        for node in list(hub.graph.all_nodes()):
            if node.graph is None or node.domain != ONNX:
                continue
            if node.op_type in (*_FILTERED, *_POOLED):
                reason = _flatten(edit, node)
                if reason is None:
                    modified = True
                else:
                    reasons.decline(node, reason)
            elif node.op_type == "Squeeze":
                modified |= _cancel(edit, node)
        return PassResult(hub, modified, tuple(reasons.found))


def _flatten(edit: Editor, node: ir.Node) -> str | None:
    """Compute ``node`` without the axis that was added to its image, and add the axis behind it; or say why not."""
    image, shape = node.inputs[0], dims(node.inputs[0])
    axis = _added(image)
    if image is None or shape is None or axis is None or axis < 2 or len(shape) < 4:
        return "no axis was added to its image"
    if any(out.uses() or out.is_graph_output() for out in node.outputs[1:]):
        return "it gives indices too"
    place, count = axis - 2, len(shape) - 2
    if not _is_idle(node, place, count):
        return "it moves along the axis that was added"
    filters = node.inputs[1] if node.op_type in _FILTERED else None
    if filters is not None and _added(filters) != axis and not _is_constant(filters):
        return "no such axis was added to its filters"
    given = [_without(edit, node, value, axis) for value in (image, filters) if value is not None]
    after = dims(node.outputs[0])
    inner = None if after is None else [d for a, d in enumerate(after) if a != axis]
    made = edit.before(node, node.op_type, [*given, *node.inputs[len(given) :]], _shorter(node, place), shape=inner)
    back = edit.before(node, "Unsqueeze", [made, edit.ints([axis], "axis")], shape=after)
    replace(node.outputs[0], back)
    remove_unused(node)
    return None


def _cancel(edit: Editor, node: ir.Node) -> bool:
    """Give what is squeezed before the axis was added, where it is that axis alone."""
    axes, value = known(node.inputs[1]) if len(node.inputs) > 1 else None, node.inputs[0]
    axis, shape = _added(value), dims(value)
    if value is None or shape is None or axis is None or axes is None or axes.size != 1:
        return False
    if int(axes.reshape(())) % len(shape) != axis or made_by(value, "Transpose") is None:
        return False  # an axis that is added and taken away at once is another pass's
    replace(node.outputs[0], _without(edit, node, value, axis))
    remove_unused(node)
    return True


def _added(value: ir.Value | None) -> int | None:
    """The axis of one entry that was added to what ``value`` is made of, by itself or before a transposition."""
    node = made_by(value, "Unsqueeze", "Transpose")
    if value is None or node is None or dims(value) is None:
        return None
    if node.op_type == "Transpose":
        before, perm = _added(node.inputs[0]), attribute(node, "perm")
        return None if before is None or perm is None else list(perm).index(before)
    axes = known(node.inputs[1])
    return None if axes is None or axes.size != 1 else int(axes.reshape(())) % len(dims(value) or ())


def _is_constant(value: ir.Value) -> bool:
    """Whether a value is a constant of the graph's and no weight, whose shape is the source's."""
    node = made_by(value, "Transpose")
    held = value if node is None else node.inputs[0]
    return is_weight(held) and held is not None and held.metadata_props.get(ROLE) == "constant"


def _without(edit: Editor, anchor: ir.Node, value: ir.Value, axis: int) -> ir.Value:
    """``value`` before ``axis`` was added, transposed as it was; of a constant, what it holds without the axis."""
    node = made_by(value, "Unsqueeze", "Transpose")
    shape = dims(value)
    if node is None or node.inputs[0] is None:
        rest = None if shape is None else [d for a, d in enumerate(shape) if a != axis]
        return edit.before(anchor, "Squeeze", [value, edit.ints([axis], "axis")], shape=rest)
    if node.op_type == "Unsqueeze":
        return node.inputs[0]
    before = list(attribute(node, "perm"))
    inner = before[axis]
    perm = [a - (a > inner) for a in before if a != inner]
    return turned(edit, anchor, _without(edit, anchor, node.inputs[0], inner), perm)


def _is_idle(node: ir.Node, place: int, count: int) -> bool:
    """Whether the spatial axis ``place`` of ``count`` is passed through: by windows of one, without pads."""
    kernel, pads = attribute(node, "kernel_shape"), attribute(node, "pads") or [0] * (2 * count)
    if kernel is None or kernel[place] != 1 or pads[place] or pads[count + place]:
        return False
    padding = attribute(node, "auto_pad", "NOTSET")
    if padding not in ("NOTSET", "VALID") or attribute(node, "output_shape") is not None:
        return False
    if node.op_type != "ConvTranspose":
        return True  # one entry is met once, whatever the stride
    more, strides = (attribute(node, "output_padding") or [0] * count), (attribute(node, "strides") or [1] * count)
    return bool(more[place] == 0 and strides[place] == 1)


def _shorter(node: ir.Node, place: int) -> dict[str, ir.Attr]:
    """The attributes without the entries of one spatial axis."""
    found = dict(node.attributes)
    for name in _SPATIAL:
        if name in found:
            found[name] = ir.AttrInt64s(name, _but(found[name].as_ints(), place))
    if "pads" in found:
        pads = list(found["pads"].as_ints())
        half = len(pads) // 2
        found["pads"] = ir.AttrInt64s("pads", [*_but(pads[:half], place), *_but(pads[half:], place)])
    return found


def _but(values: Sequence[int], place: int) -> list[int]:
    return [v for i, v in enumerate(values) if i != place]
