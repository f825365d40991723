"""What one opset step is: a rule for an operator, and the hands with which a rule rewrites a node."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, overload

import numpy as np
import onnx_ir as ir

from isthmus.hub.provenance import where
from isthmus.types import Blocker

RuleKind = Literal["upgrade", "compatible", "refused"]


@dataclass(frozen=True)
class Rule:
    """How nodes of ``ops`` pass the step to version ``to`` of the default domain.

    An *upgrade* rewrites the node, a *compatible* step leaves it as it is because what it adds is off by default,
    a *refused* one has no equal on the other side. Only compatible steps may be walked back when a model is written,
    and those only by nodes of which ``fits`` (if given) says that the version below means the same.
    """

    to: int
    ops: tuple[str, ...]
    kind: RuleKind
    apply: Callable[[Step], None] | None = None
    reason: str = ""
    fits: Callable[[ir.Node], bool] | None = None


@overload
def upgrade(to: int, *ops: str) -> Callable[[Callable[[Step], None]], Rule]: ...
@overload
def upgrade(to: int, *ops: str, by: Callable[[Step], None]) -> Rule: ...
def upgrade(
    to: int, *ops: str, by: Callable[[Step], None] | None = None
) -> Rule | Callable[[Callable[[Step], None]], Rule]:
    """A rule that rewrites: a decorator, or with ``by=`` at once."""

    def rule(apply: Callable[[Step], None]) -> Rule:
        return Rule(to, ops, "upgrade", apply)

    return rule if by is None else rule(by)


def compatible(op: str, *versions: int, fits: Callable[[ir.Node], bool] | None = None) -> tuple[Rule, ...]:
    """Steps that change a signature and not the meaning of a node written before."""
    return tuple(Rule(version, (op,), "compatible", fits=fits) for version in versions)


def lacks(attribute: str, *new_values: str) -> Callable[[ir.Node], bool]:
    """True of a node whose ``attribute`` has none of the values that the step brought."""

    def fits(node: ir.Node) -> bool:
        found = node.attributes.get(attribute)
        return found is None or found.value not in new_values

    return fits


def drop(*names: str) -> Callable[[Step], None]:
    """Attributes that never changed the result, or whose only sensible value became the rule."""

    def apply(c: Step) -> None:
        for name in names:
            c.take(name)

    return apply


def attr_to_input(name: str, index: int = 1) -> Callable[[Step], None]:
    """An attribute of integers becomes an int64 input; an absent one stays absent."""

    def apply(c: Step) -> None:
        value = c.take(name)
        if value is not None:
            c.set_input(index, c.constant(np.atleast_1d(np.asarray(value, np.int64)), name))

    return apply


class Refused(Exception):
    """A node that cannot pass a step."""

    def __init__(self, blocker: Blocker) -> None:
        super().__init__(str(blocker))
        self.blocker = blocker


class Names:
    """Fresh names of values and nodes, unique within one model."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = taken

    @classmethod
    def of(cls, model: ir.Model) -> Names:
        taken: set[str] = set()
        for graph in model.graphs():
            taken.update(v.name for v in graph.inputs if v.name)
            taken.update(graph.initializers)
            for node in graph:
                taken.update(v.name for v in node.outputs if v.name)
                taken.add(node.name or "")
        return cls(taken)

    def fresh(self, wish: str) -> str:
        name, count = wish, 1
        while name in self._taken or not name:
            count += 1
            name = f"{wish}_{count}"
        self._taken.add(name)
        return name


class Step:
    """One node on its way over one step: what a rule may ask and do.

    New nodes are written at the step's version, stand before the node, and carry its provenance. ``made`` holds
    them, so that they can go on to the versions above.
    """

    def __init__(self, node: ir.Node, to: int, names: Names) -> None:
        graph = node.graph
        if graph is None:
            raise ValueError(f"node {node.name!r} belongs to no graph")
        self.node = node
        self.to = to
        self.made: list[ir.Node] = []
        self.replaced = False
        self._graph = graph
        self._names = names

    # ---- asking ---------------------------------------------------------------------------------
    def attr(self, name: str, default: Any = None) -> Any:
        """The Python value of an attribute, ``default`` where the node has none."""
        attribute = self.node.attributes.get(name)
        return default if attribute is None else attribute_value(attribute)

    def input(self, index: int) -> ir.Value | None:
        return self.node.inputs[index] if index < len(self.node.inputs) else None

    def data(self) -> ir.Value:
        """The first input, which the operator requires."""
        value = self.input(0)
        if value is None:
            self.refuse("its first input is missing")
        return value

    def rank(self, value: ir.Value) -> int | None:
        return None if value.shape is None else len(value.shape)

    def known_rank(self, value: ir.Value, why: str) -> int:
        rank = self.rank(value)
        if rank is None:
            self.refuse(f"{why} depends on the rank of {value.name!r}, which the model does not tell")
        return rank

    def dtype(self, value: ir.Value) -> ir.DataType:
        if value.dtype is None:
            self.refuse(f"the element type of {value.name!r} is not known")
        return value.dtype

    def known(self, value: ir.Value | None) -> np.ndarray[Any, Any] | None:
        """The content of a constant value, or ``None`` where it is only known at run time."""
        tensor = None if value is None else constant_of(value)
        return None if tensor is None else tensor.numpy()

    # ---- doing ----------------------------------------------------------------------------------
    def take(self, name: str, default: Any = None) -> Any:
        """Remove an attribute and return its value."""
        value = self.attr(name, default)
        self.node.attributes.pop(name, None)
        return value

    def set(self, name: str, value: Any) -> None:
        self.node.attributes[name] = ir.convenience.convert_attribute(name, value)

    def set_input(self, index: int, value: ir.Value | None) -> None:
        if index >= len(self.node.inputs):
            self.node.resize_inputs(index + 1)
        self.node.replace_input_with(index, value)

    def constant(self, array: Any, hint: str) -> ir.Value:
        """A small constant, named for the node's first output."""
        name = self._names.fresh(f"{self._stem()}.{hint}")
        tensor = array if isinstance(array, ir.TensorProtocol) else ir.tensor(np.asarray(array), name=name)
        value = self.op("Constant", [], name=name, value=tensor)
        value.type, value.shape, value.const_value = ir.TensorType(tensor.dtype), shape_of(tensor), tensor
        return value

    def op(self, op_type: str, inputs: Sequence[ir.Value | None], *, name: str = "", **attributes: Any) -> ir.Value:
        """A new one-output node before this one."""
        node = ir.node(op_type, inputs, attributes, version=self.to, metadata_props=dict(self.node.metadata_props))
        node.name = self._names.fresh(f"{self.node.name or self._stem()}.{op_type}")
        node.outputs[0].name = name or self._names.fresh(f"{self._stem()}.{op_type}")
        self._graph.insert_before(self.node, node)
        self.made.append(node)
        return node.outputs[0]

    def fresh(self, wish: str) -> str:
        """A new name, made of the node's."""
        return self._names.fresh(f"{self._stem()}.{wish}")

    def rename(self, op_type: str) -> None:
        self.node.op_type = op_type

    def replace(self, value: ir.Value) -> None:
        """``value`` takes the place, name and type of the node's first output; the node goes."""
        old = self.node.outputs[0]
        name = old.name
        value.type, value.shape = old.type or value.type, value.shape if old.shape is None else old.shape
        old.replace_all_uses_with(value, replace_graph_outputs=True)
        self._graph.remove(self.node, safe=True)
        old.name, value.name = None, name
        self.replaced = True

    def put_after(self, output: ir.Value, op_type: str, **attributes: Any) -> None:
        """Send ``output`` through a new node, which takes over its name and its users."""
        node = ir.node(op_type, [], attributes, version=self.to, metadata_props=dict(self.node.metadata_props))
        node.name = self._names.fresh(f"{self.node.name or self._stem()}.{op_type}")
        self._graph.insert_after(self.node, node)
        new = node.outputs[0]
        new.type, new.shape = output.type, output.shape
        output.replace_all_uses_with(new, replace_graph_outputs=True)
        node.resize_inputs(1)
        node.replace_input_with(0, output)
        name, output.name = output.name, self._names.fresh(f"{output.name}.before")
        new.name = name
        self.made.append(node)

    def refuse(self, reason: str, hint: str = "") -> NoReturn:
        place = where(self.node)
        raise Refused(Blocker(self.node.op_type, reason, hint, place))

    def _stem(self) -> str:
        return next((v.name for v in self.node.outputs if v.name), self.node.op_type)


def attribute_value(attribute: ir.Attr) -> Any:
    """An attribute as plain Python: lists for sequences, text as ``str``."""
    value = attribute.value
    return list(value) if isinstance(value, tuple) else value


def shape_of(tensor: ir.TensorProtocol) -> ir.Shape:
    """The tensor's shape, free to be changed."""
    return ir.Shape(tuple(tensor.shape.numpy()))


def constant_of(value: ir.Value) -> ir.TensorProtocol | None:
    """The tensor behind a value that never changes: an initializer no caller can set, or a Constant node."""
    producer = value.producer()
    if producer is None:
        return None if value.is_graph_input() else value.const_value
    if producer.op_type != "Constant" or producer.domain not in ("", "ai.onnx"):
        return None
    return constant_tensor(producer)


def constant_tensor(node: ir.Node) -> ir.TensorProtocol | None:
    """What a Constant node holds, whichever of its attributes says so; ``None`` for a sparse one."""
    makers: Mapping[str, Callable[[Any], ir.TensorProtocol]] = {
        "value": lambda v: v,
        "value_float": lambda v: ir.tensor(np.float32(v)),
        "value_floats": lambda v: ir.tensor(np.asarray(v, np.float32)),
        "value_int": lambda v: ir.tensor(np.int64(v)),
        "value_ints": lambda v: ir.tensor(np.asarray(v, np.int64)),
        "value_string": lambda v: ir.StringTensor([_utf8(v)], shape=ir.Shape([])),
        "value_strings": lambda v: ir.StringTensor([_utf8(s) for s in v], shape=ir.Shape([len(v)])),
    }
    for name, attribute in node.attributes.items():
        if name in makers and not attribute.is_ref():
            return makers[name](attribute.value)
    return None


def rules_of(*groups: Rule | Sequence[Rule]) -> Iterator[Rule]:
    """Rules and tuples of rules, flattened."""
    for group in groups:
        yield from (group,) if isinstance(group, Rule) else group


def _utf8(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
