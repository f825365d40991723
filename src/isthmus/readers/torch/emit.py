"""An exported program becomes an ONNX graph, with this project's translations in the place of torch's wrong ones."""

from __future__ import annotations

import re

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
    with quiet():
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
