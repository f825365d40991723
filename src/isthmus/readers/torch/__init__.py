"""The PyTorch reader: a live module, ``.pt2``, TorchScript or a factory becomes the hub."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.errors import FrameworkMissing
from isthmus.types import Options

if TYPE_CHECKING:
    from isthmus.hub.model import Hub

__all__ = ["read_torch"]


def read_torch(
    source: Any,
    *,
    inputs: Any = None,
    dynamic_shapes: Any = None,
    options: Options | None = None,
    weights: Path | None = None,
) -> Hub:
    """The hub of a PyTorch model.

    Args:
        source: an ``nn.Module``, an ``ExportedProgram``, a TorchScript module, the path of a ``.pt2`` or a
            TorchScript ``.pt``, or ``package.module:factory``.
        inputs: a tuple, a dict by forward's parameter names (nested names dotted), or the path of an ``.npz``.
        dynamic_shapes: as in ``torch.export``; strings name dimensions, and those of one name are tied.
        options: ``trainable`` keeps dropout as an operator; ``trust_pickle`` allows pickled modules.
        weights: a state dict (``.pt``, ``.safetensors``) to load into the module.

    Raises:
        FrameworkMissing: torch or onnxscript is not installed.
        UsageError: inputs or dimensions that do not fit, or a source without its module.
        InvalidModel: a damaged file.
        UnsafeInput: a pickle that is not trusted.
        Unsupported: every road was refused; the blockers name the operators.
    """
    for framework in ("torch", "onnxscript"):
        if find_spec(framework) is None:
            raise FrameworkMissing(framework, "a PyTorch model cannot be read without it")
    from isthmus.readers.torch.read import read

    return read(source, inputs, dynamic_shapes, options or Options(), weights)
