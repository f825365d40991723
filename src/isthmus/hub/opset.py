"""Bring a model to the hub's opset, and find the lowest opset that still says the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import onnx
import onnx_ir as ir

from isthmus.errors import InvalidModel, Unsupported
from isthmus.hub.model import HUB_OPSET, ONNX
from isthmus.hub.provenance import where
from isthmus.hub.schema import history_of
from isthmus.hub.upgrades import RULES
from isthmus.hub.upgrades.base import Names, Refused, Step
from isthmus.hub.upgrades.descents import DESCENTS
from isthmus.types import Blocker

FLOOR = 18
"""The lowest opset that is written unless asked: what every consumer of the last years reads."""

Schema: TypeAlias = onnx.defs.OpSchema


# ---- up ---------------------------------------------------------------------------------------------
def to_hub_opset(model: ir.Model) -> list[str]:
    """Bring every node of the default domain to ``HUB_OPSET``, in place; return what was rewritten, by name.

    A node that carries its own ``version`` starts there, every other at the version that the model imports.
    Model-local functions must have been inlined. Names, metadata and initializers stay.

    Raises:
        Unsupported: with every node that cannot pass a step.
    """
    declared = default_opset(model)
    names, changes, blockers = Names.of(model), list[str](), list[Blocker]()
    for node in list(_default_nodes(model)):
        changes += _move(node, declared if node.version is None else node.version, names, blockers)
    for graph in model.graphs():
        graph.opset_imports.pop("ai.onnx", None)
        if graph is model.graph:
            graph.opset_imports[ONNX] = HUB_OPSET
        else:
            graph.opset_imports.clear()
    if blockers:
        raise Unsupported(f"the model cannot be brought to opset {HUB_OPSET}", blockers)
    return changes


def default_opset(model: ir.Model) -> int:
    """The version of the default domain that the model imports; the hub's own where it imports none."""
    imports = model.graph.opset_imports
    version = imports.get(ONNX, imports.get("ai.onnx"))
    if version is None:
        return HUB_OPSET
    newest = onnx.defs.onnx_opset_version()
    if not 1 <= version <= newest:
        hint = "install a newer onnx" if version > newest else ""
        raise InvalidModel(f"the model imports opset {version}; the installed onnx knows 1 to {newest}", hint=hint)
    return version


def _move(node: ir.Node, version: int, names: Names, blockers: list[Blocker]) -> Iterator[str]:
    """Walk one node, and every node that its steps make, up or down to the hub's opset."""
    waiting = [(node, version)]
    while waiting:
        node, version = waiting.pop()
        try:
            if version > HUB_OPSET:
                made, changed = _descend(node, version, names)
            else:
                made, changed = _lift(node, version, names)
        except Refused as refusal:
            blockers.append(refusal.blocker)
            continue
        waiting += [(new, min(new.version or version, HUB_OPSET)) for new in made]
        yield from changed


def _lift(node: ir.Node, version: int, names: Names) -> tuple[list[ir.Node], list[str]]:
    made, changed = list[ir.Node](), list[str]()
    version = _last_in_force(node.op_type, version)
    while version < HUB_OPSET:
        rule_at = next((v for v in range(version + 1, HUB_OPSET + 1) if (node.op_type, v) in RULES), None)
        if rule_at is None:
            break
        version = rule_at
        rule = RULES[node.op_type, version]
        if rule.kind == "refused":
            raise Refused(Blocker(node.op_type, rule.reason, where=where(node)))
        if rule.apply is not None:
            before, step = node.op_type, Step(node, version, names)
            rule.apply(step)
            made += step.made
            changed.append(f"{before} → {version}: {node.name}")
            if step.replaced:
                return made, changed
    node.version = None
    return made, changed


def _last_in_force(op: str, version: int) -> int:
    """Below the step that withdrew the operator, where ``version`` lies above it: its meaning is the last it had."""
    in_force = next((s for s in reversed(history_of(op)) if s.since_version <= version), None)
    return in_force.since_version - 1 if in_force is not None and in_force.deprecated else version


def _descend(node: ir.Node, version: int, names: Names) -> tuple[list[ir.Node], list[str]]:
    """Relabel a node of a newer opset where the hub's means the same; rewrite it where the hub's words can say it."""
    problem = next((p for p in _problems_down(node, version, HUB_OPSET) if p), "")
    node.version = None
    if not problem:
        _speak(node, version, HUB_OPSET)
        return [], []
    if node.op_type not in DESCENTS:
        raise Refused(Blocker(node.op_type, problem, where=where(node)))
    step = Step(node, HUB_OPSET, names)
    DESCENTS[node.op_type](step)
    left = "" if step.replaced else next((p for p in _problems_down(node, version, HUB_OPSET) if p), "")
    if left:
        raise Refused(Blocker(node.op_type, left, where=where(node)))
    return step.made, [f"{node.op_type} → {HUB_OPSET}: {node.name}"]


# ---- down -------------------------------------------------------------------------------------------
def lowest_equivalent_opset(model: ir.Model) -> int:
    """The lowest opset from ``FLOOR`` up at which every node of a canonical model means the same."""
    return max((lowest_version(node) for node in _default_nodes(model)), default=FLOOR)


def to_opset(model: ir.Model, version: int | None = None) -> int:
    """Relabel a canonical model for opset ``version`` (default: the lowest equivalent one), in place.

    Raises:
        Unsupported: naming each node that needs a newer opset, and which.
    """
    nodes = list(_default_nodes(model))
    if version is None:
        version = lowest_equivalent_opset(model)
    newest = onnx.defs.onnx_opset_version()
    if version > newest:
        blockers = [Blocker("opset", f"{version} is not an opset that the installed onnx knows (1 to {newest})")]
        raise Unsupported(f"cannot write opset {version}", blockers)
    blockers = [b for node in nodes if (b := _too_new(node, version)) is not None]
    if blockers:
        raise Unsupported(f"opset {version} cannot hold this model", blockers)
    for node in nodes:
        _speak(node, HUB_OPSET, version)
    model.graph.opset_imports[ONNX] = version
    return version


def lowest_version(node: ir.Node, floor: int = FLOOR) -> int:
    """The lowest opset from ``floor`` up at which a node of the hub means the same."""
    for old, new in _steps_down(node.op_type, HUB_OPSET):
        if new.since_version <= floor:
            return floor
        if old is None or _problem_down(node, old, new):
            return new.since_version
    return floor


def _too_new(node: ir.Node, version: int) -> Blocker | None:
    needs = lowest_version(node, floor=1)
    if version > HUB_OPSET:
        above = [s for s in history_of(node.op_type) if HUB_OPSET < s.since_version <= version]
        broken = [s for s in above if (r := RULES.get((node.op_type, s.since_version))) and r.kind != "compatible"]
        if broken or any(s.deprecated for s in above):
            return Blocker(node.op_type, f"opset {version} changed its meaning", where=where(node))
    if needs <= version:
        return None
    problem = next((p for p in _problems_down(node, HUB_OPSET, version) if p), "")
    return Blocker(node.op_type, f"needs opset {needs}: {problem}", f"use opset {needs} or later", where(node))


def _steps_down(op: str, start: int) -> Iterator[tuple[Schema | None, Schema]]:
    """(the schema before, the schema) from the one in force at ``start`` down to the first, before which is None."""
    history = [schema for schema in history_of(op) if schema.since_version <= start]
    for index in range(len(history) - 1, -1, -1):
        yield (history[index - 1] if index else None), history[index]


def _problems_down(node: ir.Node, start: int, end: int) -> Iterator[str]:
    for old, new in _steps_down(node.op_type, start):
        if new.since_version <= end:
            return
        yield f"it exists since opset {new.since_version}" if old is None else _problem_down(node, old, new)


def _problem_down(node: ir.Node, old: Schema, new: Schema) -> str:
    """Why ``node``, written for ``new``, would not mean the same under ``old``; empty where it would."""
    rule = RULES.get((node.op_type, new.since_version))
    since = f"opset {new.since_version}"
    if old.deprecated or (rule is not None and rule.kind != "compatible" and _adapter(node, new) is None):
        return f"{since} changed its meaning"
    if rule is not None and rule.fits is not None and not rule.fits(node):
        return f"what it does is defined since {since}"
    if len(_given(node.inputs)) > old.max_input:
        return f"its input {new.inputs[min(old.max_input, len(new.inputs) - 1)].name!r} came with {since}"
    if len(_given(node.outputs)) > old.max_output:
        return f"its output {len(old.outputs)} came with {since}"
    for name, attribute in node.attributes.items():
        if name not in old.attributes and not _is_default(attribute, new):
            return f"its attribute {name!r} came with {since}"
    for values, formal in ((node.inputs, old.inputs), (node.outputs, old.outputs)):
        for index, value in enumerate(values):
            if value is not None and formal and not _allowed(value, formal[min(index, len(formal) - 1)], old):
                return f"{type_text(value) or 'an unknown type'} is allowed for {value.name!r} since {since}"
    return ""


def _given(values: Sequence[ir.Value | None]) -> list[ir.Value | None]:
    """Without the trailing ones that are absent."""
    kept = list(values)
    while kept and (kept[-1] is None or kept[-1].name == ""):
        kept.pop()
    return kept


def _allowed(value: ir.Value, formal: Any, schema: Schema) -> bool:
    constraint = next((c for c in schema.type_constraints if c.type_param_str == formal.type_str), None)
    allowed = {formal.type_str} if constraint is None else set(constraint.allowed_type_strs)
    return type_text(value) in allowed


def type_text(value: ir.Value) -> str:
    """A value's type as ONNX schemas write it: ``seq(tensor(float))``; empty where it is not known."""
    return _type_text(value.type)


def _type_text(kind: Any) -> str:
    if isinstance(kind, ir.SequenceType):
        return f"seq({_type_text(kind.elem_type)})"
    if isinstance(kind, ir.OptionalType):
        return f"optional({_type_text(kind.elem_type)})"
    if isinstance(kind, ir.SparseTensorType):
        return f"sparse_tensor({kind.dtype.name.lower()})"
    return f"tensor({kind.dtype.name.lower()})" if isinstance(kind, ir.TensorType) else ""


def _is_default(attribute: ir.Attr, schema: Schema) -> bool:
    known = schema.attributes.get(attribute.name)
    if known is None or known.default_value.type == onnx.AttributeProto.UNDEFINED:
        return False
    return bool(ir.serde.deserialize_attribute(known.default_value).value == attribute.value)


def _adapter(node: ir.Node, new: Schema) -> dict[str, str] | None:
    """GridSample's modes were renamed at 20; volumes came with it. Nothing else is stepped down by rewriting."""
    shape = node.inputs[0].shape if node.inputs and node.inputs[0] is not None else None
    if (node.op_type, new.since_version) == ("GridSample", 20) and shape is not None and len(shape) == 4:
        return {"linear": "bilinear", "cubic": "bicubic"}
    return None


def _speak(node: ir.Node, start: int, version: int) -> None:
    """Write a node that fits ``version`` in that version's words: defaults it lacks go, renamed values return."""
    for old, new in _steps_down(node.op_type, start):
        if new.since_version <= version or old is None:
            return
        renamed = _adapter(node, new)
        if renamed is not None:
            mode = node.attributes.get("mode")
            text = "linear" if mode is None else str(mode.value)
            node.attributes["mode"] = ir.AttrString("mode", renamed.get(text, text))
        for name in [name for name in node.attributes if name not in old.attributes]:
            del node.attributes[name]


def _default_nodes(model: ir.Model) -> Iterator[ir.Node]:
    return (node for graph in model.graphs() for node in graph if node.domain == ONNX)
