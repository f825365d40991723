"""Operators that a channels-last target knows only with their channels last."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import onnx_ir as ir

from isthmus.hub.model import CHANNELS_LAST
from isthmus.passes.edit import attribute, rank
from isthmus.passes.layout.hands import Hands
from isthmus.passes.layout.perms import TO_FIRST, Move, axis_after, last_perm
from isthmus.passes.layout.plan import Plan, Rule

_WEIGHT = {"Conv": (1,), "ConvTranspose": (1,), "ConvInteger": (1,), "QLinearConv": (3,)}
_OUTPUTS = {"MaxPool": (0, 1)}
IMAGE_OPS = (
    "Conv",
    "ConvTranspose",
    "ConvInteger",
    "QLinearConv",
    "MaxPool",
    "AveragePool",
    "LpPool",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "GlobalLpPool",
    "BatchNormalization",
    "InstanceNormalization",
    "GroupNormalization",
    "LRN",
    "Resize",
    "DepthToSpace",
    "SpaceToDepth",
)


def _anchor(node: ir.Node, move: Move) -> Plan | str:
    """Attributes and one-dimensional operands mean the same; only the image and the weights are permuted.

    Where channels first is what others move to, image operators are there already.
    """
    image = rank(node.inputs[0])
    if image is None:
        return "the rank of its image is not known"
    if image < 3:
        return "its operand has no spatial axes"
    outputs = tuple(i for i in _OUTPUTS.get(node.op_type, (0,)) if i < len(node.outputs))
    if move is TO_FIRST:
        return Plan((0,), outputs, anchor=True)
    weights = _WEIGHT.get(node.op_type, ())
    return Plan((0,), outputs, _resize if node.op_type == "Resize" else _to_domain, anchor=True, weights=weights)


def _to_domain(_hands: Hands, node: ir.Node) -> None:
    node.domain = CHANNELS_LAST


def _resize(hands: Hands, node: ir.Node) -> None:
    """``axes`` is always explicit afterwards, so that roi, scales and sizes keep their order."""
    image = rank(node.inputs[0]) or 0
    axes = attribute(node, "axes") or range(image)
    perm = last_perm(image)
    node.attributes["axes"] = ir.AttrInt64s("axes", [axis_after(axis, perm) for axis in axes])
    _to_domain(hands, node)


RULES: Mapping[str, Rule] = MappingProxyType(dict.fromkeys(IMAGE_OPS, _anchor))
