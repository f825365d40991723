"""What a road delivers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from isthmus.types import Note


@dataclass(frozen=True)
class Graph:
    """An ONNX graph with its final input and output names, before it is made canonical.

    ``dims`` holds, by the user's names, the sizes that free dimensions may take (see ``dims.ranges``).
    """

    model: ir.Model
    road: str
    dims: dict[str, dict[str, int | None]]
    notes: tuple[Note, ...]
    outputs: Any = None
    """How ``forward`` gives its results, where that is no tensor and no tuple of tensors (see ``hub.state``)."""
