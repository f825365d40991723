"""The state dict and the module tree of a source: what its graph does not tell of them."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
import torch
from onnx_ir import tensor_adapters

from isthmus.hub.model import ROLE
from isthmus.hub.state import Kept, State, key_of
from isthmus.readers.torch.names import memory


def told_state(source: Any, model: ir.Model, outputs: Any = None) -> State:
    """What ``source`` (a module or an exported program) has beside the graph; its weights get their roles.

    ``outputs``: how ``forward`` gives its results.
    """
    tensors = {key: tensor for key, tensor in _state_dict(source).items() if isinstance(tensor, torch.Tensor)}
    parameters = _parameters(source)
    present = {key_of(value): value for value in model.graph.initializers.values()}
    for key, value in present.items():
        if key in tensors:
            value.metadata_props[ROLE] = "parameter" if key in parameters else "buffer"
        elif value.metadata_props.get(ROLE) in ("parameter", "buffer"):
            value.metadata_props[ROLE] = "constant"  # no state dict shows it
    first: dict[tuple[object, ...], str] = {}
    for key in sorted(tensors, key=lambda key: key not in present):
        if tensors[key].numel():
            first.setdefault(memory(tensors[key]), key)
    tied: dict[str, str] = {}
    kept: dict[str, Kept] = {}
    for key, tensor in tensors.items():
        origin = first.get(memory(tensor), key) if tensor.numel() else key
        if key in present:
            continue
        if origin != key:
            tied[key] = origin
        elif tensor.layout is torch.strided and not tensor.is_quantized:
            kept[key] = Kept(tensor_adapters.TorchTensor(tensor.detach(), name=key), key in parameters)
    frozen = tuple(key for key, parameter in parameters.items() if not parameter.requires_grad)
    return State(tied, kept, frozen, _modules(source), outputs)


def _state_dict(source: Any) -> dict[str, Any]:
    return dict(source.state_dict if isinstance(source, torch.export.ExportedProgram) else source.state_dict())


def _parameters(source: Any) -> dict[str, torch.nn.Parameter]:
    if isinstance(source, torch.export.ExportedProgram):
        held = source.state_dict.items()
        return {key: tensor for key, tensor in held if isinstance(tensor, torch.nn.Parameter)}
    return dict(source.named_parameters(remove_duplicate=False))


def _modules(source: Any) -> dict[str, str]:
    if isinstance(source, torch.export.ExportedProgram):
        return {}
    return {path: _told(part) for path, part in source.named_modules(remove_duplicate=False)}


def _told(part: Any) -> str:
    """The class of a module; of dropout and of averages what an inference graph does not show."""
    name = str(getattr(part, "original_name", type(part).__name__))
    nn = torch.nn
    if isinstance(part, nn.modules.dropout._DropoutNd) and name == type(part).__name__:
        return f"{name}(p={float(part.p)!r})"
    if type(part) in (nn.LSTM, nn.GRU, nn.RNN, nn.MultiheadAttention) and part.dropout:
        return f"{name}(dropout={float(part.dropout)!r})"
    if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.momentum is None:
        return f"{name}(momentum=None)"
    return name
