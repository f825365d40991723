"""Where a layer stands: at the module that its weights' names say, filled with them, shared where they are tied."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import onnx_ir as ir
import torch
from torch import nn

from isthmus.hub.provenance import class_of, where
from isthmus.hub.state import place_of
from isthmus.lower.walk import Context
from isthmus.writers.torch.backend import TorchBackend
from isthmus.writers.torch.recorder import put_module
from isthmus.writers.torch.weights import tensor_of

FULL = frozenset((ir.DataType.FLOAT, ir.DataType.DOUBLE))
"""The types that PyTorch's layers compute in as ONNX's operators do."""

COUNT = "num_batches_tracked"
"""The one buffer of PyTorch's normalizations that no operator reads."""

_SUFFIX = re.compile(
    r"[._/:](?:weight|weights|kernel|gamma|scale|slope|w|W)(?::0)?\Z|(?:_weight|_w|_W|_scale|_gamma)\Z"
)


def attribute(c: Context, name: str, default: Any) -> Any:
    found = c.node.attributes.get(name)
    return default if found is None else found.value


def weights_of(c: Context, leaves: Mapping[str, int]) -> dict[str, ir.Value] | None:
    """The initializers at these inputs, by the names that the layer gives them; None where one is computed."""
    found = {}
    for leaf, index in leaves.items():
        if not c.has(index):
            continue
        value = c.node.inputs[index]
        if value is None or value.const_value is None or value.is_graph_input() or value.dtype is None:
            return None
        found[leaf] = value
    return found


def sizes(value: ir.Value) -> tuple[int, ...]:
    """The shape of an initializer."""
    assert value.const_value is not None
    return tuple(int(d) for d in value.const_value.shape.numpy())


def _home(c: Context, backend: TorchBackend, weights: Mapping[str, ir.Value]) -> str | None:
    """Where a layer with these weights stands: where their names say, if they say all the same and all there is.

    A source of PyTorch's names its parameters itself, tied ones more than once; names of other sources may become
    others.
    """
    if any(backend.role(value) == "constant" for value in weights.values()):
        return None  # no weights of the source
    place = where(c.node).module
    if prefixes := _prefixes(backend, weights):
        prefix = place if place in prefixes else prefixes[0]
        own = {f"{prefix}.{leaf}" for leaf in weights}
        counted = f"{prefix}.{COUNT}"
        return prefix if prefix and backend.names_below(prefix) - {counted} == own else None
    if backend.marked or any("." in str(value.name) or len(value.uses()) > 1 for value in weights.values()):
        return None
    title = _SUFFIX.sub("", str(weights["weight"].name)) if "weight" in weights else ""
    place = place or title or c.node.name or c.node.op_type.lower()
    return place.replace("/", ".").strip(".") or c.node.op_type.lower()


def _prefixes(backend: TorchBackend, weights: Mapping[str, ir.Value]) -> list[str]:
    """The modules that all of the weights are said to be in, the one of their first names before the others."""
    found: list[list[str]] = []
    for leaf, value in weights.items():
        key = place_of(value)
        names = [f".{one}" for one in (key, *backend.state.aliases(key))]
        found.append([one.removesuffix(f".{leaf}")[1:] for one in names if one.endswith(f".{leaf}")])
    return [prefix for prefix in found[0] if all(prefix in others for others in found)] if found else []


def bare_home(c: Context, backend: TorchBackend, kind: str) -> str | None:
    """Where a layer without weights stands: where the source had one of this class. None where it had none."""
    place = where(c.node).module
    named = class_of(c.node).startswith("torch.nn.modules.") and class_of(c.node).rpartition(".")[2] == kind
    return place if place and named and not backend.names_below(place) else None


def layered(
    c: Context,
    backend: TorchBackend,
    make: Callable[[], nn.Module],
    weights: Mapping[str, ir.Value],
    *inputs: Any,
    stored: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
    reshaped: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
    keywords: Mapping[str, Any] = MappingProxyType({}),
) -> Any:
    """Call the layer that ``make`` gives without values, filled with ``weights``; None where it has no place.

    ``stored`` has the permutations, ``reshaped`` the shapes of weights that PyTorch stores otherwise.
    """
    assert backend.recorder is not None
    home = _home(c, backend, weights) if weights else bare_home(c, backend, type(make()).__name__)
    if home is None:
        return None
    return settled(c, backend, home, make, weights, *inputs, stored=stored, reshaped=reshaped, keywords=keywords)


def settled(
    c: Context,
    backend: TorchBackend,
    home: str,
    make: Callable[[], nn.Module],
    weights: Mapping[str, ir.Value],
    *inputs: Any,
    stored: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
    reshaped: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
    keywords: Mapping[str, Any] = MappingProxyType({}),
) -> Any:
    """Call the layer at ``home``; None where another one stands there, or a weight elsewhere in another order."""
    assert backend.recorder is not None
    again = backend.layers.get(home)
    key = (c.node.op_type, tuple((k, v.name) for k, v in weights.items()), str(sorted_attributes(c.node)))
    if again is not None and again[1] == key:
        return backend.recorder.create_proxy("call_module", again[0], inputs, dict(keywords))
    shared = {leaf: value for leaf, value in weights.items() if value in backend.placed}
    if again is not None or not all(_may_share(backend, home, leaf, value) for leaf, value in shared.items()):
        return None
    path = backend.recorder.paths.choose(home)
    module = make()
    for leaf, value in weights.items():
        assert value.const_value is not None
        if leaf in shared:
            shared_one = backend.recorder.root.get_parameter(backend.stored[str(value.name)].key)
            _owner(module, leaf)._parameters[leaf.rpartition(".")[2]] = shared_one
            continue
        tensor = tensor_of(value.const_value)
        if leaf in stored:
            tensor = tensor.permute(stored[leaf]).contiguous()
        if leaf in reshaped:
            tensor = tensor.reshape(reshaped[leaf])
        fill(module, leaf, tensor, trains=backend.role(value) == "parameter")
        backend.note(value, f"{path}.{leaf}", stored.get(leaf), reshaped.get(leaf))
    count = backend.state.kept.get(f"{home}.{COUNT}")
    if count is not None and COUNT in module._buffers:
        module._buffers[COUNT] = tensor_of(count.tensor)
    if isinstance(module, nn.RNNBase):
        module._init_flat_weights()  # it keeps its parameters in a list as well
    backend.layers[home] = (path, key)
    put_module(backend.recorder.root, path, module)
    return backend.recorder.create_proxy("call_module", path, inputs, dict(keywords))


def _may_share(backend: TorchBackend, home: str, leaf: str, value: ir.Value) -> bool:
    """Whether a weight that stands elsewhere is this layer's too: the source tied them, and both store it alike."""
    tied = f"{home}.{leaf}" in (place_of(value), *backend.state.aliases(place_of(value)))
    held = backend.stored[str(value.name)]
    return tied and held.perm is None and held.shape is None and backend.role(value) == "parameter"


def fill(module: nn.Module, leaf: str, tensor: torch.Tensor, *, trains: bool) -> None:
    """Put a weight into a layer that was made without values."""
    owner, name = _owner(module, leaf), leaf.rpartition(".")[2]
    if name in owner._parameters:
        owner._parameters[name] = nn.Parameter(tensor, requires_grad=trains)
    else:
        owner._buffers[name] = tensor


def _owner(module: nn.Module, leaf: str) -> nn.Module:
    return module.get_submodule(leaf.rpartition(".")[0])


def sorted_attributes(node: ir.Node) -> list[tuple[str, Any]]:
    return sorted((name, str(a.value)) for name, a in node.attributes.items())
