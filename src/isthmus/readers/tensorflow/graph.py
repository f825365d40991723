"""The one loop over a TensorFlow graph: gather an operation's inputs, call its reading, bind its outputs.

A refusal does not end the walk: what hangs on the refused operation is passed over, the rest is still visited, and
all blockers are raised together at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import onnx_ir as ir
import tensorflow as tf

from isthmus.errors import Unsupported
from isthmus.hub import provenance
from isthmus.hub.model import ROLE
from isthmus.lower.walk import Refusal
from isthmus.readers.tensorflow.attributes import FunctionName, attribute_value
from isthmus.readers.tensorflow.builder import Builder
from isthmus.readers.tensorflow.constants import computed, is_small
from isthmus.readers.tensorflow.contract import Passing, Read, ReadTable, op_def
from isthmus.readers.tensorflow.dtypes import data_type
from isthmus.readers.tensorflow.frames import Choice, Frame, parts_of
from isthmus.readers.tensorflow.functions import effects, function_graph
from isthmus.readers.tensorflow.handles import REFUSED, Complex, Refused
from isthmus.readers.tensorflow.shapes import tell_shape
from isthmus.types import Blocker, Dim, Note, Where

Bound = Any
"""What a tensor of the source is read as: an ``ir.Value``, or one of ``handles``."""


@dataclass(frozen=True)
class Context:
    """What a reading may ask about the operation it reads. Inputs and outputs are counted from 0, lists flattened."""

    node: tf.Operation
    reader: GraphReader
    bound: tuple[Bound, ...]

    @property
    def type(self) -> str:
        """The operator's name, for readings that serve several."""
        return str(self.node.type)

    @property
    def outputs(self) -> int:
        return len(self.node.outputs)

    def dtype(self, index: int = 0) -> tf.DType:
        """The TensorFlow element type of an input."""
        return self.node.inputs[index].dtype.base_dtype

    def output_dtype(self, index: int = 0) -> ir.DataType:
        """The ONNX element type of an output."""
        found = data_type(self.node.outputs[index].dtype)
        return found if found is not None else self.refuse(f"its output {index} is no tensor of ONNX")

    def rank(self, index: int = 0) -> int:
        """The rank of an input. Refuses where it is not known."""
        shape = self.shape_or_none(index)
        return len(shape) if shape is not None else self.refuse(f"the rank of its input {index} is not known")

    def shape(self, index: int = 0) -> tuple[Dim, ...]:
        """The shape of an input: ints, None or names for free dimensions. Refuses where the rank is not known."""
        shape = self.shape_or_none(index)
        return shape if shape is not None else self.refuse(f"the rank of its input {index} is not known")

    def shape_or_none(self, index: int = 0) -> tuple[Dim, ...] | None:
        """The shape of an input, by the graph or by what was bound to it; None where the rank is not known."""
        static = self.node.inputs[index].shape
        value = self.bound[index]
        ours = value.shape if isinstance(value, ir.Value) else None
        if static.rank is None:
            return None if ours is None else tuple(d if isinstance(d, int) else d.value for d in ours)
        dims = static.as_list()
        if ours is not None and len(ours) == len(dims):
            dims = [
                d if d is not None else (o if isinstance(o, int) else o.value)
                for d, o in zip(dims, ours, strict=True)
            ]
        return tuple(dims)

    def output_shape(self, index: int = 0) -> tuple[int | None, ...] | None:
        """The shape of an output as TensorFlow infers it, or None where its rank is not known."""
        static = self.node.outputs[index].shape
        return None if static.rank is None else tuple(static.as_list())

    def known(self, index: int) -> np.ndarray | None:
        """The value of an input, where it is known at conversion."""
        return self.reader.known(self.node.inputs[index], self.bound[index])

    def function(self, name: FunctionName) -> tf.Graph:
        """A function of the graph's library, as a graph."""
        return self.reader.function(self.node.graph, name)

    def note(self, topic: str, text: str) -> None:
        """Tell the user of something; once, however many operations say it."""
        self.reader.notes[Note(topic, text)] = None

    def refuse(self, reason: str, *, hint: str = "") -> NoReturn:
        """Refuse this operation by name. The reason is a fact about ONNX, or about what can be known."""
        raise Refusal(reason, hint)


Part = Frame | Choice
Step = Any
"""What is read in one go: an operation, or such a part."""
ReadPart = Callable[[Builder, Context, Part, Mapping[str, Bound]], Sequence[Bound]]
"""How a loop or a choice of TensorFlow 1 is read."""

_EXTENTS = frozenset({"Shape", "ShapeN", "Size", "Rank"})
"""Operators to which it does not matter what a tensor holds."""


@dataclass
class GraphReader:
    """Reads graphs of one source into one builder, with one table."""

    op: Builder
    table: ReadTable
    read_part: ReadPart
    modules: Callable[[str], str] = field(default=lambda scope: "")
    weight: Callable[[tf.Operation], ir.Value | None] = field(default=lambda node: None)
    """What a Const gives that holds a weight of an earlier source."""
    blockers: dict[tuple[str, str], Blocker] = field(default_factory=dict)
    notes: dict[Note, None] = field(default_factory=dict)
    state: dict[ir.Value, ir.Value] = field(default_factory=dict)
    """What the variables hold that were assigned so far, by the initializer that they began with."""
    weighted: set[ir.Value] = field(default_factory=set)
    """Weights that the graph holds as constants, and what is computed of them and other constants alone."""
    parts: dict[tf.Graph, Mapping[tf.Operation, Part]] = field(default_factory=dict)
    """The loops and choices of TensorFlow 1, by graph."""

    def run(self, graph: tf.Graph, given: Mapping[str, Bound], wanted: Sequence[tf.Tensor]) -> list[Bound]:
        """Read what ``wanted`` needs. ``given`` binds tensors of the graph by name, before anything is read."""
        bound = dict(given)
        if graph not in self.parts:
            self.parts[graph] = parts_of(graph)
        for node in _needed(graph, wanted, bound, self.parts[graph]):
            results = self._read(node, bound)
            for tensor, result in zip(node.outputs, results, strict=True):
                bound.setdefault(tensor.name, result)
        return [bound[tensor.name] for tensor in wanted]

    def call(self, graph: Any, arguments: Sequence[Bound]) -> list[Bound]:
        """Read a function inline: its outputs for these arguments."""
        given = {tensor.name: value for tensor, value in zip(graph.inputs, arguments, strict=True)}
        return self.run(graph, given, graph.outputs)

    def function(self, graph: Any, name: FunctionName) -> Any:
        """A function by name, from the library of the graph that mentions it."""
        found = function_graph(graph, name.name)
        if found is None:
            raise Refusal(f"its function {name.name!r} is not in the model", "")
        return found

    def known(self, tensor: tf.Tensor, value: Bound) -> np.ndarray | None:
        """A value known at conversion, which no weight is: a constant of ours, or what TensorFlow tells by itself."""
        if self._is_weighted(value):
            return None
        if isinstance(value, ir.Value) and value.const_value is not None:
            constant = value.metadata_props.get(ROLE) == "constant"
            return value.const_value.numpy() if constant else None
        if data_type(tensor.dtype) is None:
            return None
        return _told(tensor)

    def settled(self, tensor: tf.Tensor, value: Bound) -> np.ndarray | None:
        """A value known at conversion, for what cannot be read without it: a weight that is constant as well."""
        return _told(tensor) if self._is_weighted(value) else self.known(tensor, value)

    def _is_weighted(self, value: Bound) -> bool:
        return isinstance(value, ir.Value) and value in self.weighted

    def finish(self, source: str) -> None:
        """Raise errors.Unsupported with every refusal so far, if there is any."""
        if self.blockers:
            raise Unsupported(f"{source} uses operations that cannot be carried", list(self.blockers.values()))

    def _read(self, step: Step, bound: Mapping[str, Bound]) -> Sequence[Bound]:
        node = step if isinstance(step, tf.Operation) else step.node
        inputs = tuple(bound[tensor.name] for tensor in step.inputs)
        if any(isinstance(value, Refused) for value in inputs):
            return [REFUSED] * len(step.outputs)
        outer = self.op.prefix, self.op.made
        self.op.prefix, self.op.made = node.name, []
        try:
            if isinstance(step, tf.Operation):
                results = self._results(step, inputs)
            else:
                results = self.read_part(self.op, Context(node, self, ()), step, bound)
        except Refusal as refusal:
            self._block(node, refusal)
            results = [REFUSED] * len(step.outputs)
        finally:
            made, (self.op.prefix, self.op.made) = self.op.made, outer
        outer[1].extend(made)
        module = self.modules(node.name)
        for made_node in made:
            if provenance.MODULE not in made_node.metadata_props:
                provenance.stamp(made_node, module=module)
        for tensor, result in zip(step.outputs, results, strict=True):
            _type(tensor, result)
        return results

    def _results(self, node: tf.Operation, inputs: tuple[Bound, ...]) -> Sequence[Bound]:
        if (named := function_graph(node.graph, node.type)) is not None:  # TensorFlow 1 calls functions by their name
            return self.call(named, inputs)
        if node.type == "Const" and (weight := self.weight(node)) is not None:
            self.weighted.add(weight)
            return [weight]
        known = [self.known(tensor, value) for tensor, value in zip(node.inputs, inputs, strict=True)]
        if all(array is not None for array in known) and is_small(node, known):
            return [constant(self.op, array, node.name) for array in computed(node, known)]
        entry = self.table.get(node.type)
        if entry is None:
            raise Refusal("ONNX has no such operator, and no composition of others is known for it", "")
        results = self._called(entry, Context(node, self, inputs), known)
        weighted = [self._is_weighted(value) for value in inputs]
        fixed = all(held or array is not None for held, array in zip(weighted, known, strict=True))
        if any(weighted) and fixed and node.type not in _EXTENTS:
            self.weighted.update(result for result in results if isinstance(result, ir.Value))
        return results

    def _called(self, entry: Read, context: Context, known: Sequence[np.ndarray | None]) -> Sequence[Bound]:
        node = context.node
        flat = [
            _passed(passing, value, array, index, context)
            for index, (passing, value, array) in enumerate(
                zip(_flat_passings(entry, node), context.bound, known, strict=True)
            )
        ]
        settings = {name: attribute_value(node.node_def.attr[name]) for name in entry.attributes}
        arguments = [self.op, context] if entry.takes_context else [self.op]
        result = entry.body(*arguments, *_grouped(node, flat), **settings)
        results = () if result is None else tuple(result) if isinstance(result, (tuple, list)) else (result,)
        if len(results) != len(node.outputs):
            raise TypeError(f"{node.type} has {len(node.outputs)} outputs, its reading gives {len(results)}")
        return results

    def _block(self, node: tf.Operation, refusal: Refusal) -> None:
        key = (node.type, refusal.reason)
        place = Where(node=node.name, op=node.type, module=self.modules(node.name))
        found = self.blockers.get(key)
        count = 1 if found is None else found.count + 1
        place = place if found is None else found.where
        self.blockers[key] = Blocker(node.type, refusal.reason, refusal.hint, place, count)


def _told(tensor: tf.Tensor) -> np.ndarray | None:
    """What TensorFlow can tell of a tensor by itself."""
    found = tf.get_static_value(tensor)
    return None if found is None else np.asarray(found)


def constant(op: Builder, array: np.ndarray, name: str) -> Bound:
    """What is known at conversion: an initializer, of pairs where the numbers are complex."""
    if array.dtype.kind != "c":
        return op.constant(array, name=name)
    return Complex(op.constant(np.stack([array.real, array.imag], axis=-1), name=name))


def _needed(
    graph: tf.Graph, wanted: Iterable[tf.Tensor], given: Mapping[str, Bound], parts: Mapping[tf.Operation, Part]
) -> list[Step]:
    """What ``wanted`` and the graph's effects depend on, each behind what it needs; nothing that is given.

    Operations come in the graph's order, in which effects follow one another. Where TensorFlow 1 has loops, its order
    is none to follow.
    """
    found: dict[Step, None] = {}
    pending: list[Step] = [parts.get(t.op, t.op) for t in wanted if t.name not in given]
    pending += effects(graph)
    while pending:
        step = pending[-1]
        before = [parts.get(t.op, t.op) for t in step.inputs if t.name not in given] if step not in found else []
        if missing := [other for other in before if other not in found]:
            pending += missing
        else:
            found[pending.pop()] = None
    if parts:
        return list(found)
    return [node for node in graph.get_operations() if node in found and not _all_given(node, given)]


def _all_given(node: tf.Operation, given: Mapping[str, Bound]) -> bool:
    return bool(node.outputs) and all(tensor.name in given for tensor in node.outputs)


def _passed(passing: Passing, value: Bound, known: np.ndarray | None, index: int, c: Context) -> Any:
    if isinstance(value, Complex) and passing != "complex":
        raise Refusal(f"its input {index} is complex, for which ONNX has no type", "")
    if passing == "static" and known is None:
        known = c.reader.settled(c.node.inputs[index], value)
    if passing == "static" and known is None:
        raise Refusal(f"its input {index} must be known at conversion, and is computed from data", "")
    return known if passing in ("static", "host") and known is not None else value


def _flat_passings(entry: Read, node: tf.Operation) -> list[Passing]:
    lengths = _lengths(node)
    return [passing for passing, length in zip(entry.inputs, lengths, strict=True) for _ in range(length)]


def _lengths(node: tf.Operation) -> list[int]:
    """How many tensors each input of the OpDef takes: 1, or the length of the list."""
    attributes = node.node_def.attr
    return [
        attributes[arg.number_attr].i
        if arg.number_attr
        else len(attributes[arg.type_list_attr].list.type)
        if arg.type_list_attr
        else 1
        for arg in op_def(node.type).input_arg
    ]


def _grouped(node: tf.Operation, flat: Sequence[Any]) -> list[Any]:
    """Inputs in the OpDef's order; lists as tuples."""
    arguments: list[Any] = []
    start = 0
    for arg, length in zip(op_def(node.type).input_arg, _lengths(node), strict=True):
        group = tuple(flat[start : start + length])
        arguments.append(group if arg.number_attr or arg.type_list_attr else group[0])
        start += length
    return arguments


def _type(tensor: tf.Tensor, result: Bound) -> None:
    """Tell a new value what TensorFlow knows of it."""
    if not isinstance(result, ir.Value) or result.producer() is None:
        return
    dtype = data_type(tensor.dtype)
    if result.dtype is not None and dtype is not None and result.dtype != dtype:
        raise TypeError(f"{tensor.op.type} gives {dtype.name}, its reading {result.dtype.name}")
    if dtype is not None:
        result.dtype = dtype
    if result.shape is None and tensor.shape.rank is not None:
        result.shape = ir.Shape(tensor.shape.as_list())
    elif result.shape is None:
        tell_shape(result)
