"""The one loop over a graph: gather a node's inputs, call its lowering, bind its outputs.

A refusal does not end the walk: what hangs on the refused node is passed over, the rest is still visited, and all
blockers are raised together at the end.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

import numpy as np
import onnx_ir as ir

from isthmus.errors import Unsupported
from isthmus.hub.model import op_name
from isthmus.hub.provenance import where
from isthmus.lower.contract import Lowering, LoweringTable
from isthmus.types import Blocker, Dim


class Backend(Protocol):
    """What the walk must know of the target framework."""

    failures: tuple[type[Exception], ...]
    """What the framework raises when it will not build an operation: becomes a refusal that names the node."""

    def constant(self, value: ir.Value) -> Any:
        """The tensor of an initializer; called once a value and walk."""

    def parameter(self, value: ir.Value) -> Any:
        """What a ``Weight`` input receives for an initializer."""

    def known(self, tensor: Any) -> np.ndarray | None:
        """The tensor's value, where it is known at conversion."""

    def rank(self, tensor: Any) -> int | None:
        """The tensor's rank, where the framework knows it although the hub does not."""

    def scope(self, node: ir.Node) -> AbstractContextManager[Any]:
        """What surrounds the node's lowering: a name scope, say."""


class Refusal(Exception):
    """Raised by ``Context.refuse`` and caught by the walk."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


_SIZES = "it may follow from sizes of the inputs: tell more of them with --input-shapes"


@dataclass(frozen=True)
class Context:
    """What a lowering may ask about the node it lowers. Inputs and outputs are counted from 0."""

    node: ir.Node
    _backend: Backend
    _tensors: tuple[Any, ...]

    @property
    def op(self) -> str:
        return op_name(self.node)

    @property
    def inputs(self) -> int:
        """How many inputs are given, trailing absent ones not counted."""
        return len(self.node.inputs)

    @property
    def outputs(self) -> int:
        """How many outputs the node declares."""
        return len(self.node.outputs)

    def wants(self, index: int) -> bool:
        """Whether output ``index`` is declared and named."""
        return index < len(self.node.outputs) and bool(self.node.outputs[index].name)

    def has(self, index: int) -> bool:
        """Whether input ``index`` is given."""
        return index < len(self.node.inputs) and self.node.inputs[index] is not None

    def dtype(self, index: int = 0) -> ir.DataType:
        """The element type of an input."""
        return self._typed(self._input(index))

    def output_dtype(self, index: int = 0) -> ir.DataType:
        """The element type of an output."""
        return self._typed(self.node.outputs[index])

    def rank(self, index: int = 0) -> int:
        """The rank of an input. Refuses where neither the hub nor the framework knows it."""
        value = self._input(index)
        known = value.shape.rank() if value.shape is not None else self._backend.rank(self._tensors[index])
        if known is None:
            self.refuse(f"the rank of input {value.name!r} is not known", hint=_SIZES)
        return known

    def shape(self, index: int = 0) -> tuple[Dim, ...]:
        """The shape of an input: ints, names of free dimensions, None for nameless ones. Refuses without a rank."""
        value = self._input(index)
        if value.shape is None:
            return (None,) * self.rank(index)
        return tuple(d if isinstance(d, int) else d.value for d in value.shape)

    def output_shape(self, index: int = 0) -> tuple[Dim, ...] | None:
        """The shape of an output, or None where its rank is not known."""
        shape = self.node.outputs[index].shape
        return None if shape is None else tuple(d if isinstance(d, int) else d.value for d in shape)

    def refuse(self, reason: str, *, hint: str = "") -> NoReturn:
        """Refuse this node by name. The reason is a fact about the target."""
        raise Refusal(reason, hint)

    def _input(self, index: int) -> ir.Value:
        value = self.node.inputs[index]
        if value is None:
            raise IndexError(f"{self.op} has no input {index}")
        return value

    def _typed(self, value: ir.Value) -> ir.DataType:
        return value.dtype if value.dtype is not None else self.refuse(f"the type of {value.name!r} is not known")


@dataclass(frozen=True)
class Subgraph:
    """A graph attribute, callable from a lowering: tensors in, a list of tensors out; outer values are captured."""

    graph: ir.Graph
    _run: Callable[[ir.Graph, Sequence[Any]], list[Any]]

    @property
    def input_shapes(self) -> tuple[tuple[Dim, ...] | None, ...]:
        """The declared shapes of the graph's inputs."""
        return tuple(_dims(v) for v in self.graph.inputs)

    def __call__(self, *inputs: Any) -> list[Any]:
        return self._run(self.graph, inputs)


class _Refused:
    """Stands for a value that a refused node would have made."""


_REFUSED = _Refused()


@dataclass
class _Walk:
    table: LoweringTable
    backend: Backend
    bound: MutableMapping[ir.Value, Any]
    blockers: list[Blocker] = field(default_factory=list)

    def subgraph(self, graph: ir.Graph, inputs: Sequence[Any]) -> list[Any]:
        """Walk an inner graph in a child scope: a tensor made in a loop's body must not be met outside of it."""
        return _Walk(self.table, self.backend, ChainMap({}, self.bound), self.blockers).graph(graph, inputs)

    def graph(self, graph: ir.Graph, inputs: Sequence[Any]) -> list[Any]:
        self.bound.update(zip(graph.inputs, inputs, strict=True))
        for node in graph:
            self.node(node)
        return [self.tensor(value) for value in graph.outputs]

    def node(self, node: ir.Node) -> None:
        lowering = self.table.get((node.domain, node.op_type))
        try:
            results = self.lowered(node, lowering)
        except Refusal as refusal:
            self.blockers.append(Blocker(op_name(node), refusal.reason, refusal.hint, where(node)))
            results = [_REFUSED] * len(node.outputs)
        self.bound.update(zip(node.outputs, results, strict=False))

    def lowered(self, node: ir.Node, lowering: Lowering | None) -> Sequence[Any]:
        if lowering is None:
            raise Refusal("the target has no such operator", "")
        tensors = tuple(
            None if value is None else self.handed(value, lowering.passing(i), node)
            for i, value in enumerate(node.inputs)
        )
        if any(tensor is _REFUSED for tensor in tensors) or self.captures_refused(node):
            return [_REFUSED] * len(node.outputs)
        attributes = {name: self.attribute(node, name, lowering) for name in lowering.attributes}
        context = (Context(node, self.backend, tensors),) if lowering.takes_context else ()
        try:
            with self.backend.scope(node):
                made = lowering.body(*context, *tensors, **attributes)
        except self.backend.failures as error:
            raise Refusal(f"the target will not build it: {error}", "") from error
        return made if isinstance(made, (tuple, list)) and not _is_sequence(node) else (made,)

    def captures_refused(self, node: ir.Node) -> bool:
        graphs = (a.as_graph() for a in node.attributes.values() if a.type == ir.AttributeType.GRAPH)
        return any(
            self.bound.get(value) is _REFUSED
            for graph in graphs
            for inner in graph.all_nodes()
            for value in inner.inputs
            if value is not None
        )

    def handed(self, value: ir.Value, passing: str, node: ir.Node) -> Any:
        if passing == "weight" and value.const_value is not None and value not in self.bound:
            return self.backend.parameter(value)
        if passing in ("static", "host") and value.const_value is not None:
            return value.const_value.numpy()
        tensor = self.tensor(value)
        if tensor is _REFUSED or passing in ("tensor", "weight"):
            return tensor
        known = self.backend.known(tensor)
        if known is None and passing == "static":
            raise Refusal(
                f"input {value.name!r} must be known at conversion, and it is computed at run time",
                "make it a constant of the source model",
            )
        return tensor if known is None else known

    def tensor(self, value: ir.Value) -> Any:
        if value not in self.bound:
            if value.const_value is None:
                raise KeyError(f"value {value.name!r} is used before it is made")
            self.bound[value] = self.backend.constant(value)
        return self.bound[value]

    def attribute(self, node: ir.Node, name: str, lowering: Lowering) -> Any:
        attribute = node.attributes.get(name)
        if attribute is None:
            return lowering.defaults[name]
        if attribute.type == ir.AttributeType.GRAPH:
            return Subgraph(attribute.as_graph(), self.subgraph)
        if attribute.type == ir.AttributeType.TENSOR:
            return attribute.as_tensor().numpy()
        return tuple(attribute.value) if isinstance(attribute.value, (list, tuple)) else attribute.value


def walk(graph: ir.Graph, table: LoweringTable, backend: Backend, inputs: Sequence[Any]) -> list[Any]:
    """Lower ``graph`` on ``inputs`` (one tensor a graph input); return one tensor a graph output.

    Raises errors.Unsupported with every blocker that was met.
    """
    state = _Walk(table, backend, {})
    outputs = state.graph(graph, inputs)
    if state.blockers:
        raise Unsupported("the target refuses parts of this model:", merged(state.blockers))
    return outputs


def missing(graph: ir.Graph, table: LoweringTable) -> list[Blocker]:
    """A blocker for each operator of ``graph`` and its subgraphs that ``table`` lacks; nothing is built."""
    return merged(
        Blocker(op_name(node), "the target has no such operator", "", where(node))
        for node in graph.all_nodes()
        if (node.domain, node.op_type) not in table
    )


def merged(blockers: Iterable[Blocker]) -> list[Blocker]:
    """One blocker an (operator, reason), counted, at the place where it first stood."""
    first: dict[tuple[str, str], Blocker] = {}
    count: dict[tuple[str, str], int] = {}
    for blocker in blockers:
        key = (blocker.op, blocker.reason)
        first.setdefault(key, blocker)
        count[key] = count.get(key, 0) + 1
    return [Blocker(b.op, b.reason, b.hint, b.where, count[key]) for key, b in first.items()]


def _is_sequence(node: ir.Node) -> bool:
    """Whether the single output is a sequence, which a lowering may hold as a Python list."""
    return len(node.outputs) == 1 and isinstance(node.outputs[0].type, ir.SequenceType | ir.OptionalType)


def _dims(value: ir.Value) -> tuple[Dim, ...] | None:
    if value.shape is None:
        return None
    return tuple(d if isinstance(d, int) else d.value for d in value.shape)
