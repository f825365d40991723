"""Functions of a graph's library, and parts of a graph that serve as one: what control flow runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tensorflow.python.framework.func_graph import FuncGraph
from tensorflow.python.framework.function_def_to_graph import function_def_to_graph

from isthmus.readers.tensorflow.attributes import FunctionName, attribute_value

IDENTITIES = frozenset({"Identity", "StopGradient", "Snapshot", "PreventGradient", "EnsureShape", "RefIdentity"})
"""Operators that give what they are given."""

_WRITES = (
    "AssignVariable",
    "AssignAddVariable",
    "AssignSubVariable",
    "ResourceScatter",
    "ResourceApply",
    "ResourceSparseApply",
    "ResourceStridedSliceAssign",
    "LookupTableInsert",
    "LookupTableImport",
    "LookupTableRemove",
)
"""How the names of operators begin that change what a resource holds."""

_CALLS = frozenset(
    {
        *("PartitionedCall", "StatefulPartitionedCall", "RemoteCall", "BatchFunction"),
        *("While", "StatelessWhile", "If", "StatelessIf", "Case", "StatelessCase", "For"),
    }
)


@dataclass(frozen=True)
class Region:
    """A part of ``graph`` as a function: what its outputs are, given its inputs."""

    graph: tf.Graph
    inputs: tuple[tf.Tensor, ...]
    outputs: tuple[tf.Tensor, ...]

    @classmethod
    def of(cls, graph: Any) -> Region:
        """A whole function."""
        return cls(graph, tuple(graph.inputs), tuple(graph.outputs))

    def position(self, tensor: tf.Tensor) -> int | None:
        """Which input a tensor is, if it is one."""
        tensor = origin(tensor)
        return next((i for i, own in enumerate(self.inputs) if own is tensor), None)

    def is_invariant(self, index: int) -> bool:
        """Whether output ``index`` is the input of the same number: what a loop only hands on."""
        return self.position(self.outputs[index]) == index


def origin(tensor: tf.Tensor) -> tf.Tensor:
    """What a tensor is, behind operators that give what they are given."""
    while tensor.op.type in IDENTITIES:
        tensor = tensor.op.inputs[0]
    return tensor


def function_graph(graph: Any, name: str) -> Any:
    """The function ``name`` of the library that ``graph`` sees, or None."""
    while graph is not None:
        if graph._is_function(name):
            found = graph._get_function(name)
            if hasattr(found, "graph"):
                return found.graph
            with graph.as_default():  # what TensorFlow 1 defined has only a proto, which uses the library around it
                return function_def_to_graph(found.definition)
        graph = getattr(graph, "outer_graph", None)
    return None


def called(node: tf.Operation) -> Iterator[Any]:
    """The functions that an operation runs, as graphs, in the order of its attributes."""
    if node.type not in _CALLS:
        return
    for name in sorted(node.node_def.attr):
        attribute = node.node_def.attr[name]
        if attribute.WhichOneof("value") not in ("func", "list"):
            continue
        value = attribute_value(attribute)
        for name in value if isinstance(value, tuple) else (value,):
            if isinstance(name, FunctionName) and (found := function_graph(node.graph, name.name)) is not None:
                yield found


def has_effect(node: tf.Operation) -> bool:
    """Whether the operation, or a function that it calls, changes what a resource or a reference holds."""
    if node.type.startswith(_WRITES) or _writes_reference(node):
        return True
    return any(has_effect(inner) for graph in called(node) for inner in graph.get_operations())


def _writes_reference(node: tf.Operation) -> bool:
    """Whether an operation of TensorFlow 1 changes a variable that is its own value."""
    plain = node.type.startswith("Ref") or node.type == "IsVariableInitialized"
    return not plain and any(tensor.dtype._is_ref_dtype for tensor in node.outputs) and bool(node.inputs)


def effects(graph: tf.Graph) -> list[tf.Operation]:
    """The operations that matter although nothing may read what they give: a function runs all of its own."""
    return [node for node in graph.get_operations() if has_effect(node)] if isinstance(graph, FuncGraph) else []


def assigned(region: Region) -> set[int]:
    """Which inputs of a region are variables that it changes."""
    found: set[int] = set()
    for node in region.graph.get_operations():
        if node.type.startswith(_WRITES):
            found |= _positions(region, node.inputs[:1])
        for index, inner in enumerate(called(node)) if has_effect(node) else ():
            given = arguments_of(node, index)
            found |= _positions(region, [given[i] for i in assigned(Region.of(inner)) if i < len(given)])
    return found


def _positions(region: Region, tensors: Sequence[tf.Tensor]) -> set[int]:
    return {position for tensor in tensors if (position := region.position(tensor)) is not None}


def arguments_of(node: tf.Operation, index: int) -> list[tf.Tensor]:
    """What function ``index`` of an operation is given: all inputs, but for what chooses between functions."""
    chooses = node.type in ("If", "StatelessIf", "Case", "StatelessCase")
    return list(node.inputs)[1:] if chooses else list(node.inputs)
