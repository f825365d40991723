"""A choice between functions as If."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from isthmus.readers.tensorflow.functions import Region
from isthmus.readers.tensorflow.graph import Context
from isthmus.readers.tensorflow.ops._flow import (
    Bound,
    all_refused,
    common_shape,
    of_tensors,
    refused,
    returned,
    tensors_of,
    typed_like,
)
from isthmus.readers.tensorflow.ops._lists import TensorList, merged, sized

Option = tuple[Region, Mapping[str, Bound]]
"""A region, and what its tensors are bound to."""


@dataclasses.dataclass(frozen=True)
class _Branch:
    """A branch that was read: its graph, what it gives, and what the variables hold after it."""

    graph: ir.Graph
    results: list[Bound]
    state: dict[ir.Value, ir.Value]


def choose(op: Any, c: Context, tests: Sequence[ir.Value], options: Sequence[Option]) -> list[Bound]:
    """What the first option gives whose test is true, or the last one, which has no test.

    A variable that an option assigns holds afterwards what the option taken left in it.
    """
    if len(options) == 1:
        region, given = options[0]
        return list(c.reader.run(region.graph, given, region.outputs))
    before = dict(c.reader.state)
    first = _read(op, c, "then_branch", tests[:0], options[:1])
    second = _read(op, c, "else_branch", tests[1:], options[1:])
    if refused((*first.results, *second.results)):
        return all_refused(len(first.results))
    changed = [v for v in {**first.state, **second.state} if _held(first, v) is not _held(second, v)]
    wanted = [_aligned(op, c, first, second, a, b) for a, b in zip(first.results, second.results, strict=True)]
    wanted += [(_held(first, v), _held(second, v)) for v in changed]
    made = _made(op, c, tests[0], first, second, wanted)
    c.reader.state = before | dict(zip(changed, made[len(first.results) :], strict=True))
    return made[: len(first.results)]


def _read(op: Any, c: Context, name: str, tests: Sequence[ir.Value], options: Sequence[Option]) -> _Branch:
    before = dict(c.reader.state)
    with op.body(op.fresh(f"{op.prefix}/{name}")) as graph:
        results = choose(op, c, tests, options)
    after, c.reader.state = c.reader.state, before
    return _Branch(graph, results, after)


def _held(branch: _Branch, variable: ir.Value) -> ir.Value:
    return branch.state.get(variable, variable)


def _aligned(op: Any, c: Context, first: _Branch, second: _Branch, a: Bound, b: Bound) -> tuple[Bound, Bound]:
    """The two results as things made of equally many tensors."""
    if not isinstance(a, TensorList) or not isinstance(b, TensorList) or a is b:
        return a, b
    element = merged(a.element, b.element)
    with op.within(first.graph):
        a = sized(op, c, a, element)
    with op.within(second.graph):
        b = sized(op, c, b, element)
    if (a.written is None) != (b.written is None):
        sure = op.constant(np.asarray(True))
        a, b = (dataclasses.replace(one, written=one.written or sure) for one in (a, b))
    return dataclasses.replace(a, element=element), dataclasses.replace(b, element=element)


def _made(
    op: Any, c: Context, test: ir.Value, first: _Branch, second: _Branch, wanted: Sequence[tuple[Bound, Bound]]
) -> list[Bound]:
    """The If, and what it gives. What is the same thing in both branches does not pass through it."""
    apart = [(a, b) for a, b in wanted if a is not b]
    pairs = [(tensors_of(a), tensors_of(b)) for a, b in apart]
    if any(x is None or y is None or len(x) != len(y) for x, y in pairs):
        c.refuse("its branches give different resources")
    inner = [(x, y) for own, other in pairs for x, y in zip(own or (), other or (), strict=True)]
    if not inner:
        return [a for a, _ in wanted]
    with op.within(first.graph):
        returned(op, first.graph, [x for x, _ in inner])
    with op.within(second.graph):
        returned(op, second.graph, [y for _, y in inner])
    outputs = op.If(test, then_branch=first.graph, else_branch=second.graph, outputs=len(inner))
    outputs = [outputs] if len(inner) == 1 else list(outputs)
    typed_like(outputs, [x for x, _ in inner])
    for output, (x, y) in zip(outputs, inner, strict=True):
        output.shape = common_shape(x, y)
    rest = iter(outputs)
    return [a if a is b else of_tensors(a, [next(rest) for _ in tensors_of(a) or ()]) for a, b in wanted]
