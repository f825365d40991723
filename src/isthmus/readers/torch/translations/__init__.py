"""Translations of ATen operators that torch's exporter refuses or gets wrong; one family a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from isthmus.readers.torch.translations import (
    attention,
    linalg,
    losses,
    order,
    pointwise,
    pooling,
    recurrent,
    scatter,
    special,
)


def translations() -> dict[Any, Callable[..., Any]]:
    """The ``custom_translation_table`` of torch.onnx.export: operator overload → function emitting ONNX."""
    families = (attention, linalg, losses, order, pointwise, pooling, recurrent, scatter, special)
    table: dict[Any, Callable[..., Any]] = {}
    for family in families:
        table |= family.TRANSLATIONS
    return table
