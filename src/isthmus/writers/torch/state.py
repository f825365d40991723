"""The rest of a PyTorch source's state: keys that no operator reads, tied weights, modules without weights."""

from __future__ import annotations

import torch
from torch import nn

from isthmus.writers.torch.backend import TorchBackend
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
        if _held(root, alias) is None and (tensor := _held(root, paths.get(first, first))) is not None:
            _tie(root, recorder.paths.choose(alias), tensor)
    for key in state.frozen:
        tensor = _held(root, paths.get(key, key))
        if isinstance(tensor, nn.Parameter):
            tensor.requires_grad_(False)
    return root


def _held(root: nn.Module, path: str) -> torch.Tensor | None:
    """The parameter or buffer at ``path``."""
    parent, _, leaf = path.rpartition(".")
    owner: nn.Module | None = root
    for part in parent.split(".") if parent else ():
        owner = owner._modules.get(part) if owner is not None else None
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
