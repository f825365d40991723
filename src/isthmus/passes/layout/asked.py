"""Images that the user wants to pass in, or to get, with their channels elsewhere than the source has them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import onnx_ir as ir

from isthmus.errors import UsageError
from isthmus.hub.model import Hub
from isthmus.passes.base import HubPass, PassResult
from isthmus.passes.edit import Editor, dims, rank
from isthmus.passes.layout.perms import Perm, first_perm, inverse, last_perm, moved
from isthmus.types import Signature, TensorSpec

_LAST = {3: "NWC", 4: "NHWC", 5: "NDHWC"}
_FIRST = {3: "NCW", 4: "NCHW", 5: "NCDHW"}


class AskLayouts(HubPass):
    """Give inputs and outputs the layouts that were asked for. What lies between takes no harm: see AssignLayout.

    The source has its images as its framework does: TensorFlow channels last, all others channels first.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 3, 8, 8] x) => (float[n, 3, 8, 8] y)
        {
            y = Relu (x)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 8, 8, 3] x) => (float[n, 3, 8, 8] y)
        {
            x_NCHW = Transpose <perm = [0, 3, 1, 2]> (x)
            y = Relu (x_NCHW)
        }
    """

    requires = ("known ranks",)
    keeps = ("names", "provenance")

    def __init__(
        self, input_layouts: Mapping[str, str] | None = None, output_layouts: Mapping[str, str] | None = None
    ) -> None:
        self._inputs = dict(input_layouts or {})
        self._outputs = dict(output_layouts or {})

    def call(self, hub: Hub) -> PassResult:
        """Raises errors.UsageError for a name that the model has not, or a layout that does not fit its rank."""
        last = hub.channels_last
        inputs = _asked(hub.graph.inputs, self._inputs, "input", last)
        outputs = _asked(hub.graph.outputs, self._outputs, "output", last)
        signature = Signature(
            tuple(_turned(spec, inputs, last) for spec in hub.signature.inputs),
            tuple(_turned(spec, outputs, last) for spec in hub.signature.outputs),
        )
        editor = Editor(hub.model)
        for value in outputs:
            _turn_output(editor, value, last)
        for value in inputs:
            _turn_input(editor, value, last)
        return PassResult(hub.with_(signature=signature), bool(inputs or outputs))


def _asked(values: Sequence[ir.Value], wanted: Mapping[str, str], what: str, channels_last: bool) -> list[ir.Value]:
    """The values for which another layout was asked than the source has."""
    by_name = {value.name: value for value in values}
    found = []
    for name, layout in wanted.items():
        if name not in by_name:
            raise UsageError(
                f"the model has no {what} {name!r}", hint=f"its {what}s are {', '.join(map(str, by_name))}"
            )
        value = by_name[name]
        axes = rank(value) or 0
        if axes not in _LAST or layout.upper() not in (_FIRST[axes], _LAST[axes]):
            fitting = f"{_FIRST[axes]} or {_LAST[axes]}" if axes in _LAST else "of 3 to 5 axes only"
            raise UsageError(
                f"layout {layout!r} does not fit {what} {name!r} of rank {axes}", hint=f"it can be {fitting}"
            )
        if layout.upper() == _layout(axes, channels_last):
            continue
        if value.is_graph_input() and value.is_graph_output():
            raise UsageError(f"{name!r} is an input that is returned as it is: its layout cannot be chosen")
        found.append(value)
    return found


def _layout(axes: int, channels_last: bool) -> str:
    return (_LAST if channels_last else _FIRST)[axes]


def _perm(axes: int, channels_last: bool) -> Perm:
    """From the source's order of axes to the other one."""
    return first_perm(axes) if channels_last else last_perm(axes)


def _turn_input(editor: Editor, value: ir.Value, channels_last: bool) -> None:
    """Declare an input in the other layout, and let its users have it in the source's."""
    shape, users = dims(value) or (), tuple(value.uses())
    perm = _perm(len(shape), channels_last)
    node = editor.node(
        "Transpose",
        [value],
        {"perm": list(inverse(perm))},
        like=users[0].node if users else None,
        wish=f"{value.name}_{_layout(len(shape), channels_last)}",
    )
    node.outputs[0].type, node.outputs[0].shape = value.type, ir.Shape(shape)
    for user, index in users:
        user.replace_input_with(index, node.outputs[0])
    value.shape = ir.Shape(moved(shape, perm))
    if users:
        editor.model.graph.insert_before(editor.model.graph[0], node)


def _turn_output(editor: Editor, value: ir.Value, channels_last: bool) -> None:
    """Return an output in the other layout under its name."""
    shape, name = dims(value) or (), value.name
    perm = _perm(len(shape), channels_last)
    value.name = editor.names.fresh(f"{name}_{_layout(len(shape), channels_last)}")
    node = editor.node("Transpose", [value], {"perm": list(perm)}, like=value.producer())
    made = node.outputs[0]
    made.name, made.type, made.shape = name, value.type, ir.Shape(moved(shape, perm))
    graph = editor.model.graph
    graph.append(node)
    graph.outputs[list(graph.outputs).index(value)] = made


def _turned(spec: TensorSpec, turned: Sequence[ir.Value], channels_last: bool) -> TensorSpec:
    """What is promised of an input or output that may have been turned."""
    if spec.name not in {value.name for value in turned} or spec.shape is None:
        return spec
    axes = len(spec.shape)
    shape = moved(spec.shape, _perm(axes, channels_last))
    return dataclasses.replace(spec, shape=shape, layout=_layout(axes, not channels_last))
