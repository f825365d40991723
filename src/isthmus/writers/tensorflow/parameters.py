"""What becomes of each initializer: a graph constant, a placeholder that the file writer fills, or a variable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Literal

import onnx_ir as ir
import tensorflow as tf

from isthmus.hub.model import ROLE, Hub
from isthmus.lower.contract import LoweringTable
from isthmus.writers.tensorflow.backend import dtype_of, scope_name, tensor_of

SMALL = 4096
"""Bytes below which a constant stands in the graph at once: lowerings may want to see its value."""

PLACEHOLDER = "isthmus_weight_"
"""How the names of placeholders for large weights begin."""

INLINE_LIMIT = 16 << 20
"""Bytes of weights that are simply graph constants of the live function. TensorFlow holds such a constant several
times while it traces, saves and runs; above this the live function captures tensors, held once."""

FREEZE_LIMIT = 128 << 20
"""Bytes of constants in a saved graph. What exceeds it, largest first, stays a variable.

A proto could hold 2 GB, but whoever loads constants pays for them. Measured on a chain of MatMul, 2 cores: loading
and calling once peaks at 2.2 GB and takes 2 s for 100 MB of constants, 4.7 GB and 11 s for 250 MB, 10.8 GB and 50 s
for 600 MB; 250 MB of variables take 0.8 GB and half a second. What constants buy is 10 to 20 % of the time of small
convolutions with a batch of one, and nothing in large products.
"""

Role = Literal["trainable", "buffer", "constant"]


class GraphConstants:
    """Initializers as constants of the traced graph; those in ``variables`` are read from there.

    A constant of ``SMALL`` bytes or more is made once, in the outermost graph, and captured by a loop's body.
    ``nodes`` maps the names of the graph's nodes to the initializers that they stand for.
    """

    def __init__(self, variables: Mapping[str, tf.Variable] = MappingProxyType({})) -> None:
        self.variables = variables
        self.nodes: dict[str, ir.Value] = {}
        self._made: dict[ir.Value, tf.Tensor] = {}
        self._root: tf.Graph | None = None

    def begin(self) -> None:
        self._made.clear()
        self._root = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()

    def constant(self, value: ir.Value) -> tf.Tensor:
        if (variable := self.variables.get(value.name or "")) is not None:
            return tf.convert_to_tensor(variable)
        if self._root is None or not is_large(_tensor(value)):
            return self._noted(value, tensor_of(_tensor(value), name=scope_name(value.name or "constant")))
        if value not in self._made:
            with self._root.as_default(), tf.control_dependencies(None):
                self._made[value] = self._noted(value, self._large(value))
        return self._made[value]

    def parameter(self, value: ir.Value) -> tf.Tensor | tf.Variable:
        variable = self.variables.get(value.name or "")
        return self.constant(value) if variable is None else variable

    def _large(self, value: ir.Value) -> tf.Tensor:
        return tensor_of(_tensor(value), name=scope_name(value.name or "constant"))

    def _noted(self, value: ir.Value, tensor: tf.Tensor) -> tf.Tensor:
        if not tf.executing_eagerly() and tensor.graph is self._root:
            self.nodes[tensor.op.name] = value
        return tensor


class Placeholders(GraphConstants):
    """Large initializers are placeholders, which whoever writes the graph fills: tracing reads no value."""

    def _large(self, value: ir.Value) -> tf.Tensor:
        tensor = _tensor(value)
        name = f"{PLACEHOLDER}{len(self._made)}"
        return tf.raw_ops.Placeholder(dtype=dtype_of(tensor.dtype), shape=list(tensor.shape), name=name)


class Captured(GraphConstants):
    """Large initializers are tensors outside of the graph, held once and captured by it."""

    def _large(self, value: ir.Value) -> tf.Tensor:
        with tf.init_scope():
            return tensor_of(_tensor(value))

    def _noted(self, value: ir.Value, tensor: tf.Tensor) -> tf.Tensor:
        return tensor


def is_large(tensor: ir.TensorProtocol) -> bool:
    """Whether a tensor is worth a placeholder: large, and of a type that a proto holds as plain bytes."""
    plain = tensor.dtype != ir.DataType.STRING and tensor.dtype.bitwidth >= 8
    return plain and tensor.nbytes >= SMALL


def large_bytes(values: Iterable[ir.Value]) -> int:
    return sum(v.const_value.nbytes for v in values if v.const_value is not None and is_large(v.const_value))


def spilled(values: Iterable[ir.Value], limit: int) -> list[ir.Value]:
    """The largest of ``values``, so many that the rest fits into ``limit`` bytes."""
    sized = [(v.const_value.nbytes, v) for v in values if v.const_value is not None and is_large(v.const_value)]
    rest = sum(size for size, _ in sized)
    chosen = []
    for size, value in sorted(sized, key=lambda pair: -pair[0]):
        if rest <= limit:
            break
        chosen.append(value)
        rest -= size
    return chosen


def used_as_tensors(graph: ir.Graph, table: LoweringTable) -> Iterator[ir.Value]:
    """The initializers that some lowering takes as a tensor, in order of first use, each once."""
    seen: set[ir.Value] = set()
    for value in [*_handed_over(graph, table), *graph.outputs]:
        if value.const_value is not None and value not in seen:
            seen.add(value)
            yield value


def _handed_over(graph: ir.Graph, table: LoweringTable) -> Iterator[ir.Value]:
    for node in graph.all_nodes():
        lowering = table.get((node.domain, node.op_type))
        for index, value in enumerate(node.inputs):
            if value is not None and (lowering is None or lowering.passing(index) in ("tensor", "weight")):
                yield value
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH:
                yield from attribute.as_graph().outputs


def roles(hub: Hub, table: LoweringTable, *, trainable: bool) -> dict[ir.Value, Role]:
    """What each initializer that is used as a tensor is: a constant, all of them, unless the build is trainable.

    Then the reader's mark decides where there is one. Without it a floating tensor of rank 1 or more is trained, but
    for the running mean and variance of a batch normalization, which training keeps up to date instead.
    """
    return {value: _role(value) if trainable else "constant" for value in used_as_tensors(hub.graph, table)}


def _role(value: ir.Value) -> Role:
    mark, tensor = value.metadata_props.get(ROLE, ""), _tensor(value)
    if mark == "constant" or not tensor.dtype.is_floating_point() or tensor.dtype.bitwidth < 16:
        return "constant"
    if mark == "buffer" or _is_running_statistic(value):
        return "buffer"
    return "trainable" if mark == "parameter" or len(tensor.shape) > 0 else "constant"


def role_in_source(value: ir.Value) -> Literal["parameter", "buffer", "constant"]:
    """What an initializer is to the source, whatever it becomes here: the reader's mark, else as if it were trained.

    A buffer of integers is a constant in every build, and a buffer of its source nevertheless.
    """
    match value.metadata_props.get(ROLE, ""):
        case "parameter" | "buffer" | "constant" as mark:
            return mark
    role = _role(value)
    return "parameter" if role == "trainable" else role


def _is_running_statistic(value: ir.Value) -> bool:
    uses = list(value.uses())
    return bool(uses) and all(node.op_type == "BatchNormalization" and index in (3, 4) for node, index in uses)


def variable_of(value: ir.Value, *, trainable: bool) -> tf.Variable:
    """A variable under the initializer's name, with its value. Its tensor is read here and not kept."""
    with tf.init_scope():
        return tf.Variable(tensor_of(_tensor(value)), trainable=trainable, name=scope_name(value.name or "weight"))


def _tensor(value: ir.Value) -> ir.TensorProtocol:
    assert value.const_value is not None
    return value.const_value
