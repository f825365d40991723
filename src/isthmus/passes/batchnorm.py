"""Batch normalization behind a convolution or a linear layer goes into its weights, for inference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx_ir as ir

from isthmus.hub.model import ONNX, Hub
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.cleanup import bypass
from isthmus.passes.edit import Editor, attribute, known

FOLDED = "isthmus.folded"
"""Metadata of a weight that is the source's times a factor: the name of the normalization that went into it."""

Array = np.ndarray[Any, Any]
_EPSILON = 9.999999747378752e-06


@dataclass(frozen=True)
class _Affine:
    """What a normalization does to each channel: ``factor · x + shift``, in float64."""

    factor: Array
    shift: Array


class FoldBatchNorm(HubPass):
    """Multiply a batch normalization into the Conv, ConvTranspose or Gemm before it.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 1, 4, 4] x) => (float[n, 2, 4, 4] y)
        <float[2, 1, 1, 1] w = {1, 2}, float[2] b = {0, 1}, float[2] scale = {2, 3}, float[2] bias = {1, 1},
         float[2] mean = {1, 0}, float[2] var = {4, 9}>
        {
            a = Conv (x, w, b)
            y = BatchNormalization <epsilon = 0.0> (a, scale, bias, mean, var)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 1, 4, 4] x) => (float[n, 2, 4, 4] y)
        <float[2, 1, 1, 1] w = {1, 2}, float[2] b = {0, 2}>
        {
            y = Conv (x, w, b)
        }

    Weights keep their names. Results differ by float noise. Never part of a trainable build.
    """

    requires = ("a build for inference",)

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        edit = Editor(hub.model)
        modified = False
        for node in list(hub.graph.all_nodes()):
            if node.op_type != "BatchNormalization" or node.domain != ONNX:
                continue
            reason = _fold(edit, node)
            if reason is None:
                modified = True
            else:
                reasons.decline(node, reason)
        return PassResult(hub, modified, tuple(reasons.found))


def _fold(edit: Editor, node: ir.Node) -> str | None:
    """Do it, or say why not."""
    value = node.inputs[0]
    layer = None if value is None else value.producer()
    if value is None or layer is None or layer.domain != ONNX or layer.op_type not in _CHANNEL_FACTORS:
        return "no convolution or linear layer is before it"
    if len(value.uses()) != 1 or value.is_graph_output() or layer.graph is not node.graph:
        return "what it normalizes is used elsewhere as well"
    if attribute(node, "training_mode", 0):
        return "it is in training mode"
    affine = _affine(node)
    weight = layer.inputs[1]
    bias = layer.inputs[2] if len(layer.inputs) > 2 else None
    if affine is None or not _constant(weight) or not (bias is None or _constant(bias)):
        return "its parameters or the layer's weights are computed at run time"
    assert weight is not None
    if layer.op_type == "Gemm" and attribute(layer, "beta", 1.0) != 1.0:
        return "the layer scales its bias"
    old = np.zeros(()) if bias is None else known(bias)
    assert old is not None
    if layer.op_type == "Gemm" and old.ndim > 1 and old.shape[0] != 1:
        return "the layer's bias has a row for each sample"
    if any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
        return "its statistics are used"
    _multiply(edit, layer, weight, affine.factor, node.name or "")
    shifted = (old.astype(np.float64).reshape(-1) * affine.factor + affine.shift).astype(known_dtype(weight))
    _set_bias(edit, layer, bias, shifted, node.name or "")
    return bypass(node)


def _affine(node: ir.Node) -> _Affine | None:
    given = [known(v) for v in node.inputs[1:5]]
    if any(array is None for array in given):
        return None
    scale, bias, mean, var = (array.astype(np.float64) for array in given if array is not None)
    factor = scale / np.sqrt(var + attribute(node, "epsilon", _EPSILON))
    return _Affine(factor, bias - mean * factor)


def _constant(value: ir.Value | None) -> bool:
    return value is not None and value.const_value is not None and not value.is_graph_input()


def known_dtype(value: ir.Value) -> np.dtype[Any]:
    """The numpy type of a typed value."""
    assert value.dtype is not None
    return value.dtype.numpy()


def _multiply(edit: Editor, layer: ir.Node, weight: ir.Value, factor: Array, name: str) -> None:
    """Scale the weight when it is written; one that others use as well is left to them."""
    tensor = weight.const_value
    assert tensor is not None
    spread = _CHANNEL_FACTORS[layer.op_type](layer, tuple(tensor.shape.numpy()), factor)
    dtype = tensor.dtype

    def scaled() -> ir.TensorProtocol:
        return ir.Tensor((tensor.numpy() * spread).astype(dtype.numpy()), dtype=dtype)

    lazy = ir.LazyTensor(scaled, dtype=dtype, shape=ir.Shape(tensor.shape.numpy()), name=weight.name)
    if len(weight.uses()) > 1 or weight.is_graph_output():
        weight = edit.initializer(lazy, f"{weight.name}_folded")
        layer.replace_input_with(1, weight)
    else:
        weight.const_value = lazy
    weight.metadata_props[FOLDED] = name


def _set_bias(edit: Editor, layer: ir.Node, bias: ir.Value | None, array: Array, name: str) -> None:
    tensor = ir.tensor(array)
    if bias is not None and len(bias.uses()) == 1 and not bias.is_graph_output():
        tensor.name = bias.name
        bias.const_value, bias.shape = tensor, ir.Shape(array.shape)
    else:
        bias = edit.initializer(tensor, f"{name}_bias" if bias is None else f"{bias.name}_folded")
        layer.resize_inputs(3)
        layer.replace_input_with(2, bias)
    bias.metadata_props[FOLDED] = name


def _conv_factor(_layer: ir.Node, shape: tuple[int, ...], factor: Array) -> Array:
    """Weights (O, I/group, spatial…)."""
    return factor.reshape(-1, *[1] * (len(shape) - 1))


def _transposed_factor(layer: ir.Node, shape: tuple[int, ...], factor: Array) -> Array:
    """Weights (I, O/group, spatial…): the inputs of each group meet only its own outputs."""
    groups = attribute(layer, "group", 1)
    by_group = np.repeat(factor.reshape(groups, shape[1]), shape[0] // groups, axis=0)
    return by_group.reshape(*shape[:2], *[1] * (len(shape) - 2))


def _gemm_factor(layer: ir.Node, _shape: tuple[int, ...], factor: Array) -> Array:
    return factor[:, None] if attribute(layer, "transB", 0) else factor[None, :]


_CHANNEL_FACTORS: Mapping[str, Callable[[ir.Node, tuple[int, ...], Array], Array]] = MappingProxyType(
    {"Conv": _conv_factor, "ConvTranspose": _transposed_factor, "Gemm": _gemm_factor}
)
