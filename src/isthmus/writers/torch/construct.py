"""How a layer is made: the call that a person would write, its sizes apart from the rest."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from isthmus.writers.torch.numerals import spelled
from isthmus.writers.torch.spell import quoted

_CONV = ("in_channels", "out_channels", "kernel_size"), {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
_BATCH = ("num_features",), {"eps": 1e-5, "momentum": 0.1, "affine": True}
_POOL = ("kernel_size",), {"stride": 1, "padding": 0, "dilation": 1, "ceil_mode": False}
_RECURRENT = (
    ("input_size", "hidden_size"),
    {
        "num_layers": 1,
        "batch_first": False,
        "dropout": 0.0,
        "bidirectional": False,
    },
)

LAYERS: Mapping[type[nn.Module], tuple[tuple[str, ...], Mapping[str, Any]]] = MappingProxyType(
    {
        nn.Linear: (("in_features", "out_features"), {}),
        nn.Conv1d: _CONV,
        nn.Conv2d: _CONV,
        nn.Conv3d: _CONV,
        nn.ConvTranspose1d: (_CONV[0], {**_CONV[1], "output_padding": 0}),
        nn.ConvTranspose2d: (_CONV[0], {**_CONV[1], "output_padding": 0}),
        nn.ConvTranspose3d: (_CONV[0], {**_CONV[1], "output_padding": 0}),
        nn.BatchNorm1d: _BATCH,
        nn.BatchNorm2d: _BATCH,
        nn.BatchNorm3d: _BATCH,
        nn.InstanceNorm1d: (("num_features",), {"eps": 1e-5, "affine": False}),
        nn.InstanceNorm2d: (("num_features",), {"eps": 1e-5, "affine": False}),
        nn.InstanceNorm3d: (("num_features",), {"eps": 1e-5, "affine": False}),
        nn.LayerNorm: (("normalized_shape",), {"eps": 1e-5, "elementwise_affine": True}),
        nn.RMSNorm: (("normalized_shape",), {"eps": None, "elementwise_affine": True}),
        nn.GroupNorm: (("num_groups", "num_channels"), {"eps": 1e-5, "affine": True}),
        nn.Embedding: (("num_embeddings", "embedding_dim"), {}),
        nn.PReLU: (("num_parameters",), {}),
        **dict.fromkeys((nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d), (("p",), {})),
        **dict.fromkeys((nn.AlphaDropout, nn.FeatureAlphaDropout), (("p",), {})),
        **dict.fromkeys((nn.ReLU, nn.ReLU6, nn.SiLU, nn.Mish, nn.SELU), ((), {})),
        **dict.fromkeys((nn.Sigmoid, nn.Tanh, nn.Hardswish, nn.Hardsigmoid, nn.Identity), ((), {})),
        nn.GELU: ((), {"approximate": "none"}),
        nn.LeakyReLU: (("negative_slope",), {}),
        nn.Softmax: ((), {"dim": None}),
        nn.LogSoftmax: ((), {"dim": None}),
        **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d), _POOL),
        **dict.fromkeys((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), (("output_size",), {})),
        nn.Flatten: ((), {"start_dim": 1}),
        nn.Upsample: ((), {"scale_factor": None, "mode": "nearest", "align_corners": None}),
        nn.PixelShuffle: (("upscale_factor",), {}),
        nn.MultiheadAttention: (("embed_dim", "num_heads"), {"dropout": 0.0, "batch_first": False}),
        nn.LSTM: _RECURRENT,
        nn.GRU: _RECURRENT,
        nn.RNN: (_RECURRENT[0], {**_RECURRENT[1], "nonlinearity": "tanh"}),
    }
)
"""Layer → its positional arguments, and its keywords with their defaults. All are attributes of the layer."""

_ALWAYS_BIASED = (nn.Embedding, nn.PReLU, nn.Dropout, nn.RMSNorm, nn.GroupNorm)
_NORMS = (nn.modules.batchnorm._NormBase,)


@dataclass(frozen=True)
class Slot:
    """A size in a call: its value, what it is called, and the value that needs no writing."""

    value: int
    role: str
    default: int | None = None


@dataclass(frozen=True)
class Recipe:
    """A call with ``{}`` for each size in it, and those sizes.

    Arguments that may be left out stand between two control characters.
    """

    template: str
    slots: tuple[Slot, ...]


def filled(template: str, slots: Sequence[Slot], texts: Sequence[str]) -> str:
    """A template with ``texts`` in the places of its sizes, and without what would say a default."""
    given = iter(zip(slots, texts, strict=True))
    parts: list[str] = []
    for piece in _PLACES.split(template):
        if piece in ("{}", "{{", "}}"):
            parts.append(next(given)[1] if piece == "{}" else piece[0])
        elif piece.startswith("\x01"):
            slot, text = next(given)
            parts.append("" if text == str(slot.default) else piece[1:-1].replace("{}", text))
        else:
            parts.append(piece)
    return "".join(parts).replace("(, ", "(")


def places(template: str) -> int:
    """How many sizes a template has."""
    return sum("{}" in piece for piece in _PLACES.split(template))


_PLACES = re.compile("(\x01[^\x01\x02]*\x02|\\{\\{|\\}\\}|\\{\\})")


def recipe(layer: nn.Module) -> Recipe:
    """How ``layer`` is made; its weights come later."""
    positional, keywords = LAYERS[type(layer)]
    parts: list[str] = []
    slots: list[Slot] = []
    for name in positional:
        value = _short(getattr(layer, name))
        sized = type(value) is int
        slots += [Slot(value, name)] if sized else []
        parts.append(", {}" if sized else f", {_plain(value)}")
    for name, default in keywords.items():
        value = _short(getattr(layer, name))
        if name == "stride" and type(layer).__name__.startswith("MaxPool"):
            if value != _short(layer.kernel_size):  # that is what a pool without a stride has
                parts.append(f", stride={_plain(value)}")
        elif type(value) is int and type(default) is int:
            slots.append(Slot(value, name, default))
            parts.append(f"\x01, {name}={{}}\x02")
        elif value != default:
            parts.append(f", {name}={_plain(value)}")
    if _has_no_bias(layer):
        parts.append(", bias=False")
    weight = getattr(layer, "weight", getattr(layer, "weight_hh_l0", None))
    if isinstance(weight, torch.Tensor) and weight.dtype is not torch.float32:
        parts.append(f", dtype={weight.dtype}")
    return Recipe(f"nn.{type(layer).__name__}({''.join(parts).removeprefix(', ')})", tuple(slots))


def _has_no_bias(layer: nn.Module) -> bool:
    if isinstance(layer, (*_ALWAYS_BIASED, *_NORMS)):
        return False
    if isinstance(layer, nn.RNNBase):
        return not layer.bias
    if isinstance(layer, nn.MultiheadAttention):
        return layer.in_proj_bias is None
    if isinstance(layer, nn.LayerNorm) and not layer.elementwise_affine:
        return False
    return hasattr(layer, "bias") and layer.bias is None


def _short(value: Any) -> Any:
    """A size that is the same on every axis, once."""
    if isinstance(value, tuple) and value and len(set(value)) == 1 and not isinstance(value, torch.Size):
        return value[0]
    return value


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, float) and math.isfinite(value):
        return spelled(value)
    return ascii(tuple(value)) if isinstance(value, tuple | list) else ascii(value)
