"""Loops as Loop.

What a loop only hands on is captured; a counter is told by the number of the iteration; a loop that only counts has a
number of trips; a list that is written once an iteration, at the counter, is a scan output. The rest is carried.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
import tensorflow as tf

from isthmus.readers.tensorflow.functions import Region, assigned
from isthmus.readers.tensorflow.graph import Context
from isthmus.readers.tensorflow.handles import VariableHandle
from isthmus.readers.tensorflow.ops._counting import INT64, Counting, counting_of, number, wide
from isthmus.readers.tensorflow.ops._flow import (
    Bound,
    all_refused,
    of_tensors,
    refused,
    returned,
    tensors_of,
    typed_like,
)
from isthmus.readers.tensorflow.ops._lists import (
    Element,
    TensorList,
    count,
    fitted,
    is_full,
    merged,
    resized,
    sized,
    written,
)
from isthmus.readers.tensorflow.ops._written import Collected, Replaced, collected, replaced, written_element

Given = Mapping[str, Bound]


@dataclass
class _Loop:
    """A loop that is being read."""

    op: Any
    c: Context
    cond: Region
    body: Region
    initial: list[Bound]
    within: Given
    """What else is bound where the bodies are read, by the name of the tensor."""
    counting: Counting
    collected: Mapping[int, Collected]
    replaced: Mapping[int, Replaced]
    variables: list[ir.Value] = field(default_factory=list)
    """What the variables began with that the body assigns."""
    carried: list[int] = field(default_factory=list)
    shapes: dict[int, list[Any]] = field(default_factory=dict)
    """What is assumed of the shapes of what is carried, where TensorFlow knows no rank."""
    items: dict[int, Element] = field(default_factory=dict)
    """The shapes of what is written into lists, as the body was read."""


def loop(op: Any, c: Context, cond: Region, body: Region, initial: Sequence[Bound], within: Given) -> list[Bound]:
    """What the body makes of ``initial``, applied for as long as ``cond`` holds."""
    if refused(initial):
        return all_refused(len(initial))
    counting = counting_of(cond, body, initial, c.reader, within)
    lists = {k: how for k, how in collected(cond, body, counting).items() if isinstance(initial[k], TensorList)}
    again = {
        k: how
        for k, how in replaced(cond, body, counting.known).items()
        if isinstance(initial[k], TensorList) and (counting.surely_runs() or not is_full(initial[k].element))
    }
    return _read(_Loop(op, c, cond, body, list(initial), within, counting, lists, again))


def _read(own: _Loop) -> list[Bound]:
    op, c, body = own.op, own.c, own.body
    count_of = len(own.initial)
    own.variables = _variables(own)
    own.carried = [
        k
        for k in range(count_of)
        if not body.is_invariant(k)
        and k not in own.collected
        and k not in own.replaced
        and not (own.counting.is_counted and k in own.counting.counters)
    ]
    for k in own.carried:
        own.initial[k] = _carriable(own, k)
    starts = [value for k in own.carried for value in tensors_of(own.initial[k]) or ()]
    starts += [c.reader.state.get(v, v) for v in own.variables]
    trips = own.counting.trips(op)
    first = None if own.counting.is_counted else _holds(own, own.initial)
    if not own.counting.is_counted and refused([first]):
        return all_refused(count_of)
    state, blockers = dict(c.reader.state), dict(c.reader.blockers)
    while True:
        with op.body(op.fresh(f"{op.prefix}/body")) as graph:
            results = _body(own, graph, starts)
        c.reader.state = dict(state)
        if results is None:
            return all_refused(count_of)
        if not _relaxed(own, results):
            break
        c.reader.blockers = dict(blockers)
    outputs: list[ir.Value] = []
    if len(graph.outputs) > 1:
        outer = op.Loop(trips, first, *starts, body=graph, outputs=len(graph.outputs) - 1)
        outputs = list(outer) if isinstance(outer, tuple) else [outer]
    typed_like(outputs, graph.outputs[1:])
    left = outputs[len(starts) - len(own.variables) : len(starts)]
    c.reader.state = state | dict(zip(own.variables, left, strict=True))
    return _results(own, trips, outputs)


def _variables(own: _Loop) -> list[ir.Value]:
    """The variables that the body assigns, as what they began with."""
    found: list[ir.Value] = []
    for k in sorted(assigned(own.body)):
        handle = own.initial[k]
        if not isinstance(handle, VariableHandle):
            own.c.refuse("it changes a resource that is no variable")
        if handle.value not in found:
            found.append(handle.value)
    if assigned(own.cond):
        own.c.refuse("its condition assigns a variable")
    return found


def _carriable(own: _Loop, k: int) -> Bound:
    """What is carried, as tensors that exist before the first iteration."""
    bound = own.initial[k]
    if isinstance(bound, TensorList):
        item = written_element(own.body, k)
        if bound.value is None and merged(bound.element, item) is None:
            item = _tried(own, k)
        bound = sized(own.op, own.c, bound, item)
    if tensors_of(bound) is None:
        own.c.refuse(f"its value {k} is a resource that changes between iterations")
    return bound


def _tried(own: _Loop, k: int) -> Element:
    """The shape of the elements of a list after an iteration, which is read for that alone."""
    op, c = own.op, own.c
    state, blockers = dict(c.reader.state), dict(c.reader.blockers)
    with op.body(op.fresh(f"{op.prefix}/trial")):
        iteration = op.input(f"{op.prefix}/iteration", INT64, ir.Shape([]))
        bound = [
            own.counting.counter(op, i, iteration) if i in own.counting.counters else value
            for i, value in enumerate(own.initial)
        ]
        given = dict(own.within) | {t.name: v for t, v in zip(own.body.inputs, bound, strict=True)}
        (result,) = c.reader.run(own.body.graph, given, [own.body.outputs[k]])
    c.reader.state, c.reader.blockers = state, blockers
    return result.element if isinstance(result, TensorList) else None


def _relaxed(own: _Loop, results: Sequence[Bound]) -> bool:
    """Whether the body gives something of another shape than was assumed; then less is assumed."""
    changed = False
    for k, assumed in own.shapes.items():
        found = results[k].shape if isinstance(results[k], ir.Value) else None
        if found is None or len(found) != len(assumed):
            own.c.refuse(f"its value {k} has another rank after an iteration, or one that is not known")
        kept = [a if a == _dim(f) else None for a, f in zip(assumed, found, strict=True)]
        changed |= kept != assumed
        own.shapes[k] = kept
    return changed


def _dim(dim: Any) -> Any:
    return dim if isinstance(dim, int) else dim.value


def _holds(own: _Loop, values: Sequence[Bound]) -> Bound:
    """The condition, for these values."""
    given = dict(own.within) | {t.name: v for t, v in zip(own.cond.inputs, values, strict=True)}
    (result,) = own.c.reader.run(own.cond.graph, given, own.cond.outputs)
    return own.op.Squeeze(result) if isinstance(result, ir.Value) and _rank(result) != 0 else result


def _rank(value: ir.Value) -> int | None:
    return None if value.shape is None else len(value.shape)


def _body(own: _Loop, graph: ir.Graph, starts: Sequence[ir.Value]) -> list[Bound] | None:
    """Build the body; what it gives for each value of the loop, or None where that could not be read."""
    op, c, body = own.op, own.c, own.body
    iteration = op.input(f"{op.prefix}/iteration", INT64, ir.Shape([]))
    going = op.input(f"{op.prefix}/going", ir.DataType.BOOL, ir.Shape([]))
    inputs = iter([op.input(f"{op.prefix}/carried", value.dtype, None) for value in starts])
    bound: list[Bound] = []
    for k, value in enumerate(own.initial):
        if k in own.counting.counters:
            bound.append(own.counting.counter(op, k, iteration))
            if k in own.carried:
                _shaped(next(inputs), [])
        elif k in own.carried:
            parts = tensors_of(value) or []
            bound.append(of_tensors(value, [_shaped(next(inputs), _dims(own, k, part)) for part in parts]))
        else:
            bound.append(value)
    for variable in own.variables:
        assert variable.shape is not None
        c.reader.state[variable] = _shaped(next(inputs), list(variable.shape))
    wanted = [_wanted(own, k) for k in range(len(body.outputs))]
    given = dict(own.within) | {t.name: v for t, v in zip(body.inputs, bound, strict=True)}
    results = c.reader.run(body.graph, given, wanted)
    if refused(results):
        return None
    own.items = {k: _element(own.collected[k].item, results[k]) for k in own.collected}
    goes = going if own.counting.is_counted else _holds(own, results)
    if refused([goes]):
        return None
    carried = [value for k in own.carried for value in _parts_like(own, k, results[k])]
    carried += [c.reader.state[v] for v in own.variables]
    returned(op, graph, [goes, *carried, *(results[k] for k in own.collected)])
    return results


def _wanted(own: _Loop, k: int) -> tf.Tensor:
    """What is read of the body for a value: of a list that is only written, the item."""
    if k in own.collected:
        return own.collected[k].item
    return own.body.outputs[own.replaced[k].twin if k in own.replaced else k]


def _shaped(value: ir.Value, dims: Sequence[Any]) -> ir.Value:
    value.shape = ir.Shape(dims)
    return value


def _dims(own: _Loop, k: int, part: ir.Value) -> list[Any]:
    """The shape of a carried tensor in every iteration, as TensorFlow knows it."""
    bound = own.initial[k]
    if isinstance(bound, TensorList):
        assert part.shape is not None
        return [] if part is bound.written else [None, *(bound.element or ())]
    static = own.body.inputs[k].shape
    if static.rank is not None:
        pair = [2] if part is not bound else []
        return [*static.as_list(), *pair]
    if part.shape is None:
        own.c.refuse(f"the rank of its value {k} is not known")
    if part is not bound:
        return [None] * len(part.shape)
    return own.shapes.setdefault(k, [_dim(d) for d in part.shape])


def _parts_like(own: _Loop, k: int, result: Bound) -> list[ir.Value]:
    """The tensors of what the body gives, which must be the same kind of thing that it was given."""
    before = own.initial[k]
    if isinstance(before, TensorList) and isinstance(result, TensorList):
        result = sized(own.op, own.c, result, before.element)
        if before.written is not None and result.written is None:
            result = dataclasses.replace(result, written=own.op.constant(np.asarray(True)))
    old, new = tensors_of(before), tensors_of(result)
    if old is None or new is None or len(old) != len(new) or type(before) is not type(result):
        own.c.refuse(f"its value {k} is another kind of thing after an iteration")
    for a, b in zip(old, new, strict=True):
        if _rank(a) is not None and _rank(b) is not None and _rank(a) != _rank(b):
            own.c.refuse(f"its value {k} has another rank after an iteration")
    return new


def _results(own: _Loop, trips: ir.Value | None, outputs: list[ir.Value]) -> list[Bound]:
    """What the loop gives, in the order of its values."""
    op = own.op
    rest = iter(outputs)
    found: dict[int, Bound] = {}
    for k in own.carried:
        parts = tensors_of(own.initial[k]) or []
        found[k] = of_tensors(own.initial[k], [next(rest) for _ in parts])
        if k in own.shapes:
            _shaped(found[k], own.shapes[k])
    for _ in own.variables:
        next(rest)
    for k in own.collected:
        found[k] = _list_of(own, k, next(rest), trips)
    for k, how in own.replaced.items():
        found[k] = _with_last(own, k, how.index, found[how.twin])
    for k, value in enumerate(own.initial):
        if k not in found and trips is not None and k in own.counting.counters:
            found[k] = own.counting.last(op, k, trips)
        found.setdefault(k, value)
    return [found[k] for k in range(len(own.initial))]


def _list_of(own: _Loop, k: int, rows: ir.Value, trips: ir.Value | None) -> TensorList:
    """A list that the loop wrote: what it held before, with the scan output in its place."""
    op, before, how = own.op, own.initial[k], own.collected[k]
    element = merged(before.element, own.items[k])
    if element is None:
        own.c.refuse("the rank of the elements of its list is not known")
    rows.shape = ir.Shape([None, *element])
    held = dataclasses.replace(before, value=rows, element=element, length=None, written=None)
    start = count(op, before) if how.counter is None else how.counter.start
    backward = how.counter is not None and how.counter.step < 0
    if number(start) == 0 and not backward:
        if own.counting.is_length(before.length) or (how.grows and number(before.length) == 0):
            return held
        if before.value is None:
            size = count(op, before)
            return resized(op, held, op.Max(size, count(op, held)) if how.grows else size)
    before = fitted(op, own.c, before, op.Shape(rows, start=1), element)
    if how.counter is not None and not how.grows:
        rows = rows if is_full(element) else _of_size(op, rows, before.value)
        rounds = op.Range(0, op.Squeeze(op.Shape(rows, start=0, end=1), [0]), 1)
        places = op.Add(op.Neg(rounds) if backward else rounds, wide(op, start))
        value = _shaped(op.ScatterND(before.value, op.Unsqueeze(places, [1]), rows), [None, *element])
        return dataclasses.replace(held, value=value)
    first = op.Unsqueeze(op.Cast(start, to=INT64), [0])
    after = op.Add(first, op.Shape(rows, start=0, end=1))
    if backward:
        first, after = op.Add(op.Sub(first, op.Shape(rows, start=0, end=1)), 1), op.Add(first, 1)
        rows = op.Slice(rows, [-1], [np.iinfo(np.int64).min], [0], [-1])
    head = op.Slice(before.value, [0], first, [0])
    tail = op.Slice(before.value, after, [np.iinfo(np.int64).max], [0])
    return dataclasses.replace(held, value=op.Concat(head, rows, tail, axis=0))


def _of_size(op: Any, rows: ir.Value, like: Any) -> ir.Value:
    """Rows whose free axes are those of ``like`` even where there are none: ONNX Runtime gives such a size 0."""
    return op.Slice(op.Concat(op.Slice(like, [0], [1], [0]), rows, axis=0), [1], [np.iinfo(np.int64).max], [0])


def _with_last(own: _Loop, k: int, index: int, item: ir.Value) -> TensorList:
    """A list whose element ``index`` is the last one that the loop wrote.

    Without an iteration nothing is written, and TensorFlow cannot give elements of a shape that is not known.
    """
    op, before = own.op, own.initial[k]
    element = merged(before.element, _element(own.body.outputs[own.replaced[k].twin], item))
    if before.value is None and number(before.length) == 1 and index == 0 and element is not None:
        only = _shaped(op.Unsqueeze(item, [0]), [1, *element])
        return dataclasses.replace(before, value=only, element=element, length=None)
    return written(op, own.c, before, op.constant(np.asarray(index)), item, element)


def _element(item: tf.Tensor, value: Bound) -> Element:
    """The shape of what is written, by what TensorFlow knows and by what it was read as."""
    known = None if item.shape.rank is None else tuple(item.shape.as_list())
    ours = value.shape if isinstance(value, ir.Value) else None
    return merged(known, None if ours is None else tuple(d if isinstance(d, int) else None for d in ours))
