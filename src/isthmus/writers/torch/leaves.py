"""Functions that the source called by modules without weights: such modules again, under their names."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import onnx_ir as ir
import torch
import torch.nn.functional as F
from torch import fx, nn

from isthmus.hub.provenance import class_of, where
from isthmus.writers.torch.names import component
from isthmus.writers.torch.recorder import NODE, VALUE, put_module

_TORCH = "torch.nn.modules."

Made = Callable[[fx.Node], nn.Module | None]
"""The module that computes what a node computes, or None."""


def with_leaves(root: fx.GraphModule) -> fx.GraphModule:
    """``root`` with a module in the place of each function that the source called by a module of PyTorch's own."""
    made: dict[str, str] = {}
    for node in list(root.graph.nodes):
        source = node.meta.get(NODE)
        if node.op not in ("call_function", "call_method") or not isinstance(source, ir.Node):
            continue
        if node.meta.get(VALUE) is not source.outputs[0]:
            continue  # a step on the way to the result
        kind = class_of(source)
        place = where(source).module
        rule = _LEAVES.get(kind.rpartition(".")[2]) if kind.startswith(_TORCH) and place else None
        module = rule(node) if rule is not None else None
        if module is None:
            continue
        path = ".".join(component(part) for part in place.split(".") if part)
        if made.get(path, repr(module)) != repr(module) or (path not in made and not _is_free(root, path)):
            continue
        if path not in made:
            put_module(root, path, module)
            made[path] = repr(module)
        with root.graph.inserting_before(node):
            call = root.graph.call_module(path, (node.args[0],))
        call.meta = dict(node.meta)
        node.replace_all_uses_with(call)
        root.graph.erase_node(node)
    if made:
        root.graph.eliminate_dead_code()
        root.recompile()
    return root


def _is_free(root: nn.Module, path: str) -> bool:
    """Whether nothing stands at ``path``, and no layer or weight on the way there."""
    held: nn.Module = root
    for part in path.split("."):
        if part not in held._modules:
            return not hasattr(held, part)
        child = held._modules[part]
        if type(child) is not nn.Module:
            return False
        held = child
    return False


def _plain(make: Callable[[], nn.Module], *functions: Any) -> Made:
    """A function of the tensor alone."""

    def rule(node: fx.Node) -> nn.Module | None:
        told = {k: v for k, v in node.kwargs.items() if k != "inplace" or v}
        return make() if node.target in functions and len(node.args) == 1 and not told else None

    return rule


def _gelu(node: fx.Node) -> nn.Module | None:
    if node.target is not F.gelu or len(node.args) != 1:
        return None
    return nn.GELU(str(node.kwargs.get("approximate", "none")))


def _leaky(node: fx.Node) -> nn.Module | None:
    slope = node.kwargs.get("negative_slope", 0.01)
    if node.target is not F.leaky_relu or len(node.args) != 1 or not isinstance(slope, float):
        return None
    return nn.LeakyReLU(slope)


def _along(make: Callable[[int], nn.Module], function: Any) -> Made:
    """A function along one axis."""

    def rule(node: fx.Node) -> nn.Module | None:
        if node.target is not function or len(node.args) != 2 or node.kwargs or not isinstance(node.args[1], int):
            return None
        return make(node.args[1])

    return rule


def _silu(node: fx.Node) -> nn.Module | None:
    if node.target is F.silu and len(node.args) == 1:
        return nn.SiLU()
    if node.target is not operator.mul or len(node.args) != 2:
        return None
    x, gate = node.args
    swished = isinstance(gate, fx.Node) and gate.target is torch.sigmoid and gate.args == (x,)
    return nn.SiLU() if swished else None


def _max_pool(kind: type[nn.Module], function: Any) -> Made:
    def rule(node: fx.Node) -> nn.Module | None:
        given = dict(node.kwargs)
        if node.target is not function or len(node.args) != 2 or given.pop("return_indices", False):
            return None
        kernel = node.args[1]
        if any(isinstance(value, fx.Node) for value in given.values()):
            return None
        stride = given.pop("stride", None)
        return kind(kernel, kernel if stride is None else stride, **given)

    return rule


def _adaptive(kind: Callable[[int], nn.Module], axes: int) -> Made:
    """The mean over all positions."""

    def rule(node: fx.Node) -> nn.Module | None:
        if node.target is not torch.mean or len(node.args) != 3 or node.kwargs:
            return None
        _, over, keeps = node.args
        source = node.meta[NODE].inputs[0]
        rank = None if source is None or source.shape is None else source.shape.rank()
        if rank != axes + 2 or not isinstance(over, list) or keeps is not True:
            return None
        return kind(1) if sorted(int(axis) % rank for axis in over) == list(range(2, rank)) else None

    return rule


def _flatten(node: fx.Node) -> nn.Module | None:
    start = node.args[1] if node.target == "flatten" and len(node.args) == 2 else None
    return nn.Flatten(start) if isinstance(start, int) else None


def _upsample(node: fx.Node) -> nn.Module | None:
    given = {key: node.kwargs.get(key) for key in ("scale_factor", "mode", "align_corners")}
    others = [node.kwargs.get(key) for key in ("size", "recompute_scale_factor", "antialias")]
    if node.target is not F.interpolate or len(node.args) != 1 or any(others) or given["scale_factor"] is None:
        return None
    factor = given["scale_factor"]
    if isinstance(factor, list | tuple):
        factor = factor[0] if len(set(factor)) == 1 else tuple(factor)
    align = given["align_corners"]
    return nn.Upsample(scale_factor=factor, mode=str(given["mode"] or "nearest"), align_corners=align)


_LEAVES: Mapping[str, Made] = MappingProxyType(
    {
        "ReLU": _plain(nn.ReLU, torch.relu, F.relu),
        "ReLU6": _plain(nn.ReLU6, F.relu6),
        "GELU": _gelu,
        "SiLU": _silu,
        "Mish": _plain(nn.Mish, F.mish),
        "SELU": _plain(nn.SELU, torch.selu),
        "Sigmoid": _plain(nn.Sigmoid, torch.sigmoid),
        "Tanh": _plain(nn.Tanh, torch.tanh),
        "Hardswish": _plain(nn.Hardswish, F.hardswish),
        "Hardsigmoid": _plain(nn.Hardsigmoid, F.hardsigmoid),
        "LeakyReLU": _leaky,
        "Softmax": _along(nn.Softmax, torch.softmax),
        "LogSoftmax": _along(nn.LogSoftmax, torch.log_softmax),
        "MaxPool1d": _max_pool(nn.MaxPool1d, F.max_pool1d),
        "MaxPool2d": _max_pool(nn.MaxPool2d, F.max_pool2d),
        "MaxPool3d": _max_pool(nn.MaxPool3d, F.max_pool3d),
        "AdaptiveAvgPool1d": _adaptive(nn.AdaptiveAvgPool1d, 1),
        "AdaptiveAvgPool2d": _adaptive(nn.AdaptiveAvgPool2d, 2),
        "AdaptiveAvgPool3d": _adaptive(nn.AdaptiveAvgPool3d, 3),
        "Flatten": _flatten,
        "Upsample": _upsample,
        "PixelShuffle": _along(nn.PixelShuffle, torch.pixel_shuffle),
    }
)
"""The class of the source's module → what may make it again."""
