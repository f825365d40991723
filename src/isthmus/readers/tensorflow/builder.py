"""``op.``: hub operators by name, numbers as constants, into whichever graph is being built."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from isthmus.hub.model import HUB_OPSET, ONNX, ROLE
from isthmus.hub.schema import schema_of
from isthmus.hub.upgrades.base import shape_of

Operand = ir.Value | np.ndarray | np.generic | bool | int | float | str | Sequence[int] | None
"""What an operator takes: a value, an array, or numbers.

A bare number takes the element type that the schema ties it to, else that of the first value where the schema allows
it, else int64 or float32. A list of integers is int64, as shapes, axes and pads are."""


class Builder:
    """Builds the main graph of a model, and the bodies within it.

    ``op.Add(x, 1)`` makes a node and gives its output; ``op.Split(x, axis=0, outputs=3)`` gives a tuple.
    ``domain=`` names another domain than ONNX's own. The element type of an output is told by the schema.
    """

    def __init__(self) -> None:
        self.main = ir.Graph((), (), nodes=(), opset_imports={ONNX: HUB_OPSET}, name="main")
        self._graph = self.main
        self._names: set[str] = set()
        self.prefix = ""
        """Where in the source the nodes come from: begins their names."""
        self.made: list[ir.Node] = []
        """The nodes made since this was last emptied, innermost graphs included."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if not name[:1].isupper():
            raise AttributeError(name)

        def make(*inputs: Operand, **settings: Any) -> Any:
            return self._make(name, inputs, **settings)

        return make

    def constant(self, value: Any, dtype: ir.DataType | None = None, name: str = "constant") -> ir.Value:
        """An initializer of the main graph."""
        array = np.asarray(value) if dtype is None else np.asarray(value).astype(dtype.numpy())
        if array.dtype.kind in "OSU":
            tensor: ir.TensorProtocol = ir.StringTensor(_bytes(array), shape=ir.Shape(array.shape))
        else:
            tensor = ir.tensor(np.ascontiguousarray(array).reshape(array.shape))
        return self.initializer(tensor, name, role="constant")

    def initializer(self, tensor: ir.TensorProtocol, name: str, *, role: str) -> ir.Value:
        """A tensor under the name asked for, or that with a number where it is taken."""
        name = self.fresh(name)
        shape = shape_of(tensor)
        value = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=shape)
        value.const_value = tensor
        tensor.name = name
        value.metadata_props[ROLE] = role
        self.main.register_initializer(value)
        return value

    def fresh(self, name: str) -> str:
        """``name``, with a number where it is taken; taken afterwards."""
        found, number = name, 0
        while found in self._names:
            number += 1
            found = f"{name}_{number}"
        self._names.add(found)
        return found

    def input(self, name: str, dtype: ir.DataType, shape: ir.Shape | None) -> ir.Value:
        """A further input of the graph that is being built."""
        value = ir.Value(name=self.fresh(name), type=ir.TensorType(dtype), shape=shape)
        self._graph.inputs.append(value)
        return value

    @contextlib.contextmanager
    def body(self, name: str) -> Iterator[ir.Graph]:
        """A graph for an attribute: what is built in this context goes there, and may use what is outside."""
        with self.within(ir.Graph((), (), nodes=(), name=name)) as graph:
            yield graph

    @contextlib.contextmanager
    def within(self, graph: ir.Graph) -> Iterator[ir.Graph]:
        """Go on building a graph that was begun as a ``body``."""
        outer, self._graph = self._graph, graph
        try:
            yield graph
        finally:
            self._graph = outer

    def _make(
        self, name: str, inputs: Sequence[Operand], *, outputs: int = 1, domain: str = ONNX, **attributes: Any
    ) -> Any:
        operands = [self._operand(operand, _like(domain, name, inputs, i)) for i, operand in enumerate(inputs)]
        given = {key: _plain(value) for key, value in attributes.items() if value is not None}
        node = ir.node(name, operands, given, domain=domain, num_outputs=outputs)
        if domain != ONNX:
            self._import(domain, name)
        node.name = self.fresh(f"{self.prefix}/{name}" if self.prefix else name)
        for value, dtype in zip(node.outputs, _output_dtypes(node), strict=True):
            value.name = self.fresh(f"{node.name}_output")
            value.type = None if dtype is None else ir.TensorType(dtype)
        self._graph.append(node)
        self.made.append(node)
        return node.outputs[0] if outputs == 1 else tuple(node.outputs)

    def _import(self, domain: str, name: str) -> None:
        """Let the model use another domain, at the version in which the operator is as it is now."""
        schema = schema_of(domain, name)
        version = 1 if schema is None else schema.since_version
        self.main.opset_imports[domain] = max(version, self.main.opset_imports.get(domain, 1))

    def _operand(self, operand: Operand, like: ir.DataType | None) -> ir.Value | None:
        if operand is None or isinstance(operand, ir.Value):
            return operand
        if isinstance(operand, (np.ndarray, np.generic)):
            return self.constant(operand)
        if isinstance(operand, str):
            return self.constant(np.asarray(operand, object))
        if isinstance(operand, (bool, int, float)):
            plain = {bool: ir.DataType.BOOL, int: ir.DataType.INT64, float: ir.DataType.FLOAT}[type(operand)]
            return self.constant(operand, like if like is not None else plain)
        return self.constant(list(operand), ir.DataType.INT64)


def _like(domain: str, name: str, inputs: Sequence[Operand], index: int) -> ir.DataType | None:
    """The element type that a bare number takes as input ``index``; None where nothing tells."""
    values = [(i, operand.dtype) for i, operand in enumerate(inputs) if isinstance(operand, ir.Value)]
    if not values:
        return None
    schema = schema_of(domain, name)
    if schema is None or not schema.inputs:
        return values[0][1]
    formal = schema.inputs[min(index, len(schema.inputs) - 1)]
    for i, dtype in values:
        if schema.inputs[min(i, len(schema.inputs) - 1)].type_str == formal.type_str:
            return dtype
    dtype = values[0][1]
    return dtype if dtype is not None and _spelled(dtype) in formal.types else None


def _spelled(dtype: ir.DataType) -> str:
    """``tensor(float)``, as schemas write it."""
    return f"tensor({onnx.TensorProto.DataType.Name(dtype.value).lower()})"


def _bytes(array: np.ndarray) -> list[bytes]:
    return [text.encode() if isinstance(text, str) else bytes(text) for text in array.reshape(-1).tolist()]


def _plain(value: Any) -> Any:
    """An attribute's value as the IR takes it."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, ir.DataType):
        return int(value)
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _output_dtypes(node: ir.Node) -> list[ir.DataType | None]:
    """Element types as the schema tells: of the input of the same constraint, or the only one allowed."""
    if "to" in node.attributes:
        return [ir.DataType(node.attributes["to"].as_int())]
    if "dtype" in node.attributes:
        return [ir.DataType(node.attributes["dtype"].as_int())] * len(node.outputs)
    if node.op_type == "ConstantOfShape":
        filling = node.attributes.get("value")
        return [ir.DataType.FLOAT if filling is None else filling.as_tensor().dtype]
    schema = schema_of(node.domain, node.op_type)
    if schema is None:
        first = next((v.dtype for v in node.inputs if v is not None), None)
        return [first] * len(node.outputs)
    bound: dict[str, ir.DataType | None] = {}
    for index, value in enumerate(node.inputs):
        if value is not None and schema.inputs:
            bound.setdefault(schema.inputs[min(index, len(schema.inputs) - 1)].type_str, value.dtype)
    allowed = {constraint.type_param_str: constraint.allowed_type_strs for constraint in schema.type_constraints}
    return [_told(schema.outputs[min(i, len(schema.outputs) - 1)], bound, allowed) for i in range(len(node.outputs))]


def _told(formal: Any, bound: dict[str, ir.DataType | None], allowed: dict[str, Sequence[str]]) -> ir.DataType | None:
    if formal.type_str in bound:
        return bound[formal.type_str]
    strings = list(allowed.get(formal.type_str, [formal.type_str]))
    if len(strings) != 1 or not strings[0].startswith("tensor("):
        return None
    name = strings[0].removeprefix("tensor(").removesuffix(")")
    return ir.DataType(onnx.TensorProto.DataType.Value(name.upper()))
