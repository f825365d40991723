"""The way out for channels-last sources: ONNX and PyTorch know images with their channels first."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from isthmus.hub.model import ONNX, Hub
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.bias import FuseConvBias
from isthmus.passes.cleanup import RemoveDead, RemoveNoOps
from isthmus.passes.edit import attribute
from isthmus.passes.layout.anchors import IMAGE_OPS
from isthmus.passes.layout.assign import pose
from isthmus.passes.layout.layout import RULES
from isthmus.passes.layout.perms import TO_FIRST, first_perm, last_perm
from isthmus.passes.layout.rewrite import rewrite
from isthmus.passes.layout.solve import solve
from isthmus.passes.moves import SimplifyMoves
from isthmus.passes.weights import StoreWeights


class ChannelsFirst(HubPass):
    """Let what lies between image operators have its channels first as well, where that saves transposing.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 8, 8, 3] x) => (float[n, 8, 8, 2] y)
        <float[1, 1, 3, 4] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, float[4] b = {1, 2, 3, 4},
         float[1, 1, 4, 2] v = {1, 2, 3, 4, 5, 6, 7, 8}>
        {
            x1 = Transpose <perm = [0, 3, 1, 2]> (x)
            w1 = Transpose <perm = [3, 2, 0, 1]> (w)
            a = Conv (x1, w1)
            a1 = Transpose <perm = [0, 2, 3, 1]> (a)
            c = Add (a1, b)
            d = Relu (c)
            d1 = Transpose <perm = [0, 3, 1, 2]> (d)
            v1 = Transpose <perm = [3, 2, 0, 1]> (v)
            e = Conv (d1, v1)
            y = Transpose <perm = [0, 2, 3, 1]> (e)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 8, 8, 3] x) => (float[n, 8, 8, 2] y)
        <float[4, 3, 1, 1] w = {1, 5, 9, 2, 6, 10, 3, 7, 11, 4, 8, 12}, float[4] b = {1, 2, 3, 4},
         float[2, 4, 1, 1] v = {1, 3, 5, 7, 2, 4, 6, 8}>
        {
            x1 = Transpose <perm = [0, 3, 1, 2]> (x)
            c = Conv (x1, w, b)
            d = Relu (c)
            e = Conv (d, v)
            y = Transpose <perm = [0, 2, 3, 1]> (e)
        }

    Filters and biases are written in the order that the operator takes them in, under their names. A model in which
    no Transpose stands beside an image operator, nor takes a filter from its channels-last order, is left as it is.
    """

    requires = ("one opset", "known ranks")

    def __init__(self, *, trainable: bool = False) -> None:
        self._trainable = trainable
        self._after: tuple[HubPass, ...] = (
            RemoveNoOps(trainable=trainable),
            StoreWeights(),
            FuseConvBias(),
            SimplifyMoves(),
            RemoveDead(),
        )

    def call(self, hub: Hub) -> PassResult:
        if not any(_turns_an_image(node) or _turns_a_filter(node) for node in hub.graph.all_nodes()):
            return PassResult(hub, False)
        reasons = Reasons()
        layouts = pose(hub.model, RULES, reasons, move=TO_FIRST)
        modified = rewrite(hub.model, layouts, solve(layouts.problem), trainable=self._trainable)
        for step in self._after:
            result = step.call(hub)
            hub, modified = result.hub, modified | result.modified
        return PassResult(hub, modified, tuple(reasons.found))


def _turns_an_image(node: ir.Node) -> bool:
    """Whether it moves the channels of what an image operator takes or gives."""
    perm = attribute(node, "perm")
    if node.op_type != "Transpose" or node.domain != ONNX or perm is None or len(perm) < 3:
        return False
    return tuple(perm) in (first_perm(len(perm)), last_perm(len(perm))) and any(_images_at(node))


def _turns_a_filter(node: ir.Node) -> bool:
    """Whether it gives an image operator a weight with its channels first that is stored with its channels last.

    Sources of channels-last frameworks store it so even where their images have their channels first.
    """
    perm = attribute(node, "perm")
    if node.op_type != "Transpose" or node.domain != ONNX or perm is None or len(perm) < 3:
        return False
    weight = node.inputs[0]
    if weight is None or weight.const_value is None or weight.is_graph_input():
        return False
    *channels, first = perm[:3]
    users = node.outputs[0].uses()
    return first == 0 and set(channels) == {len(perm) - 2, len(perm) - 1} and any(_is_filter(*use) for use in users)


def _is_filter(user: ir.Node, index: int) -> bool:
    return user.op_type in IMAGE_OPS and index == 1


def _images_at(node: ir.Node) -> Iterator[bool]:
    given = node.inputs[0]
    maker = None if given is None else given.producer()
    yield maker is not None and maker.op_type in IMAGE_OPS
    for user, index in node.outputs[0].uses():
        yield user.op_type in IMAGE_OPS and index == 0
