"""Operators that ONNX defines by others, for a target that has only the others."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from isthmus.hub.canonical import canonicalize
from isthmus.hub.model import HUB_OPSET, ONNX, Hub
from isthmus.hub.schema import schema_of
from isthmus.lower.contract import LoweringTable
from isthmus.passes.base import HubPass, PassResult, Reasons

_EXPANDED = "isthmus.body"


class ExpandFunctions(HubPass):
    """Replace each operator that the target lacks by its ONNX function body, however deep that goes.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 4] x) => (float[n, 4] y)
        {
            y = HardSwish (x)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 4] x) => (float[n, 4] y)
        {
            a = HardSigmoid <alpha = 0.16666667, beta = 0.5> (x)
            y = Mul (x, a)
        }

    Afterwards the model is in canonical form again: bodies are written at older opsets and hold Constant nodes.
    """

    requires = ("types of every operand",)

    def __init__(self, table: LoweringTable) -> None:
        self._table = table

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        modified = False
        while self._expand_once(hub.model, reasons):
            canonicalize(hub.model)
            modified = True
            reasons = Reasons()
        return PassResult(hub, modified, tuple(reasons.found))

    def _expand_once(self, model: ir.Model, reasons: Reasons) -> bool:
        """Make every operator without a lowering a call of its own function; canonical form inlines it."""
        for node in list(model.graph.all_nodes()):
            if node.domain != ONNX or (ONNX, node.op_type) in self._table:
                continue
            if not call_body(model, node):
                reasons.decline(node, "ONNX defines it by no others")
        return bool(model.functions)


def call_body(model: ir.Model, node: ir.Node) -> bool:
    """Make a node a call of its ONNX function body, which canonical form inlines. False where it has none."""
    found = function_body(node)
    if found is None:
        return False
    body, _ = found
    _fill_defaults(node)
    body.domain, body.name, body.overload = _EXPANDED, node.op_type, str(len(model.functions))
    function = ir.serde.deserialize_function(body)
    for inner in function.all_nodes():
        inner.metadata_props.update(node.metadata_props)
    model.functions[function.identifier()] = function
    model.graph.opset_imports.setdefault(_EXPANDED, 1)
    node.domain, node.overload = _EXPANDED, body.overload
    return True


def function_body(node: ir.Node, version: int = HUB_OPSET) -> tuple[onnx.FunctionProto, int] | None:
    """The newest function body that opset ``version`` can hold, and the opset that it is written at."""
    schema = schema_of(ONNX, node.op_type, version)
    if schema is None:
        return None
    plain = [v for v in schema.function_opset_versions if v <= version]
    by_context = [v for v in schema.context_dependent_function_opset_versions if v <= version]
    found: bytes | None = None
    if plain:
        found = schema.get_function_with_opset_version(max(plain))
    elif by_context:
        types = [_type_bytes(value) for value in node.inputs]
        call = ir.serde.serialize_node(node).SerializeToString()
        found = schema.get_context_dependent_function_with_opset_version(max(by_context), call, types)
    if not found:
        return None
    body = onnx.FunctionProto()
    body.ParseFromString(found)
    del body.output[len(node.outputs) :]
    _make_every_output(body)
    return (body, max(plain or by_context)) if body.node else None


def _make_every_output(body: onnx.FunctionProto) -> None:
    """A body made for one call leaves out what that call does not want, and yet declares it."""
    made = {name for node in body.node for name in node.output}
    for name in body.output:
        if name not in made:
            body.node.append(onnx.helper.make_node("Identity", [body.input[0]], [name]))


def _type_bytes(value: ir.Value | None) -> bytes:
    if value is None or value.type is None:
        return b""
    return bytes(ir.serde.serialize_value(value).type.SerializeToString())


def _fill_defaults(node: ir.Node) -> None:
    """Bodies refer to attributes by name and know no defaults."""
    schema = schema_of(ONNX, node.op_type)
    for name, attribute in schema.attributes.items() if schema is not None else ():
        if name not in node.attributes and attribute.default_value.type != onnx.AttributeProto.UNDEFINED:
            node.attributes[name] = ir.serde.deserialize_attribute(attribute.default_value)
