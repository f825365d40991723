"""Weights that an exporter computed of others stand where the scopes of their nodes say."""

from __future__ import annotations

import re

import onnx_ir as ir

from isthmus.hub.model import LAYER, ONNX, Hub
from isthmus.hub.provenance import MODULE, where
from isthmus.hub.state import PLACE, key_of, place_of
from isthmus.passes.base import HubPass, PassResult, Reasons

_COMPUTED = re.compile(r"onnx::\w+_\d+\Z")
"""What PyTorch's TorchScript exporter calls a weight that it transposed, sliced or folded others into."""

_LAYERS = frozenset({(LAYER, "Linear"), (ONNX, "Conv"), (ONNX, "ConvTranspose")})


def is_computed(value: ir.Value | None) -> bool:
    """Whether an exporter made this initializer of the source's weights, and lost their names."""
    return value is not None and value.const_value is not None and bool(_COMPUTED.match(str(value.name)))


class PlaceWeights(HubPass):
    """Give the weights of layers, whose names an exporter lost, the keys that the source's state dict had for them.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 1, 4] x) => (float[n, 2, 2] y) <float[2, 1, 3] "onnx::Conv_7" = {1, 2, 3, 4, 5, 6}>
        {
            ["/stem/conv/Conv"] y = Conv <kernel_shape = [3]> (x, "onnx::Conv_7")
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 1, 4] x) => (float[n, 2, 2] y) <float[2, 1, 3] "onnx::Conv_7" = {1, 2, 3, 4, 5, 6}>
        {
            ["/stem/conv/Conv"] y = Conv <kernel_shape = [3]> (x, "onnx::Conv_7")
        }

    The graph stays; the metadata of the weight says ``stem.conv.weight``. A bias that kept its name says more than
    the scope does.
    """

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        taken = {place_of(value) for value in hub.graph.initializers.values()}
        modified = False
        for node in hub.graph.all_nodes():
            if (node.domain, node.op_type) not in _LAYERS:
                continue
            own = {leaf: node.inputs[i] for leaf, i in (("weight", 1), ("bias", 2)) if i < len(node.inputs)}
            lost = {leaf: value for leaf, value in own.items() if value is not None and is_computed(value)}
            if not lost:
                continue
            title = _title(node, own.get("bias"))
            wishes = {f"{title}.{leaf}": value for leaf, value in lost.items()}
            if not title or taken & set(wishes) or any(len(value.uses()) > 1 for value in lost.values()):
                reasons.decline(node, "no key is free for its weights")
                continue
            for wish, value in wishes.items():
                value.metadata_props[PLACE] = wish
            taken |= set(wishes)
            modified = True
        return PassResult(hub, modified, tuple(reasons.found))


def _title(node: ir.Node, bias: ir.Value | None) -> str:
    """The module that a layer is: where its bias is, or where its node is."""
    named = key_of(bias) if bias is not None and not is_computed(bias) else ""
    if named.endswith(".bias"):
        return named.removesuffix(".bias")
    place = node.metadata_props.get(MODULE, "") if node.domain == LAYER else where(node).module  # its name is ours
    return place.replace("/", ".")
