"""An exported program becomes an ONNX graph, with this project's translations in the place of torch's wrong ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import onnx_ir as ir
import torch
from onnxscript import opset23 as op

from isthmus.readers.torch.quiet import quiet
from isthmus.readers.torch.translations import translations
from isthmus.types import Blocker, Where

EXPORT_OPSET = 23
"""The first opset with Attention and RMSNormalization; the hub's own steps lead on from there."""


def emit(program: torch.export.ExportedProgram) -> tuple[ir.Model, torch.export.ExportedProgram]:
    """The ONNX graph of ``program`` and the decomposed program, whose signature tells what is written in place.

    Unoptimised: constant folding would copy weights and lose provenance.

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
            custom_translation_table=translations(),
        )
    if exported is None:  # pragma: no cover - only for the old exporter
        raise torch.onnx.errors.OnnxExporterError("no program came back")
    _share_provenance(exported.model)
    return exported.model, exported.exported_program or program


def _share_provenance(model: ir.Model) -> None:
    """Nodes of the bodies that our own translations build come from where their Scan comes from."""
    for node in model.graph:
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH:
                for inner in attribute.as_graph().all_nodes():
                    for key, value in node.metadata_props.items():
                        inner.metadata_props.setdefault(key, value)


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


def missing_operators(program: torch.export.ExportedProgram, error: BaseException) -> tuple[Blocker, ...]:
    """Every operator of ``program`` without a translation, not only the first that ``error`` names.

    Each one found gets a stand-in, and translation is tried again, until nothing new is missing.
    """
    table, found = translations(), dict.fromkeys(_named(error))
    fresh = list(found)
    while fresh:
        table |= {overload: _stand_in(overload) for overload in map(_overload, fresh)}
        fresh = []
        try:
            with quiet(), _without_constant_outputs(program):
                torch.onnx.export(
                    program,
                    (),
                    dynamo=True,
                    opset_version=EXPORT_OPSET,
                    optimize=False,
                    verbose=False,
                    custom_translation_table=table,
                )
        except torch.onnx.errors.OnnxExporterError as next_error:
            fresh = [name for name in _named(next_error) if name not in found]
            found |= dict.fromkeys(fresh)
    reason = "ONNX has no such operator, and no composition of others is known for it"
    return tuple(Blocker(_shown(name), reason, where=_where(program, name)) for name in found)


def _named(error: BaseException) -> list[tuple[str, str]]:
    """Operators and overloads that an error and its causes say have no translation."""
    names: list[tuple[str, str]] = []
    cause: BaseException | None = error
    while cause is not None:
        if "No ONNX function found" in str(cause):
            names += re.findall(r"OpOverload\(op='([\w.:]+)', overload='([\w.]+)'\)", str(cause))
        cause = cause.__cause__
    return list(dict.fromkeys(names))


def _shown(name: tuple[str, str]) -> str:
    return name[0] if name[1] == "default" else ".".join(name)


def _overload(name: tuple[str, str]) -> Any:
    namespace, _, operator = name[0].partition(".")
    return getattr(getattr(getattr(torch.ops, namespace), operator), name[1])


def _stand_in(overload: Any) -> Callable[..., Any]:
    count = len(overload._schema.returns)

    def outputs(*args: Any, **kwargs: Any) -> Any:
        made = [op.Constant(value=ir.tensor(0.0)) for _ in range(count)]
        return made[0] if count == 1 else made

    return outputs


def _where(program: torch.export.ExportedProgram, name: tuple[str, str]) -> Where:
    """The first call of the operator, where the program still has it in this form."""
    target = ".".join(name)
    for node in program.graph.nodes:
        if node.op == "call_function" and str(node.target).replace("::", ".") == target:
            modules = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
            return Where(node=node.name, op=_shown(name), module=modules[-1] if modules else "")
    return Where()
