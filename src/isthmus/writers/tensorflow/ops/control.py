"""Control flow: If, Loop, Scan. What a branch or a loop hands on is carried as tensors; sequences as TensorLists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
import tensorflow as tf

from isthmus.lower.contract import Host, Lowerings
from isthmus.lower.walk import Context, Subgraph
from isthmus.writers.tensorflow.ops._common import dim, permuted, positive
from isthmus.writers.tensorflow.ops.sequence import TensorList, element_dtype, tensor_list

table = Lowerings()
lower, alias = table.lower, table.alias


@dataclass(frozen=True)
class Carrier:
    """How one ONNX value crosses the border of a branch or a loop: as one tensor."""

    dtype: tf.DType
    sequence: bool
    rank: int | None

    @classmethod
    def of(cls, c: Context, value: ir.Value, *, inner: ir.Value | None = None) -> Carrier:
        """For a node's input or output; ``inner`` is the same value inside of the body."""
        kind = value.type or (inner.type if inner is not None else None)
        if kind is None:
            c.refuse(f"the type of {value.name!r} is not known")
        shape = value.shape if inner is None else inner.shape
        sequence = _is_sequence(kind)
        return cls(element_dtype(kind), sequence, shape.rank() if shape is not None else None)

    def packed(self, value: Any) -> tf.Tensor:
        if self.sequence and isinstance(value, list | TensorList):
            return tensor_list(value, self.dtype).handle
        # what a refused node of the body would have made is no tensor: the walk reports it, this only goes on
        return value if tf.is_tensor(value) else tf.zeros([0] * (self.rank or 0), self.dtype)

    def unpacked(self, tensor: tf.Tensor) -> Any:
        return TensorList(tensor, self.dtype, self.rank) if self.sequence else tensor


def _is_sequence(kind: Any) -> bool:
    while isinstance(kind, ir.OptionalType):
        kind = kind.elem_type
    return isinstance(kind, ir.SequenceType)


# ---------------------------------------------------------------------------------------------- If


@lower("If")
def if_(c, cond: Host, *, then_branch, else_branch):
    if isinstance(cond, np.ndarray):
        return _as_outputs(c, (then_branch if cond.reshape(-1)[0] else else_branch)())
    carriers = [
        Carrier.of(c, c.node.outputs[i], inner=then_branch.graph.outputs[i]) for i in range(len(c.node.outputs))
    ]

    def branch(body: Subgraph) -> Callable[[], list[tf.Tensor]]:
        def run() -> list[tf.Tensor]:
            made = body()
            if any(value is None for value in made):
                c.refuse("TensorFlow has no absent tensor: both branches must give a value")
            return [tf.identity(carrier.packed(value)) for carrier, value in zip(carriers, made, strict=True)]

        return run

    made = tf.cond(tf.reshape(cond, []), branch(then_branch), branch(else_branch))
    made = made if isinstance(made, list | tuple) else [made]
    return _as_outputs(c, [carrier.unpacked(tensor) for carrier, tensor in zip(carriers, made, strict=True)])


def _as_outputs(c: Context, values: Sequence[Any]) -> Any:
    """A single sequence is handed back as it is; anything else as a tuple, one value an output."""
    if len(values) == 1 and isinstance(values[0], list | TensorList):
        return values[0] if isinstance(c.node.outputs[0].type, ir.SequenceType | ir.OptionalType) else (values[0],)
    return values[0] if len(values) == 1 else tuple(values)


# ---------------------------------------------------------------------------------------------- Loop


@lower("Loop")
def loop(c, trips: Host = None, cond: Host = None, *initial, body):
    count = len(initial)
    outer = c.node.inputs[2:]
    if any(value is None for value in initial):
        c.refuse("TensorFlow has no absent tensor for a loop to carry")
    carriers = [Carrier.of(c, v, inner=body.graph.inputs[2 + i]) for i, v in enumerate(outer)]
    carried = [carrier.packed(value) for carrier, value in zip(carriers, initial, strict=True)]
    limit = None if trips is None else tf.cast(tf.reshape(trips, []), tf.int64)
    first, goes_on = _one_like(body, 0, tf.int64), _one_like(body, 1, tf.bool)

    def iterate(i: tf.Tensor, *state: tf.Tensor) -> list[tf.Tensor]:
        """One iteration: whether to go on, the carried values, the elements of the scan outputs."""
        values = [carrier.unpacked(tensor) for carrier, tensor in zip(carriers, state, strict=True)]
        made = body(first(i), goes_on(tf.constant(True)), *values)
        packed = [carrier.packed(value) for carrier, value in zip(carriers, made[1:], strict=False)]
        scanned = [_scanned(c, value) for value in made[1 + count :]]
        return [tf.reshape(made[0], []) if tf.is_tensor(made[0]) else tf.constant(False), *packed, *scanned]

    shapes, elements = _stable(c, iterate, carried, body)

    def condition(i: tf.Tensor, goes: tf.Tensor, *_: Any) -> tf.Tensor:
        return goes if limit is None else goes & (i < limit)

    def step(i: tf.Tensor, _: tf.Tensor, state: list[tf.Tensor], arrays: list[tf.TensorArray]):
        made = iterate(i, *state)
        at = tf.cast(i, tf.int32)
        written = [array.write(at, value) for array, value in zip(arrays, made[1 + count :], strict=True)]
        after = [_fitted(v, shape) for v, shape in zip(made[1 : 1 + count], shapes, strict=True)]
        return i + 1, made[0], after, written

    arrays = [
        tf.TensorArray(dtype, 0, dynamic_size=True, element_shape=shape, clear_after_read=False)
        for dtype, shape in elements
    ]
    start = tf.constant(True) if cond is None else tf.cast(tf.reshape(cond, []), tf.bool)
    loop_state = (tf.constant(0, tf.int64), start, carried, arrays)
    invariants = (tf.TensorShape([]), tf.TensorShape([]), shapes, [tf.TensorShape(None)] * len(arrays))
    done, _, final, arrays = tf.while_loop(condition, step, loop_state, shape_invariants=invariants)
    stacked = [_stacked(array, done, dtype, shape) for array, (dtype, shape) in zip(arrays, elements, strict=True)]
    values = [carrier.unpacked(tensor) for carrier, tensor in zip(carriers, final, strict=True)]
    return _as_outputs(c, [*values, *stacked])


def _one_like(body: Subgraph, index: int, dtype: tf.DType) -> Callable[[tf.Tensor], tf.Tensor]:
    """A scalar as the body declares it: some declare one element of rank 1."""
    shape = body.input_shapes[index]
    rank = 0 if shape is None else len(shape)
    return lambda x: tf.reshape(tf.cast(x, dtype), [1] * rank)


def _scanned(c: Context, value: Any) -> tf.Tensor:
    if isinstance(value, list | TensorList):
        c.refuse("TensorFlow stacks tensors only, no sequences")
    return value if tf.is_tensor(value) else tf.constant(0)


def _fitted(value: tf.Tensor, shape: tf.TensorShape) -> tf.Tensor:
    return value if tf.executing_eagerly() else tf.ensure_shape(value, shape)


Element = tuple[tf.DType, tf.TensorShape]


def _stable(
    c: Context, iterate: Callable[..., list[tf.Tensor]], carried: Sequence[tf.Tensor], body: Subgraph
) -> tuple[list[tf.TensorShape], list[Element]]:
    """Shapes that the carried values keep from one iteration to the next, and the scan outputs' elements.

    A dimension that an iteration changes is unknown to TensorFlow's loop. The body is traced aside to see it.
    """
    count = len(carried)
    shapes = [tensor.shape for tensor in carried]
    while True:
        specs = [tf.TensorSpec([], tf.int64), *map(tf.TensorSpec, shapes, [t.dtype for t in carried])]
        traced = tf.function(iterate, autograph=False).get_concrete_function(*specs).structured_outputs
        after = [
            before.most_specific_compatible_shape(made.shape)
            for before, made in zip(shapes, traced[1 : 1 + count], strict=True)
        ]
        if any(t.dtype != made.dtype for t, made in zip(carried, traced[1 : 1 + count], strict=True)):
            c.refuse("TensorFlow's loops carry a value in one type only")
        if [s.as_list() if s.rank is not None else None for s in after] == [
            s.as_list() if s.rank is not None else None for s in shapes
        ]:
            return shapes, [(made.dtype, made.shape) for made in traced[1 + count :]]
        shapes = after


def _stacked(array: tf.TensorArray, count: tf.Tensor, dtype: tf.DType, shape: tf.TensorShape) -> tf.Tensor:
    """The elements along a new first axis; without any, a dimension that only a run could tell is 0."""
    if shape.is_fully_defined():
        return array.stack()
    empty = tf.zeros([0] * (1 + (shape.rank or 0)), dtype)
    stacked = tf.cond(count > 0, array.stack, lambda: empty)
    return tf.ensure_shape(stacked, [None] * (1 + shape.rank)) if shape.rank is not None else stacked


# ---------------------------------------------------------------------------------------------- Scan


@lower("Scan")
def scan(
    c,
    *xs,
    body,
    num_scan_inputs,
    scan_input_axes,
    scan_input_directions,
    scan_output_axes,
    scan_output_directions,
):
    count = len(xs) - num_scan_inputs
    state, scanned = list(xs[:count]), xs[count:]
    outputs = len(body.graph.outputs) - count
    input_axes, backward = scan_input_axes or (0,) * num_scan_inputs, scan_input_directions or (0,) * num_scan_inputs
    output_axes, prepended = scan_output_axes or (0,) * outputs, scan_output_directions or (0,) * outputs
    sources = [permuted(x, axis, 0)[0] for x, axis in zip(scanned, input_axes, strict=True)]
    steps = dim(sources[0], 0)
    readers = [
        tf.TensorArray(x.dtype, steps, element_shape=x.shape[1:], clear_after_read=False).unstack(x) for x in sources
    ]

    def iterate(i: tf.Tensor, *carried: tf.Tensor) -> list[tf.Tensor]:
        at = tf.cast(i, tf.int32)
        rows = [
            reader.read(steps - 1 - at if reverse else at) for reader, reverse in zip(readers, backward, strict=True)
        ]
        made = body(*carried, *rows)
        return [tf.constant(True), *(value if tf.is_tensor(value) else tf.constant(0) for value in made)]

    shapes, elements = _stable(c, iterate, state, body)

    def step(i: tf.Tensor, carried: list[tf.Tensor], arrays: list[tf.TensorArray]):
        made = iterate(i, *carried)[1:]
        written = [
            array.write(steps - 1 - i if reverse else i, value)
            for array, value, reverse in zip(arrays, made[count:], prepended, strict=True)
        ]
        return i + 1, [_fitted(v, shape) for v, shape in zip(made[:count], shapes, strict=True)], written

    arrays = [tf.TensorArray(dtype, steps, element_shape=shape) for dtype, shape in elements]
    invariants = (tf.TensorShape([]), shapes, [tf.TensorShape(None)] * len(arrays))
    done, final, arrays = tf.while_loop(
        lambda i, *_: i < steps, step, (tf.constant(0), state, arrays), shape_invariants=invariants
    )
    stacked = []
    for array, (dtype, shape), axis in zip(arrays, elements, output_axes, strict=True):
        y = _stacked(array, done, dtype, shape)
        stacked.append(permuted(y, 0, positive(axis, y.shape.rank))[0])
    return _as_outputs(c, [*final, *stacked])
