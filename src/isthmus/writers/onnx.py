"""Hubs become ONNX models: the lowest opset that says the same, the same bytes every time, weights streamed."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx.helper
import onnx_ir as ir

from isthmus import __version__
from isthmus.errors import Unsupported
from isthmus.hub.io import MAP_TYPE
from isthmus.hub.model import ONNX, Hub, op_name
from isthmus.hub.opset import lowest_equivalent_opset, lowest_version, to_opset
from isthmus.hub.provenance import where
from isthmus.hub.schema import ML, schema_of
from isthmus.hub.state import STATE, left_out, state_of, written
from isthmus.passes.base import run
from isthmus.passes.newer import ExpandNewer
from isthmus.passes.pipelines import for_onnx, simplify
from isthmus.passes.recover.attention import RecoverAttention
from isthmus.passes.widen import without_kernel
from isthmus.types import Blocker, Options, TensorSpec
from isthmus.writers.onnx_file import write_file

EXTERNAL_FROM = 1_500_000_000
"""Bytes of weights from which they are written beside the model: protobuf ends at 2 GB."""

_CONTRIB = "com.microsoft"
_METADATA_IR = 10
"""The IR version that brought metadata to nodes."""


@dataclass(frozen=True)
class Written:
    """The hub as it was written, and the live model."""

    hub: Hub
    model: ir.Model


def write_onnx(hub: Hub, path: Path | None, *, options: Options | None = None) -> Written:
    """Write a hub as an ONNX model, to ``path`` as well where one is given. The hub stays as it is.

    The folder of ``path`` must exist. Weights of 1.5 GB and more go to ``<name>.data`` beside it, read from where
    they lie and never held as a whole.

    Raises:
        Unsupported: operators that ONNX Runtime cannot know, or a pinned opset that is too low, naming each node.
    """
    options = options or Options()
    hub = _worded(hub.with_(model=hub.model.clone()), options)
    stands = _blockers(hub, options)
    if stands:
        raise Unsupported("this model cannot be written as ONNX", stands)
    version = _opset(hub, options)
    hub = for_onnx(hub, version, options=options)
    model = hub.model
    to_opset(model, version)
    _import_what_is_used(model)
    _keep_signature(model, hub)
    model.ir_version = max(
        _METADATA_IR, onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid(ONNX, version)])
    )
    model.producer_name, model.producer_version = "isthmus", __version__
    text, too_large = written(state_of(hub.extras))
    if text:
        model.metadata_props[STATE] = text
    hub = hub.with_(notes=(*hub.notes, *left_out(too_large)))
    if path is not None:
        write_file(model, path, external_from=EXTERNAL_FROM)
    return Written(hub, model)


def blockers(hub: Hub, options: Options) -> list[Blocker]:
    """Every operator that ONNX Runtime cannot know or run, and every node for which a pinned opset is too low."""
    if options.opset is not None:
        hub = _worded(hub.with_(model=hub.model.clone()), options)
    return _blockers(hub, options)


def _worded(hub: Hub, options: Options) -> Hub:
    """The hub in the words of a pinned opset, as far as it goes. Works in place."""
    if options.opset is None:
        return hub
    return run(hub, (ExpandNewer(options.opset), simplify(trainable=True), RecoverAttention(options.opset)))


def _blockers(hub: Hub, options: Options) -> list[Blocker]:
    found: list[Blocker] = []
    version = _opset(hub, options)
    for graph in hub.model.graphs():
        for node in graph:
            if not _known(node):
                reason = f"ONNX Runtime has no operator {op_name(node)}, nor has the standard domain of ONNX"
                found.append(Blocker(op_name(node), reason, "replace it by standard operators", where(node)))
            elif options.opset is not None and node.domain == ONNX:
                needs = lowest_version(node, floor=1)
                if needs > options.opset:
                    hint = f"pin opset {max(lowest_equivalent_opset(hub.model), needs)} or later, or none"
                    found.append(Blocker(op_name(node), f"needs opset {needs}", hint, where(node)))
        found += [Blocker(op_name(node), why, "", where(node)) for node, why in without_kernel(graph, version)]
    return _counted(found)


def _opset(hub: Hub, options: Options) -> int:
    """The version that is written: the one pinned, or the lowest that says the same."""
    return lowest_equivalent_opset(hub.model) if options.opset is None else options.opset


def _known(node: ir.Node) -> bool:
    return node.domain == _CONTRIB or (node.domain in (ONNX, ML) and schema_of(node.domain, node.op_type) is not None)


def _counted(found: list[Blocker]) -> list[Blocker]:
    """One blocker an operator and reason, at its first place."""
    counts = Counter((b.op, b.reason) for b in found)
    first = {(b.op, b.reason): b for b in reversed(found)}
    return [Blocker(b.op, b.reason, b.hint, b.where, counts[key]) for key in counts for b in [first[key]]]


def _import_what_is_used(model: ir.Model) -> None:
    used = {node.domain for graph in model.graphs() for node in graph} | {ONNX}
    imports = model.graph.opset_imports
    for domain in [domain for domain in imports if domain not in used]:
        del imports[domain]
    for domain in sorted(used - set(imports)):
        imports[domain] = 1
    ordered = dict(sorted(imports.items()))
    imports.clear()
    imports.update(ordered)


def _keep_signature(model: ir.Model, hub: Hub) -> None:
    """What was free without a name outside stays so: the hub's own names for such dimensions are not written."""
    sides = ((model.graph.inputs, hub.signature.inputs), (model.graph.outputs, hub.signature.outputs))
    for values, specs in sides:
        by_name = {spec.name: spec for spec in specs}
        for value in values:
            spec = by_name.get(value.name or "")
            if spec is not None:
                value.shape = _anonymous(value, spec)


def _anonymous(value: ir.Value, spec: TensorSpec) -> ir.Shape | None:
    shape = value.shape
    if shape is None or spec.shape is None or len(shape) != len(spec.shape):
        return shape
    made = re.compile(rf"{re.escape(value.name or '')}_dim_\d+|d\d+")
    dims = [
        None if said is None and isinstance(dim, ir.SymbolicDim) and made.fullmatch(dim.value or "") else dim
        for dim, said in zip(shape, spec.shape, strict=True)
    ]
    return ir.Shape(dims)


__all__ = ["EXTERNAL_FROM", "MAP_TYPE", "Written", "blockers", "write_onnx"]
