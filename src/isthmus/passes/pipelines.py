"""What a writer asks for: plain lists of passes, by target."""

from __future__ import annotations

from isthmus.hub.model import Hub
from isthmus.lower.contract import LoweringTable
from isthmus.passes.base import HubPass, run
from isthmus.passes.layout.layout import AssignLayout
from isthmus.types import Options


def for_tensorflow(hub: Hub, table: LoweringTable, *, trainable: bool = False, options: Options | None = None) -> Hub:
    """The hub as TensorFlow wants it: channels last, and only operators of ``table`` where that can be had."""
    options = options or Options()
    return run(hub, tensorflow_passes(table, trainable=trainable, options=options))


def tensorflow_passes(table: LoweringTable, *, trainable: bool, options: Options) -> tuple[HubPass, ...]:
    """In order: what is given to AssignLayout must be final, for it reads shapes and ranks."""
    return (
        AssignLayout(trainable=trainable, input_layouts=options.input_layouts, output_layouts=options.output_layouts),
    )


def for_onnx(hub: Hub) -> Hub:
    """The hub as ONNX Runtime wants it, which is as it is."""
    return hub
