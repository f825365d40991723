"""Translations of ATen operators that torch's exporter refuses or gets wrong; one family a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

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


def translations(*, trainable: bool) -> dict[Any, Callable[..., Any]]:
    """The ``custom_translation_table`` of torch.onnx.export: operator overload → function emitting ONNX.

    ``trainable`` keeps dropout, which is nothing at inference, as an operator that is switched off.
    """
    families = (attention, linalg, losses, order, pointwise, pooling, recurrent, scatter, special)
    table: dict[Any, Callable[..., Any]] = {}
    for family in families:
        table |= family.TRANSLATIONS
    if trainable:
        table[torch.ops.aten.dropout.default] = pointwise.dropout
    return table
