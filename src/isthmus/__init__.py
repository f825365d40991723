"""Isthmus carries a trained model between PyTorch, ONNX and TensorFlow, and proves that it is still the same model.

>>> import isthmus
>>> c = isthmus.convert("model.onnx", "model_tf")  # doctest: +SKIP
>>> print(bool(c), c.verdict)  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isthmus.api import check, convert, inspect, locate, verify
    from isthmus.errors import (
        FrameworkMissing,
        InvalidModel,
        IsthmusError,
        RunnerFailed,
        UnsafeInput,
        Unsupported,
        UsageError,
    )
    from isthmus.types import (
        Artifact,
        Conversion,
        Divergence,
        Options,
        Report,
        Signature,
        Summary,
        Support,
        TensorSpec,
        Verdict,
    )

__version__ = "0.1.0"

_HOMES = {
    "isthmus.api": ("check", "convert", "inspect", "locate", "verify"),
    "isthmus.errors": (
        "FrameworkMissing",
        "InvalidModel",
        "IsthmusError",
        "RunnerFailed",
        "UnsafeInput",
        "Unsupported",
        "UsageError",
    ),
    "isthmus.types": (
        "Artifact",
        "Conversion",
        "Divergence",
        "Options",
        "Report",
        "Signature",
        "Summary",
        "Support",
        "TensorSpec",
        "Verdict",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [  # noqa: RUF022 - verbs first
    "check",
    "convert",
    "inspect",
    "locate",
    "verify",
    "Artifact",
    "Conversion",
    "Divergence",
    "FrameworkMissing",
    "InvalidModel",
    "IsthmusError",
    "Options",
    "Report",
    "RunnerFailed",
    "Signature",
    "Summary",
    "Support",
    "TensorSpec",
    "UnsafeInput",
    "Unsupported",
    "UsageError",
    "Verdict",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Import a name's home when it is first asked for: ``import isthmus`` loads no framework and no onnx_ir."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'isthmus' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


class _Isthmus(ModuleType):
    """The package itself: its verb ``verify`` is not shadowed when the room of that name is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME_OF and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Isthmus
