"""Nodes whose weights are initializers as PyTorch's own layers, where such a layer computes exactly that."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import onnx_ir as ir
from torch import nn

from isthmus.hub.model import ROLE
from isthmus.hub.provenance import where
from isthmus.hub.state import PLACE, place_of
from isthmus.lower.walk import Context
from isthmus.writers.torch.backend import TorchBackend
from isthmus.writers.torch.forward import PARTS
from isthmus.writers.torch.homes import FULL, attribute, layered, sizes, weights_of
from isthmus.writers.torch.norm_layers import batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from isthmus.writers.torch.numerals import shortest
from isthmus.writers.torch.recurrent_layers import recurrent
from isthmus.writers.torch.rooms import Layer


def rules() -> Mapping[str, Layer]:
    """Operator → what may make a layer of it."""
    return _RULES


def _symmetric(pads: Sequence[int]) -> tuple[int, ...] | None:
    half = len(pads) // 2
    return tuple(pads[:half]) if list(pads[:half]) == list(pads[half:]) else None


def _one(values: Sequence[int]) -> Any:
    """A size that is the same on every axis, as one would write it."""
    values = tuple(int(v) for v in values)
    return values[0] if len(set(values)) == 1 else values


def _convolved(c: Context, backend: TorchBackend) -> dict[str, ir.Value] | None:
    """The weights of a convolution, without a bias that an exporter added: zeros that are no weight of the source."""
    weights = weights_of(c, {"weight": 1, "bias": 2})
    bias = weights.get("bias") if weights else None
    if weights is None or bias is None or bias.const_value is None:
        return weights
    filled = bias.metadata_props.get(ROLE) == "constant" or (backend.marked and backend.role(bias) == "constant")
    if not filled or bias.const_value.nbytes > 1 << 20 or bias.const_value.numpy().any():
        return weights
    return {"weight": weights["weight"]}


def conv(c: Context, backend: TorchBackend, given: Callable[[int], Any]) -> Any:
    weights = _convolved(c, backend)
    if weights is None or attribute(c, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return None
    shape = sizes(weights["weight"])
    space = len(shape) - 2
    pads = attribute(c, "pads", (0,) * 2 * space)
    if attribute(c, "auto_pad", "NOTSET") == "VALID":
        pads = (0,) * 2 * space
    padding = _symmetric(pads)
    if padding is None or space not in (1, 2, 3) or min(padding) < 0 or 0 in shape:
        return None
    groups = int(attribute(c, "group", 1))
    options = {
        "stride": (_one(attribute(c, "strides", (1,) * space)), 1),
        "padding": (_one(padding), 0),
        "dilation": (_one(attribute(c, "dilations", (1,) * space)), 1),
        "groups": (groups, 1),
        "bias": ("bias" in weights, True),
    }
    chosen = {k: v for k, (v, default) in options.items() if v != default}
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[space - 1]
    kernel = _one(shape[2:])
    return layered(
        c,
        backend,
        lambda: kind(shape[1] * groups, shape[0], kernel, **chosen, device="meta"),
        weights,
        given(0),
    )


def conv_transpose(c: Context, backend: TorchBackend, given: Callable[[int], Any]) -> Any:
    weights = _convolved(c, backend)
    if weights is None or attribute(c, "auto_pad", "NOTSET") != "NOTSET" or "output_shape" in c.node.attributes:
        return None
    shape = sizes(weights["weight"])
    space = len(shape) - 2
    strides = tuple(attribute(c, "strides", (1,) * space))
    dilations = tuple(attribute(c, "dilations", (1,) * space))
    extra = tuple(attribute(c, "output_padding", (0,) * space))
    padding = _symmetric(attribute(c, "pads", (0,) * 2 * space))
    if padding is None or space not in (1, 2, 3) or min(padding) < 0 or 0 in shape:
        return None
    if any(e >= max(s, d) for e, s, d in zip(extra, strides, dilations, strict=True)):
        return None
    groups = int(attribute(c, "group", 1))
    options = {
        "stride": (_one(strides), 1),
        "padding": (_one(padding), 0),
        "output_padding": (_one(extra), 0),
        "groups": (groups, 1),
        "bias": ("bias" in weights, True),
        "dilation": (_one(dilations), 1),
    }
    chosen = {k: v for k, (v, default) in options.items() if v != default}
    kind = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[space - 1]
    return layered(
        c,
        backend,
        lambda: kind(shape[0], shape[1] * groups, _one(shape[2:]), **chosen, device="meta"),
        weights,
        given(0),
    )


def linear(c: Context, backend: TorchBackend, given: Callable[[int], Any]) -> Any:
    weights = weights_of(c, {"weight": 1, "bias": 2})
    if weights is None:
        return None
    turned = bool(attribute(c, "transposed", 0))
    shape = sizes(weights["weight"])
    if 0 in shape:
        return None  # PyTorch warns of a layer without elements
    if turned and backend.marked and PLACE not in weights["weight"].metadata_props:
        return None  # a PyTorch source that multiplies by a parameter as it is has no Linear there
    inputs, outputs = shape if turned else shape[::-1]
    return layered(
        c,
        backend,
        lambda: nn.Linear(inputs, outputs, bias="bias" in weights, device="meta"),
        weights,
        given(0),
        stored={"weight": (1, 0)} if turned else {},
    )


def embedding(c: Context, backend: TorchBackend, given: Callable[[int], Any]) -> Any:
    """A table that is called a weight: PyTorch's, whose indices are never negative."""
    weights = weights_of(c, {"weight": 0})
    if weights is None or attribute(c, "axis", 0) != 0 or len(sizes(weights["weight"])) != 2:
        return None
    value = weights["weight"]
    if value.dtype is None or not value.dtype.is_floating_point() or not place_of(value).endswith(".weight"):
        return None
    if c.dtype(1) not in (ir.DataType.INT64, ir.DataType.INT32):
        return None
    rows, width = sizes(value)
    return layered(c, backend, lambda: nn.Embedding(rows, width, device="meta"), weights, given(1))


def prelu(c: Context, backend: TorchBackend, given: Callable[[int], Any]) -> Any:
    weights = weights_of(c, {"weight": 1})
    if weights is None or c.dtype(0) not in FULL:
        return None
    count = sizes(weights["weight"])[0]
    return layered(c, backend, lambda: nn.PReLU(count, device="meta"), weights, given(0))


def broadcast_prelu(c: Context, backend: TorchBackend, given: Callable[[int], Any]) -> Any:
    """Slopes that are stored as they are broadcast: one a channel, or one alone."""
    weights = weights_of(c, {"weight": 1})
    rank = c.rank(0)
    if weights is None or c.dtype(0) not in FULL or rank < 2:
        return None
    stored = sizes(weights["weight"])
    count, aligned = math.prod(stored), (1,) * (rank - len(stored)) + stored
    if len(aligned) > rank or aligned != (1, count, *[1] * (rank - 2)) or count not in (1, c.shape(0)[1]):
        return None
    reshaped = {"weight": (count,)} if len(stored) != 1 else {}
    return layered(c, backend, lambda: nn.PReLU(count, device="meta"), weights, given(0), reshaped=reshaped)


def multihead_attention(c: Context, backend: TorchBackend, given: Callable[[int], Any]) -> Any:
    assert backend.recorder is not None
    leaves = ("in_proj_weight", "out_proj.weight", "in_proj_bias", "out_proj.bias")
    weights = weights_of(c, {leaf: 1 + i for i, leaf in enumerate(leaves)})
    if weights is None or len(weights) not in (2, 4):
        return None
    width, heads = sizes(weights["out_proj.weight"])[0], int(attribute(c, "num_heads", 1))
    options = {"bias": len(weights) == 4, "batch_first": bool(attribute(c, "batch_first", 0)), "device": "meta"}
    x = given(0)
    wants = {} if c.outputs > 1 else {"need_weights": False}
    made = layered(
        c, backend, lambda: nn.MultiheadAttention(width, heads, **options), weights, x, x, x, keywords=wants
    )
    if made is None:
        return None
    made.node.meta[PARTS] = 2
    return [made[i] for i in range(c.outputs)]


def dropout(c: Context, backend: TorchBackend, given: Callable[[int], Any]) -> Any:
    """Dropout that the source runs in eval mode: it does nothing until it is trained."""
    assert backend.recorder is not None
    mode = c.node.inputs[2] if c.has(2) else None
    if c.outputs > 1 or (mode is not None and (mode.const_value is None or mode.const_value.numpy().any())):
        return None
    ratio = c.node.inputs[1] if c.has(1) else None
    if ratio is not None and ratio.const_value is None:
        return None
    share = 0.5 if ratio is None or ratio.const_value is None else float(ratio.const_value.numpy().reshape(-1)[0])
    place = where(c.node).module
    path = backend.recorder.paths.choose(place if place.rpartition(".")[2].startswith("drop") else f"{place}.dropout")
    return backend.recorder.module(path, nn.Dropout(shortest(share)), given(0))


_RULES: Mapping[str, Layer] = MappingProxyType(
    {
        "Conv": conv,
        "ConvTranspose": conv_transpose,
        "Linear": linear,
        "BatchNormalization": batch_norm,
        "LayerNormalization": layer_norm,
        "RMSNormalization": rms_norm,
        "GroupNormalization": group_norm,
        "InstanceNormalization": instance_norm,
        "Gather": embedding,
        "PReLU": prelu,
        "PRelu": broadcast_prelu,
        "MultiheadAttention": multihead_attention,
        "Dropout": dropout,
        "Recurrent": recurrent,
    }
)
