"""Which element types ONNX Runtime's CPU kernels take, of those that ONNX allows.

The table is the runtime's own registry (``kernels.json``, written by ``tests/passes/kernel_table.py``). An operator
without a kernel still runs where ONNX defines it by others that run; float16 runs wherever float32 does, for the
runtime casts it by itself.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import onnx
import onnx_ir as ir

from isthmus.hub.canonical import canonicalize
from isthmus.hub.model import HUB_OPSET, ONNX
from isthmus.hub.schema import schema_of
from isthmus.passes.functions import call_body, function_body

Types: TypeAlias = Mapping[str, ir.DataType]
"""A schema's type parameter → the element type that a node gives it."""


@functools.cache
def table() -> Mapping[str, Mapping[int, tuple[Mapping[str, frozenset[str]], ...]]]:
    """Operator → version → kernels: type parameter → the element types it takes, in the spelling of schemas."""
    found = json.loads(Path(__file__).with_name("kernels.json").read_text(encoding="utf-8"))
    del found["onnxruntime"]
    return {
        op: {
            int(since): tuple(
                {name: frozenset(types.split()) for name, types in kernel.items()} for kernel in kernels
            )
            for since, kernels in versions.items()
        }
        for op, versions in found.items()
    }


def runtime_version() -> str:
    """The version of ONNX Runtime whose kernels the table holds."""
    return str(json.loads(Path(__file__).with_name("kernels.json").read_text(encoding="utf-8"))["onnxruntime"])


def types_of(node: ir.Node, version: int) -> Types | None:
    """What a node gives to each type parameter; None where the table cannot tell: sequences, graphs, other opsets."""
    schema = schema_of(ONNX, node.op_type, version)
    if node.domain != ONNX or schema is None or _holds_graphs(node):
        return None
    if schema.since_version not in table().get(node.op_type, {}):
        return None
    found: dict[str, ir.DataType] = {}
    parameters = {constraint.type_param_str for constraint in schema.type_constraints}
    for values, formals in ((node.inputs, schema.inputs), (node.outputs, schema.outputs)):
        for index, value in enumerate(values):
            if value is None or not value.name:
                continue
            if not isinstance(value.type, ir.TensorType):
                return None
            parameter = formal(formals, index)
            if parameter in parameters:
                found.setdefault(parameter, value.type.dtype)
    return found


class Kernels:
    """Answers for one opset of the default domain; what it works out of function bodies it remembers."""

    def __init__(self, version: int) -> None:
        self.version = version
        self._bodies: dict[tuple[object, ...], bool] = {}

    def run(self, node: ir.Node, types: Types) -> bool:
        """Whether ONNX Runtime runs the node with these element types instead of its own."""
        return self._has_kernel(node.op_type, types) or self.inlined(node, types)

    def _has_kernel(self, op: str, types: Types) -> bool:
        schema = schema_of(ONNX, op, self.version)
        kernels = () if schema is None else table().get(op, {}).get(schema.since_version, ())
        return any(
            all(_element(dtype) in kernel.get(name, {_element(dtype)}) for name, dtype in given.items())
            for kernel in kernels
            for given in (types, _floats_for_halves(types))
        )

    def inlined(self, node: ir.Node, types: Types) -> bool:
        """Whether the runtime takes the operator for its function body, and every node of that runs.

        It does not where an operator of a fixed body has changed between the opset of the body and the model's.
        """
        key = (node.op_type, tuple(sorted(types.items())), _attributes(node), len(node.inputs), len(node.outputs))
        if key not in self._bodies:
            call = call_alone(node, types, self.version)
            body = [] if call is None or not self._takes_body(call) else nodes_of_body(call)
            given = [(made, types_of(made, self.version)) for made in body]
            self._bodies[key] = bool(body) and all(inner is None or self.run(made, inner) for made, inner in given)
        return self._bodies[key]

    def _takes_body(self, call: ir.Node) -> bool:
        found, schema = function_body(call, self.version), schema_of(ONNX, call.op_type, self.version)
        if found is None or schema is None:
            return False
        body, written = found
        made_for_call = written not in schema.function_opset_versions
        return made_for_call or all(_since(made, written) == _since(made, self.version) for made in body.node)


def call_alone(node: ir.Node, types: Types, version: int) -> ir.Node | None:
    """A node like this one with these element types, alone in a model; None where ONNX defines it by no others."""
    schema = schema_of(ONNX, node.op_type, version)
    if schema is None or not (schema.has_function or schema.has_context_dependent_function):
        return None
    inputs = [_stand_in(v, f"x{i}", types, formal(schema.inputs, i)) for i, v in enumerate(node.inputs)]
    call = ir.node(node.op_type, inputs, node.attributes, num_outputs=len(node.outputs), name="call")
    outputs = [
        _stand_in(v, f"y{i}" if v.name else "", types, formal(schema.outputs, i), call.outputs[i])
        for i, v in enumerate(node.outputs)
    ]
    given = [value for value in inputs if value is not None]
    ir.Graph(
        [value for value in given if value.const_value is None],
        [value for value in outputs if value is not None and value.name],
        nodes=[call],
        initializers=[value for value in given if value.const_value is not None],
        opset_imports={ONNX: HUB_OPSET},
        name="body",
    )
    return call


def nodes_of_body(call: ir.Node) -> list[ir.Node]:
    """The nodes of the function body that ``call``, which stands alone, is a call of; typed. Empty without one."""
    assert isinstance(call.graph, ir.Graph)
    model = ir.Model(call.graph, ir_version=10)
    if not call_body(model, call):
        return []
    canonicalize(model)
    return list(model.graph.all_nodes())


def _since(made: onnx.NodeProto, version: int) -> int | None:
    schema = schema_of(made.domain, made.op_type, version)
    return None if schema is None else int(schema.since_version)


def _stand_in(
    value: ir.Value | None, name: str, types: Types, parameter: str, made: ir.Value | None = None
) -> ir.Value | None:
    """A value like that of a node, elsewhere; constants are kept where their type is."""
    if value is None:
        return None
    made = ir.Value() if made is None else made
    dtype = types.get(parameter, value.dtype)
    made.name, made.shape = name, value.shape
    made.type = value.type if dtype is None else ir.TensorType(dtype)
    if value.producer() is None and value.const_value is not None and dtype == value.dtype:
        made.const_value = value.const_value
    return made


def formal(formals: Sequence[Any], index: int) -> str:
    """The type of an operand as the schema writes it; the last one may be repeated."""
    return str(formals[min(index, len(formals) - 1)].type_str)


def _element(dtype: ir.DataType) -> str:
    return dtype.name.lower()


def _floats_for_halves(types: Types) -> Types:
    half, single = ir.DataType.FLOAT16, ir.DataType.FLOAT
    return {name: single if dtype == half else dtype for name, dtype in types.items()}


def _attributes(node: ir.Node) -> str:
    return str(sorted((name, str(attribute.value)) for name, attribute in node.attributes.items()))


def _holds_graphs(node: ir.Node) -> bool:
    return any(a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for a in node.attributes.values())
