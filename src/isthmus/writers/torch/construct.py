"""How a layer is made: the call that a person would write, its sizes apart from the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from isthmus.writers.torch.spell import quoted

_CONV = ("in_channels", "out_channels", "kernel_size"), {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
_BATCH = ("num_features",), {"eps": 1e-5, "momentum": 0.1, "affine": True}
_POOL = ("kernel_size",), {"stride": 1, "padding": 0, "dilation": 1, "ceil_mode": False}
_RECURRENT = ("input_size", "hidden_size"), {"num_layers": 1, "batch_first": False, "bidirectional": False}

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
        nn.Dropout: (("p",), {}),
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
        nn.MultiheadAttention: (("embed_dim", "num_heads"), {"batch_first": False}),
        nn.LSTM: _RECURRENT,
        nn.GRU: _RECURRENT,
        nn.RNN: (_RECURRENT[0], {**_RECURRENT[1], "nonlinearity": "tanh"}),
    }
)
"""Layer → its positional arguments, and its keywords with their defaults. All are attributes of the layer."""

_ALWAYS_BIASED = (nn.Embedding, nn.PReLU, nn.Dropout, nn.RMSNorm, nn.GroupNorm)
_NORMS = (nn.modules.batchnorm._NormBase,)


@dataclass(frozen=True)
class Recipe:
    """A call with ``{}`` for each size in it, those sizes, and what they are called."""

    template: str
    values: tuple[int, ...]
    roles: tuple[str, ...]


def recipe(layer: nn.Module) -> Recipe:
    """How ``layer`` is made; its weights come later."""
    positional, keywords = LAYERS[type(layer)]
    parts: list[str] = []
    values: list[int] = []
    roles: list[str] = []

    def add(name: str, value: Any, prefix: str) -> None:
        value = _short(value)
        if type(value) is int:
            values.append(value)
            roles.append(name)
            parts.append(f"{prefix}{{}}")
        else:
            parts.append(f"{prefix}{_plain(value)}")

    for name in positional:
        add(name, getattr(layer, name), "")
    for name, default in keywords.items():
        if name == "stride" and "kernel_size" in positional and type(layer).__name__.startswith("MaxPool"):
            default = _short(layer.kernel_size)  # that is what a pool without a stride has
        if _short(getattr(layer, name)) != default:
            add(name, getattr(layer, name), f"{name}=")
    if _has_no_bias(layer):
        parts.append("bias=False")
    weight = getattr(layer, "weight", getattr(layer, "weight_hh_l0", None))
    if isinstance(weight, torch.Tensor) and weight.dtype is not torch.float32:
        parts.append(f"dtype={weight.dtype}")
    return Recipe(f"nn.{type(layer).__name__}({', '.join(parts)})", tuple(values), tuple(roles))


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
    return ascii(tuple(value)) if isinstance(value, tuple | list) else ascii(value)


def tensor_text(tensor: torch.Tensor) -> str:
    """``torch.empty`` for a tensor whose content comes with the weights."""
    sizes = ", ".join(str(d) for d in tensor.shape) or "()"
    return f"torch.empty({sizes}{_dtype(tensor.dtype, torch.float32)})"


def literal_text(tensor: torch.Tensor) -> str | None:
    """A small tensor in full, or None where it is not small or has no literals."""
    exact = tensor.dtype in (torch.float32, torch.float64, torch.bool) or not (
        tensor.dtype.is_floating_point or tensor.dtype.is_complex
    )
    if tensor.numel() > 16 or tensor.numel() == 0 or not exact:
        return None
    if tensor.dtype.is_floating_point and not bool(torch.isfinite(tensor).all()):
        return None
    usual = {True: torch.float32}.get(tensor.dtype.is_floating_point, torch.int64)
    usual = torch.bool if tensor.dtype is torch.bool else usual
    return f"torch.tensor({_rounded(tensor.tolist(), tensor.dtype)!a}{_dtype(tensor.dtype, usual)})"


def _rounded(values: Any, dtype: torch.dtype) -> Any:
    """Floats as short as their type allows."""
    if isinstance(values, list):
        return [_rounded(value, dtype) for value in values]
    if dtype is torch.float32:
        short = float(f"{values:.7g}")
        return short if torch.tensor(short).item() == values else values
    return values


def _dtype(dtype: torch.dtype, usual: torch.dtype) -> str:
    return "" if dtype is usual else f", dtype={dtype}"
