"""The rest of a PyTorch source's state: keys that no operator reads, tied weights, modules without weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import onnx_ir as ir
import torch
from torch import fx, nn

from isthmus.passes.arrange import Step, permuted_first
from isthmus.passes.gates import ORIGIN, made_of
from isthmus.passes.weights import told
from isthmus.types import StoredWeight
from isthmus.writers.torch.backend import Stored, TorchBackend
from isthmus.writers.torch.construct import LAYERS
from isthmus.writers.torch.names import component
from isthmus.writers.torch.recorder import put_tensor
from isthmus.writers.torch.weights import tensor_of


def completed(root: nn.Module, backend: TorchBackend) -> nn.Module:
    """``root`` with the whole state dict of its source, tied weights as one parameter, frozen ones frozen."""
    state, recorder = backend.state, backend.recorder
    assert recorder is not None
    paths = {key: stored.key for key, stored in backend.stored.items()}
    for key, kept in state.kept.items():
        if _held(root, key) is None:
            paths[key] = recorder.paths.choose(key)
            role = "parameter" if kept.parameter else "buffer"
            put_tensor(root, paths[key], tensor_of(kept.tensor), role=role)
    for alias, first in state.tied.items():
        if (tensor := _held(root, paths.get(first, first))) is None:
            continue
        # A layer may have put the weight under its own key, which is an alias, and not under its first.
        keys = (alias, first) if paths.get(first) in state.aliases(first) else (alias,)
        for key in keys:
            if _held(root, key) is None:
                _tie(root, recorder.paths.choose(key), tensor)
    for key in state.frozen:
        tensor = _held(root, paths.get(key, key))
        if isinstance(tensor, nn.Parameter):
            tensor.requires_grad_(False)
    _add_silent(root, state.modules)
    _order_tensors(root, [*(paths[name] for name in backend.order if name in paths), *state.kept])
    _order(root, "", {path: i for i, path in enumerate(state.modules)})
    return root


_CONTAINERS: Mapping[str, type[nn.Module]] = MappingProxyType(
    {"ModuleList": nn.ModuleList, "ModuleDict": nn.ModuleDict, "Sequential": nn.Identity}
)
"""What stands for a container that holds nothing: a Sequential of nothing gives what it takes."""


def _add_silent(root: nn.Module, modules: Mapping[str, str]) -> None:
    """Modules that left no trace in the graph stand where they stood, and do nothing."""
    for path in modules:
        if not path:
            continue
        parent, _, leaf = ".".join(component(part) for part in path.split(".") if part).rpartition(".")
        owner = _module(root, parent)
        if owner is None or type(owner) in LAYERS or not leaf or hasattr(owner, leaf):
            continue
        container = _CONTAINERS.get(modules[path])
        if container is not None and any(other.startswith(f"{path}.") for other in modules):
            continue  # it stood around others, which stand elsewhere now
        if _is_open(owner):
            owner.add_module(leaf, (container or nn.Identity)())


def _is_open(owner: nn.Module) -> bool:
    return isinstance(owner, fx.GraphModule | nn.ModuleList | nn.ModuleDict) or type(owner) is nn.Module


def _order_tensors(root: nn.Module, keys: Sequence[str]) -> None:
    """Parameters and buffers in the order in which the source has them; optimizers count on it."""
    places = {key: i for i, key in enumerate(keys)}
    for path, module in root.named_modules():
        if type(module) in LAYERS:
            continue
        prefix = f"{path}." if path else ""
        for table in (module._parameters, module._buffers):
            ordered = sorted(table.items(), key=lambda item: places.get(f"{prefix}{item[0]}", len(places)))
            table.clear()
            table.update(ordered)


def _order(module: nn.Module, prefix: str, places: Mapping[str, int]) -> None:
    """Children in the order in which the source has them; what it does not have comes last."""
    children = sorted(module._modules.items(), key=lambda item: places.get(f"{prefix}{item[0]}", len(places)))
    if type(module) not in LAYERS:
        module._modules.clear()
        module._modules.update(children)
    for name, child in children:
        if child is not None:
            _order(child, f"{prefix}{name}.", places)


def _module(root: nn.Module, path: str) -> nn.Module | None:
    found: nn.Module | None = root
    for part in path.split(".") if path else ():
        found = found._modules.get(part) if found is not None else None
    return found


def moved_weights(graph: ir.Graph, stored: Mapping[str, Stored], held: Collection[str]) -> tuple[StoredWeight, ...]:
    """The weights among the keys ``held`` whose key or order is not that of the source."""
    found = []
    for name, place in stored.items():
        if place.key not in held:
            continue
        value = graph.initializers.get(name)
        if value is not None and ORIGIN in value.metadata_props:
            if (made := made_of(value, place.key)) is not None:
                found.append(replace(made, perm=made.perm or place.perm, shape=made.shape or place.shape))
            continue
        perm, shape = (place.perm, place.shape) if value is None else _arranged(value, place)
        if perm is not None or shape is not None or place.key != name:
            found.append(StoredWeight(place.key, name, perm=perm, shape=shape))
    return tuple(found)


def _arranged(value: ir.Value, place: Stored) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    """What passes and then a layer did to the order of a weight."""
    sizes, steps = told(value)
    further: list[Step] = [] if place.perm is None else [("perm", place.perm)]
    further += [] if place.shape is None else [("shape", place.shape)]
    return permuted_first(sizes, (*steps, *further)) or (place.perm, place.shape)


def _held(root: nn.Module, path: str) -> torch.Tensor | None:
    """The parameter or buffer at ``path``."""
    parent, _, leaf = path.rpartition(".")
    owner = _module(root, parent)
    if owner is None:
        return None
    found = owner._parameters.get(leaf)
    return found if found is not None else owner._buffers.get(leaf)


def _tie(root: nn.Module, path: str, tensor: torch.Tensor) -> None:
    """Another name for a tensor of ``root``."""
    parent, _, leaf = path.rpartition(".")
    put_tensor(root, path, tensor, role="parameter" if isinstance(tensor, nn.Parameter) else "buffer")
    owner = root.get_submodule(parent)
    if isinstance(tensor, nn.Parameter):
        owner._parameters[leaf] = tensor
