"""Normalizations as PyTorch's own layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import onnx_ir as ir
import torch
from torch import nn

from isthmus.lower.walk import Context
from isthmus.writers.torch.backend import TorchBackend
from isthmus.writers.torch.homes import COUNT, FULL, attribute, layered, sizes, weights_of
from isthmus.writers.torch.numerals import shortest


def _own(backend: TorchBackend, weights: Mapping[str, ir.Value]) -> dict[str, ir.Value]:
    """``weights`` without those that an exporter filled in: ones and zeros that are no weights of the source."""
    filled = {leaf for leaf, fill in (("weight", 1), ("bias", 0)) if _is_filled(backend, weights.get(leaf), fill)}
    if "bias" in weights and filled == {"weight"}:
        filled = set()
    return {leaf: value for leaf, value in weights.items() if leaf not in filled}


def _is_filled(backend: TorchBackend, value: ir.Value | None, fill: int) -> bool:
    if value is None or value.const_value is None or not backend.marked or backend.role(value) != "constant":
        return False
    return value.const_value.nbytes <= 1 << 20 and bool((value.const_value.numpy() == fill).all())


def batch_norm(c: Context, backend: TorchBackend, given: Callable[[int], Any]) -> Any:
    weights = weights_of(c, {"weight": 1, "bias": 2, "running_mean": 3, "running_var": 4})
    if weights is None or "running_var" not in weights or attribute(c, "training_mode", 0) or c.outputs > 1:
        return None
    rank = c.rank(0)
    if rank not in (2, 3, 4, 5) or {v.dtype for v in weights.values()} != {c.dtype(0)}:
        return None
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[rank]
    epsilon, momentum = float(attribute(c, "epsilon", 1e-5)), 1.0 - float(attribute(c, "momentum", 0.9))

    filled = [leaf for leaf, fill in (("weight", 1), ("bias", 0)) if _is_filled(backend, weights[leaf], fill)]
    own = {leaf: value for leaf, value in weights.items() if leaf not in filled}
    affine = [leaf for leaf in ("weight", "bias") if leaf in own]
    if affine and all(backend.role(own[leaf]) == "buffer" for leaf in affine):
        return None  # frozen: it normalizes by its statistics in training as well, which no layer of PyTorch's does

    def make() -> nn.Module:
        channels = sizes(weights["running_mean"])[0]
        options = {} if affine else {"affine": False}
        module = kind(channels, eps=shortest(epsilon), momentum=round(momentum, 6), **options, device="meta")
        for leaf in filled if affine else ():
            module.register_parameter(leaf, None)
        module.register_buffer(COUNT, torch.tensor(0))
        return module

    return layered(c, backend, make, own, given(0))


def layer_norm(c: Context, backend: TorchBackend, given: Callable[[int], Any]) -> Any:
    weights = weights_of(c, {"weight": 1, "bias": 2})
    if weights is None or c.outputs > 1 or c.dtype(0) not in FULL or not _spans(c, weights["weight"]):
        return None
    if "bias" in weights and sizes(weights["bias"]) != sizes(weights["weight"]):
        return None
    shape, epsilon = _one_axis(sizes(weights["weight"])), float(attribute(c, "epsilon", 1e-5))
    own = _own(backend, weights)
    affine, bias = "weight" in own, "bias" in own

    def make() -> nn.Module:
        return nn.LayerNorm(shape, eps=shortest(epsilon), elementwise_affine=affine, bias=bias, device="meta")

    return layered(c, backend, make, own, given(0))


def rms_norm(c: Context, backend: TorchBackend, given: Callable[[int], Any]) -> Any:
    weights = weights_of(c, {"weight": 1})
    if weights is None or c.dtype(0) not in FULL or not _spans(c, weights["weight"]):
        return None
    shape, epsilon = _one_axis(sizes(weights["weight"])), float(attribute(c, "epsilon", 1e-5))
    own = _own(backend, weights)

    def make() -> nn.Module:
        return nn.RMSNorm(shape, eps=shortest(epsilon), elementwise_affine=bool(own), device="meta")

    return layered(c, backend, make, own, given(0))


def _spans(c: Context, weight: ir.Value) -> bool:
    """Whether a norm's weight has exactly the shape that is normalized."""
    axis = int(attribute(c, "axis", -1))
    return tuple(c.shape(0)[axis:]) == sizes(weight)


def _one_axis(shape: tuple[int, ...]) -> Any:
    return shape[0] if len(shape) == 1 else shape


def group_norm(c: Context, backend: TorchBackend, given: Callable[[int], Any]) -> Any:
    weights = weights_of(c, {"weight": 1, "bias": 2})
    if weights is None or c.dtype(0) not in FULL or len(weights) != 2:
        return None
    groups, channels = int(attribute(c, "num_groups", 1)), sizes(weights["weight"])[0]
    epsilon, own = float(attribute(c, "epsilon", 1e-5)), _own(backend, weights)
    if len(own) == 1:
        return None

    def make() -> nn.Module:
        return nn.GroupNorm(groups, channels, eps=shortest(epsilon), affine=bool(own), device="meta")

    image = given(0).contiguous() if _is_turned_input(c.node.inputs[0]) else given(0)
    return layered(c, backend, make, own, image)


def _is_turned_input(value: ir.Value | None) -> bool:
    """Whether a value is an input of the model, transposed: PyTorch (seen in 2.13) crashes in the gradient of a group
    norm whose operand has its channels last in memory and needs no gradient itself."""
    turn = None if value is None else value.producer()
    if turn is None or turn.op_type != "Transpose" or turn.inputs[0] is None:
        return False
    return turn.inputs[0].is_graph_input()


def instance_norm(c: Context, backend: TorchBackend, given: Callable[[int], Any]) -> Any:
    weights = weights_of(c, {"weight": 1, "bias": 2})
    rank = c.rank(0)
    if weights is None or c.dtype(0) not in FULL or rank not in (3, 4, 5):
        return None
    if any(isinstance(d, int) and d <= 1 for d in c.shape(0)[2:]) and all(d == 1 for d in c.shape(0)[2:]):
        return None  # PyTorch demands more than one value a channel
    kind = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)[rank - 3]
    channels, epsilon = sizes(weights["weight"])[0], float(attribute(c, "epsilon", 1e-5))
    own = _own(backend, weights)
    if len(own) == 1:
        return None
    return layered(
        c, backend, lambda: kind(channels, eps=shortest(epsilon), affine=bool(own), device="meta"), own, given(0)
    )
