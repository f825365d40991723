"""Steps above the hub's opset: what a newer onnx added, so that its models can come down."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from isthmus.hub.model import HUB_OPSET, ONNX
from isthmus.hub.schema import history_of, schema_of
from isthmus.hub.upgrades.base import Rule, compatible, rules_of

_EXPANDED = "isthmus.expanded"


def expand_newer(model: ir.Model, opset: int) -> None:
    """Turn each node of an operator younger than the hub's opset into a call of its ONNX function body, in place.

    The bodies join the model's functions, to be inlined with them. An operator without a body stays as it is,
    and is refused by the step down.
    """
    if opset <= HUB_OPSET:
        return
    waiting = [node for graph in model.graphs() for node in graph]
    waiting += [node for function in model.functions.values() for node in function.all_nodes()]
    while waiting:
        node = waiting.pop()
        history = history_of(node.op_type) if node.domain == ONNX else ()
        if not history or history[0].since_version <= HUB_OPSET or node.domain != ONNX:
            continue
        body = _function_body(node, opset)
        if body is None:
            continue
        body.domain, body.name, body.overload = _EXPANDED, node.op_type, str(len(model.functions))
        function = ir.serde.deserialize_function(body)
        model.functions[function.identifier()] = function
        model.graph.opset_imports.setdefault(_EXPANDED, 1)
        node.domain, node.overload = _EXPANDED, body.overload
        waiting += list(function.all_nodes())


def expands(op: str) -> bool:
    """Whether ONNX defines the operator by others, so that it can be expanded."""
    newest = history_of(op)[-1]
    return bool(newest.has_function or newest.has_context_dependent_function)


def _function_body(node: ir.Node, opset: int) -> onnx.FunctionProto | None:
    schema = schema_of(ONNX, node.op_type, opset)
    if schema is None:
        return None
    if schema.has_function:
        body = schema.function_body
    elif schema.has_context_dependent_function:
        types = [_type_bytes(value) for value in node.inputs]
        newest = max(schema.context_dependent_function_opset_versions)
        proto = ir.serde.serialize_node(node).SerializeToString()
        body = schema.get_context_dependent_function_with_opset_version(newest, proto, types)
    else:
        return None
    parsed = onnx.FunctionProto()
    parsed.ParseFromString(body if isinstance(body, bytes) else body.SerializeToString())
    return parsed


def _type_bytes(value: ir.Value | None) -> bytes:
    if value is None or value.type is None:
        return b""
    info = ir.serde.serialize_value(value)
    return bytes(info.type.SerializeToString())


def _unsigned(node: ir.Node) -> bool:
    """Shifts of signed integers are defined since opset 28 only."""
    return _first_dtype(node) in (ir.DataType.UINT8, ir.DataType.UINT16, ir.DataType.UINT32, ir.DataType.UINT64)


def _integers_or_fmod(node: ir.Node) -> bool:
    """Mod of floats with the sign of the divisor is defined since opset 28 only."""
    dtype, fmod = _first_dtype(node), node.attributes.get("fmod")
    return (fmod is not None and fmod.value == 1) or (dtype is not None and not dtype.is_floating_point())


def _first_dtype(node: ir.Node) -> ir.DataType | None:
    value = node.inputs[0] if node.inputs else None
    return None if value is None else value.dtype


RULES: tuple[Rule, ...] = (
    *rules_of(
        compatible("BitShift", 28, fits=_unsigned),
        compatible("Mod", 28, fits=_integers_or_fmod),
        compatible("Range", 27),
        compatible("SpaceToDepth", 28),
    ),
)
