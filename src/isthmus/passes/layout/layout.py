"""The layout pass: channels last for a target that wants it, with as few transposed bytes as can be."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import onnx_ir as ir

from isthmus.errors import UsageError
from isthmus.hub.model import Hub
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.edit import rank
from isthmus.passes.layout.anchors import RULES as ANCHORS
from isthmus.passes.layout.assign import pose
from isthmus.passes.layout.axes import RULES as AXES
from isthmus.passes.layout.elementwise import RULES as ELEMENTWISE
from isthmus.passes.layout.extents import RULES as EXTENTS
from isthmus.passes.layout.perms import last_perm, moved
from isthmus.passes.layout.plan import Rule
from isthmus.passes.layout.reshape import RULES as RESHAPE
from isthmus.passes.layout.rewrite import rewrite
from isthmus.passes.layout.solve import solve
from isthmus.types import Signature, TensorSpec

RULES: Mapping[str, Rule] = MappingProxyType({**ANCHORS, **ELEMENTWISE, **AXES, **EXTENTS, **RESHAPE})
_LAST_NAMES = {3: "NWC", 4: "NHWC", 5: "NDHWC"}
_FIRST_NAMES = {3: "NCW", 4: "NCHW", 5: "NCDHW"}


class AssignLayout(HubPass):
    """Give image operators channels-last operands, and everything between them too where that saves transposing.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 3, 8, 8] x) => (float[n, 4, 8, 8] y)
        <float[4, 3, 1, 1] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}>
        {
            a = Conv (x, w)
            b = Relu (a)
            y = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (b)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26, "isthmus.channels_last": 1]>
        net (float[n, 3, 8, 8] x) => (float[n, 4, 8, 8] y)
        <float[1, 1, 3, 4] w = {1, 4, 7, 10, 2, 5, 8, 11, 3, 6, 9, 12}>
        {
            x_last = Transpose <perm = [0, 2, 3, 1]> (x)
            a = isthmus.channels_last.Conv (x_last, w)
            b = Relu (a)
            y_last = isthmus.channels_last.MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (b)
            y = Transpose <perm = [0, 3, 1, 2]> (y_last)
        }
    """

    requires = ("one opset", "known ranks")

    def __init__(
        self,
        *,
        trainable: bool = False,
        input_layouts: Mapping[str, str] | None = None,
        output_layouts: Mapping[str, str] | None = None,
    ) -> None:
        self._trainable = trainable
        self._input_layouts = dict(input_layouts or {})
        self._output_layouts = dict(output_layouts or {})

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        graph = hub.graph
        last_inputs = _asked_last(graph.inputs, self._input_layouts, "input")
        last_outputs = _asked_last(graph.outputs, self._output_layouts, "output")
        for value in {*last_inputs, *last_outputs}:
            if value.is_graph_input() and value.is_graph_output():
                raise UsageError(f"{value.name!r} is an input that is returned as it is: its layout cannot be chosen")
        layouts = pose(hub.model, RULES, reasons, last_inputs=last_inputs, last_outputs=last_outputs)
        modified = rewrite(hub.model, layouts, solve(layouts.problem), trainable=self._trainable)
        signature = Signature(
            tuple(_permuted(spec, {v.name for v in last_inputs}) for spec in hub.signature.inputs),
            tuple(_permuted(spec, {v.name for v in last_outputs}) for spec in hub.signature.outputs),
        )
        return PassResult(hub.with_(signature=signature), modified, tuple(reasons.found))


def _asked_last(values: Sequence[ir.Value], wanted: Mapping[str, str], what: str) -> list[ir.Value]:
    """The values for which channels last was asked. Raises UsageError for a name or a layout that does not fit."""
    by_name = {value.name: value for value in values}
    found = []
    for name, layout in wanted.items():
        if name not in by_name:
            raise UsageError(
                f"the model has no {what} {name!r}", hint=f"its {what}s are {', '.join(map(str, by_name))}"
            )
        axes = rank(by_name[name]) or 0
        if layout.upper() == _LAST_NAMES.get(axes):
            found.append(by_name[name])
        elif layout.upper() != _FIRST_NAMES.get(axes):
            fitting = f"{_FIRST_NAMES[axes]} or {_LAST_NAMES[axes]}" if axes in _LAST_NAMES else "of 3 to 5 axes only"
            raise UsageError(
                f"layout {layout!r} does not fit {what} {name!r} of rank {axes}", hint=f"it can be {fitting}"
            )
    return found


def _permuted(spec: TensorSpec, names: set[str | None]) -> TensorSpec:
    if spec.name not in names or spec.shape is None:
        return spec
    axes = len(spec.shape)
    return dataclasses.replace(spec, shape=moved(spec.shape, last_perm(axes)), layout=_LAST_NAMES[axes])
