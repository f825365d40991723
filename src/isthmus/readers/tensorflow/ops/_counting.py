"""What a loop counts: values that change by a fixed step, and conditions that compare them with a fixed bound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir
import tensorflow as tf

from isthmus.hub.model import ROLE
from isthmus.readers.tensorflow.constants import computed, is_small
from isthmus.readers.tensorflow.functions import IDENTITIES, Region, assigned, origin

INT64 = ir.DataType.INT64
Bound = Any


@dataclass(frozen=True)
class Counter:
    """A value that begins as ``start`` and grows by ``step``."""

    start: ir.Value
    step: int


@dataclass(frozen=True)
class _Limit:
    """A counter and the bound that it is compared with; ``inclusive`` where it may be reached."""

    counter: Counter
    bound: ir.Value
    inclusive: bool


@dataclass(frozen=True)
class Counting:
    """The counters of a loop by the number of their value; whether they alone decide how often the body runs."""

    counters: Mapping[int, Counter]
    limits: Sequence[_Limit]
    is_counted: bool
    known: Mapping[str, np.ndarray]
    """What is the same constant in every iteration, by the name of its tensor."""

    def counter(self, op: Any, index: int, iteration: ir.Value) -> ir.Value:
        """The value of a counter in an iteration."""
        found = self.counters[index]
        assert found.start.dtype is not None
        steps = iteration if found.step == 1 else op.Mul(iteration, found.step)
        steps = op.Cast(steps, to=found.start.dtype)
        return steps if number(found.start) == 0 else op.Add(steps, found.start)

    def last(self, op: Any, index: int, trips: ir.Value) -> ir.Value:
        """The value of a counter after all iterations."""
        return self.counter(op, index, op.Max(trips, 0))

    def trips(self, op: Any) -> ir.Value | None:
        """How often the body runs at most: int64 of shape (), below 0 for never; None where nothing limits it."""
        if not self.limits:
            return None
        counts = [_trips(op, limit) for limit in self.limits]
        return counts[0] if len(counts) == 1 else op.Min(*counts)

    def surely_runs(self) -> bool:
        """Whether there is at least one iteration."""
        return self.is_counted and all(
            (bound := number(limit.bound)) is not None
            and (start := number(limit.counter.start)) is not None
            and (bound - start) * limit.counter.step > 0
            for limit in self.limits
        )

    def is_length(self, length: ir.Value | None) -> bool:
        """Whether the loop provably makes ``length`` iterations."""
        if not self.is_counted or len(self.limits) != 1 or length is None:
            return False
        (limit,) = self.limits
        plain = limit.counter.step == 1 and number(limit.counter.start) == 0 and not limit.inclusive
        return plain and _same(limit.bound, length)


def counting_of(
    cond: Region, body: Region, initial: Sequence[Bound], reader: Any, within: Mapping[str, Bound]
) -> Counting:
    """What ``body`` counts, and what ``cond`` makes of it."""
    known = {
        region.inputs[k].name: array
        for region in (cond, body)
        for k, value in enumerate(initial)
        if body.is_invariant(k) and (array := constant(value)) is not None
    }
    known |= {name: array for name, value in within.items() if (array := constant(value)) is not None}
    counters = {
        k: Counter(initial[k], step)
        for k in range(len(initial))
        if isinstance(initial[k], ir.Value) and not initial[k].shape and (step := _step(body, k, known))
    }
    fixed = {cond.inputs[k].name: value for k, value in enumerate(initial) if body.is_invariant(k)} | dict(within)
    if assigned(body):
        fixed = {name: value for name, value in fixed.items() if isinstance(value, ir.Value)}
    limits: list[_Limit] = []
    counted = True
    for test in _conjunction(cond.outputs[0], known):
        limit = _limit(test, cond, counters, fixed, reader)
        if limit is None:
            counted = False
        else:
            limits += _apart(limit)
    return Counting(counters, _fewest(limits), counted and bool(limits), known)


def _apart(limit: _Limit) -> list[_Limit]:
    """A limit as several, where its bound is the least of several."""
    if limit.counter.step < 0:
        return [limit]
    return [replace(limit, bound=bound) for bound in _operands(limit.bound, "Min")]


def _fewest(limits: Sequence[_Limit]) -> list[_Limit]:
    """The limits that matter: each once, and none whose bound is at least that of another one."""
    found: list[_Limit] = []
    for limit in limits:
        if not any(_equal(limit, other) for other in found):
            found.append(limit)
    return [limit for limit in found if not any(_implies(other, limit) for other in found if other is not limit)]


def _implies(one: _Limit, other: _Limit) -> bool:
    """Whether the bound of ``other`` is the larger one of something and the bound of ``one``."""
    bounds = _operands(other.bound, "Max") if other.counter.step > 0 else []
    return len(bounds) > 1 and any(_equal(one, replace(other, bound=bound)) for bound in bounds)


def _operands(value: ir.Value, op: str) -> list[ir.Value]:
    """The operands of a Min or a Max of integers, and of those within it; or the value itself."""
    node = _uncast(value).producer()
    if node is None or node.op_type != op:
        return [value]
    return [inner for operand in node.inputs if operand is not None for inner in _operands(operand, op)]


def constant(value: Bound) -> np.ndarray | None:
    """The array of a constant of the model; None for weights, and for what is computed."""
    if isinstance(value, ir.Value) and value.const_value is not None and value.metadata_props.get(ROLE) == "constant":
        return value.const_value.numpy()
    return None


def number(value: ir.Value | None) -> int | None:
    """A constant of one integer."""
    array = constant(value)
    return None if array is None or array.size != 1 or array.dtype.kind not in "iu" else int(array.reshape(()))


def static(tensor: tf.Tensor, known: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """The value of a tensor that hangs on constants only."""
    tensor = origin(tensor)
    if tensor.name in known:
        return known[tensor.name]
    node = tensor.op
    if node.type in ("Placeholder", "PlaceholderV2", "Merge", "Switch", "Enter"):
        return None
    given = [static(operand, known) for operand in node.inputs]
    if any(array is None for array in given) or not is_small(node, given):
        return None
    return computed(node, given)[node.outputs.index(tensor)]


def _step(body: Region, index: int, known: Mapping[str, np.ndarray]) -> int | None:
    """By how much a value grows each time, where that is a fixed number other than 0."""
    if not body.inputs[index].dtype.base_dtype.is_integer or body.inputs[index].shape.rank not in (0, None):
        return None
    node = origin(body.outputs[index]).op
    if node.type not in ("Add", "AddV2", "Sub"):
        return None
    first, second = node.inputs
    if body.position(first) != index:
        if node.type == "Sub" or body.position(second) != index:
            return None
        first, second = second, first
    step = static(second, known)
    if step is None or step.ndim:
        return None
    return -int(step) if node.type == "Sub" else int(step)


def _conjunction(test: tf.Tensor, known: Mapping[str, np.ndarray]) -> Iterator[tf.Tensor]:
    """The tests that must all hold; those that always hold are left out."""
    test = origin(test)
    value = static(test, known)
    if value is not None and bool(value.all()):
        return
    if test.op.type == "LogicalAnd":
        for operand in test.op.inputs:
            yield from _conjunction(operand, known)
        return
    if test.op.type == "LogicalOr":
        open_ones = [operand for operand in test.op.inputs if (v := static(operand, known)) is None or v.any()]
        open_ones = [operand for operand in open_ones if not _never(operand, known)]
        if len(open_ones) == 1:
            yield from _conjunction(open_ones[0], known)
            return
    yield test


def _never(test: tf.Tensor, known: Mapping[str, np.ndarray]) -> bool:
    """Whether a conjunction has a part that never holds."""
    test = origin(test)
    value = static(test, known)
    if value is not None:
        return not value.any()
    return test.op.type == "LogicalAnd" and any(_never(operand, known) for operand in test.op.inputs)


_COMPARISONS = {"Less": (1, False), "LessEqual": (1, True), "Greater": (-1, False), "GreaterEqual": (-1, True)}
"""Which way a counter must go for the comparison to end, and whether the bound may be reached."""


def _limit(
    test: tf.Tensor, cond: Region, counters: Mapping[int, Counter], fixed: Mapping[str, Bound], reader: Any
) -> _Limit | None:
    if test.op.type not in _COMPARISONS:
        return None
    way, inclusive = _COMPARISONS[test.op.type]
    left, right = test.op.inputs
    position = cond.position(left)
    if position not in counters:
        left, right, way = right, left, -way
        position = cond.position(left)
    if position is None or position not in counters or counters[position].step * way <= 0:
        return None
    if right.shape.rank not in (0, None) or not _is_fixed(right, fixed):
        return None
    (bound,) = reader.run(cond.graph, fixed, [right])
    is_scalar = isinstance(bound, ir.Value) and bound.shape is not None and len(bound.shape) == 0
    return _Limit(counters[position], bound, inclusive) if is_scalar else None


def _is_fixed(tensor: tf.Tensor, fixed: Mapping[str, Bound]) -> bool:
    """Whether a tensor is the same in every iteration."""
    if tensor.name in fixed:
        return True
    node = tensor.op
    if node.type in ("Placeholder", "PlaceholderV2", "Merge", "Switch", "Enter", "Exit", "NextIteration"):
        return False
    if node.op_def.is_stateful and node.type != "ReadVariableOp":
        return False
    plain = node.type == "Const" or node.type in IDENTITIES or node.type in _ARITHMETIC
    return plain and all(_is_fixed(t, fixed) for t in node.inputs)


_ARITHMETIC = frozenset(
    {
        *("Add", "AddV2", "Sub", "Mul", "FloorDiv", "FloorMod", "RealDiv", "Maximum", "Minimum", "Neg", "Cast"),
        *("Shape", "Size", "StridedSlice", "GatherV2", "Gather", "Squeeze", "Reshape", "Pack", "ExpandDims"),
        *("Max", "Min", "Sum", "Prod", "TensorListLength", "TensorArraySizeV3", "ReadVariableOp"),
    }
)
"""What a bound may be made of, so that it is the same wherever it is computed."""


def _trips(op: Any, limit: _Limit) -> ir.Value:
    start, step = limit.counter.start, limit.counter.step
    bound = wide(op, limit.bound)
    if step > 0:
        span = bound if number(start) == 0 else op.Sub(bound, wide(op, start))
    else:
        span = op.Sub(wide(op, start), bound)
    extra = int(limit.inclusive) + abs(step) - 1
    span = op.Add(span, extra) if extra else span
    return span if abs(step) == 1 else op.Div(span, abs(step))


def wide(op: Any, value: ir.Value) -> ir.Value:
    """An integer as int64; a constant stays one."""
    fixed = number(value)
    if fixed is not None:
        return op.constant(np.asarray(fixed, np.int64))
    return value if value.dtype == INT64 else op.Cast(value, to=INT64)


def _equal(one: _Limit, other: _Limit) -> bool:
    """Whether two limits make the same number of iterations."""
    return (
        one.inclusive == other.inclusive
        and one.counter.step == other.counter.step
        and _same(one.counter.start, other.counter.start)
        and _same(one.bound, other.bound)
    )


def _same(one: ir.Value, other: ir.Value) -> bool:
    """Whether two integers are surely the same, whatever their element types."""
    one, other = _uncast(one), _uncast(other)
    if one is other:
        return True
    first, second = number(one), number(other)
    return first is not None and first == second


def _uncast(value: ir.Value) -> ir.Value:
    while (node := value.producer()) is not None and node.op_type in ("Cast", "Identity"):
        operand = node.inputs[0]
        if operand is None or operand.dtype is None or not operand.dtype.is_integer():
            break
        value = operand
    return value
