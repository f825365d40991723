"""Translations of ATen operators that torch's exporter refuses or gets wrong; one family a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def translations(*, trainable: bool) -> dict[Any, Callable[..., Any]]:
    """The ``custom_translation_table`` of torch.onnx.export: operator overload → function emitting ONNX."""
    return {}


def decompositions() -> dict[Any, Callable[..., Any]]:
    """Operators rewritten in terms of other ATen operators before translation."""
    return {}
