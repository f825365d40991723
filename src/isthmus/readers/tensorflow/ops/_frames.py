"""Loops and choices of TensorFlow 1 as Loop and If."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from isthmus.readers.tensorflow.frames import Choice, Frame
from isthmus.readers.tensorflow.graph import Context
from isthmus.readers.tensorflow.ops._choice import Option, choose
from isthmus.readers.tensorflow.ops._flow import Bound
from isthmus.readers.tensorflow.ops._loops import loop


def read_part(op: Any, c: Context, part: Frame | Choice, bound: Mapping[str, Bound]) -> list[Bound]:
    """What a loop or a choice gives, where its inputs are bound."""
    return _loop(op, c, part, bound) if isinstance(part, Frame) else _choice(op, c, part, bound)


def _loop(op: Any, c: Context, frame: Frame, bound: Mapping[str, Bound]) -> list[Bound]:
    if frame.effects:
        c.refuse(f"its loop changes a resource: {frame.effects[0].name}")
    within = {enter.outputs[0].name: bound[enter.inputs[0].name] for enter in frame.constants}
    results = loop(op, c, frame.cond, frame.body, [bound[t.name] for t in frame.initial], within)
    return [results[k] for _, k in frame.exits]


def _choice(op: Any, c: Context, choice: Choice, bound: Mapping[str, Bound]) -> list[Bound]:
    test = bound[choice.test.name]
    options = [_option(choice, place, bound) for place in range(len(choice.branches))]
    known = c.reader.known(choice.test, test)
    if known is not None:
        taken = _taken(int(known.reshape(())), choice)
        region, given = options[taken]
        results = c.reader.run(region.graph, given, region.outputs)
        number = op.constant(np.asarray(taken, np.int32))
    else:
        tests = [op.Equal(test, k) for k in range(len(options) - 1)] if choice.by_number else [test]
        ordered = options if choice.by_number else options[::-1]
        results = choose(op, c, tests, ordered)
        number = None
    return [one for k, merge in enumerate(choice.merges) for one in (results[k], _number(op, c, merge, number))]


def _option(choice: Choice, place: int, bound: Mapping[str, Bound]) -> Option:
    passed = {switch.outputs[place].name: bound[switch.inputs[0].name] for switch in choice.switches}
    return choice.branches[place], dict(bound) | passed


def _taken(value: int, choice: Choice) -> int:
    last = len(choice.branches) - 1
    return value if 0 <= value <= last else last


def _number(op: Any, c: Context, merge: Any, number: Bound) -> Bound:
    """Which of a Merge's inputs came."""
    if not merge.outputs[1].consumers():
        return number
    return number if number is not None else c.refuse("what it tells of which branch was taken is used")
