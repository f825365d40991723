"""An exported program becomes an ONNX graph, with this project's translations in the place of torch's wrong ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import onnx_ir as ir
import torch

from isthmus.readers.torch.quiet import quiet
from isthmus.readers.torch.translations import translations

EXPORT_OPSET = 23
"""The first opset with Attention and RMSNormalization; the hub's own steps lead on from there."""


def emit(program: torch.export.ExportedProgram, *, trainable: bool) -> ir.Model:
    """The ONNX graph of ``program``, unoptimised: constant folding would copy weights and lose provenance.

    Raises:
        torch.onnx.errors.OnnxExporterError: an operator has no translation.
    """
    with quiet(), _without_constant_outputs(program):
        exported = torch.onnx.export(
            program,
            (),
            dynamo=True,
            opset_version=EXPORT_OPSET,
            optimize=False,
            verbose=False,
            custom_translation_table=translations(trainable=trainable),
        )
    if exported is None:  # pragma: no cover - only for the old exporter
        raise torch.onnx.errors.OnnxExporterError("no program came back")
    return exported.model


@contextmanager
def _without_constant_outputs(program: torch.export.ExportedProgram) -> Iterator[None]:
    """Numbers among a program's outputs stand aside: torch's translator trips over them."""
    output = next(node for node in reversed(program.graph.nodes) if node.op == "output")
    original = output.args
    kept = tuple(item if isinstance(item, torch.fx.Node) else None for item in original[0])
    if kept == tuple(original[0]):
        yield
        return
    output.args = (kept,)
    try:
        yield
    finally:
        output.args = original


def missing_operators(error: BaseException) -> tuple[str, ...]:
    """The operators that an export error names as untranslated, followed through its causes."""
    names: dict[str, None] = {}
    cause: BaseException | None = error
    while cause is not None:
        for op, overload in re.findall(r"OpOverload\(op='([\w.:]+)', overload='([\w.]+)'\)", str(cause)):
            if "No ONNX function found" in str(cause):
                names[f"{op}.{overload}".removesuffix(".default")] = None
        cause = cause.__cause__
    return tuple(names)
