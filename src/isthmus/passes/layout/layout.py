"""The layout pass: channels last for a target that wants it, with as few transposed bytes as can be."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from isthmus.hub.model import Hub
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.layout.anchors import RULES as ANCHORS
from isthmus.passes.layout.assign import pose
from isthmus.passes.layout.axes import RULES as AXES
from isthmus.passes.layout.elementwise import RULES as ELEMENTWISE
from isthmus.passes.layout.extents import RULES as EXTENTS
from isthmus.passes.layout.plan import Rule
from isthmus.passes.layout.reshape import RULES as RESHAPE
from isthmus.passes.layout.rewrite import rewrite
from isthmus.passes.layout.solve import solve

RULES: Mapping[str, Rule] = MappingProxyType({**ANCHORS, **ELEMENTWISE, **AXES, **EXTENTS, **RESHAPE})


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

    def __init__(self, *, trainable: bool = False) -> None:
        self._trainable = trainable

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        layouts = pose(hub.model, RULES, reasons)
        modified = rewrite(hub.model, layouts, solve(layouts.problem), trainable=self._trainable)
        return PassResult(hub, modified, tuple(reasons.found))
