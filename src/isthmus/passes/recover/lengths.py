"""Loops over sequences of several lengths: behind its end, a sequence keeps its states and gives zeros."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from isthmus.passes.dims import Entry
from isthmus.passes.edit import Editor, attribute, dims, graph_of, known, replace
from isthmus.passes.recover.match import is_zero, made_by, operands, plain, scalar
from isthmus.passes.recover.prefixes import COMPARED, prefix_of


@dataclass(frozen=True)
class Lengths:
    """How long each sequence of the batch is, and what a step gives for those that have not ended."""

    value: ir.Value
    results: tuple[ir.Value, ...]
    kept: tuple[ir.Value, ...]
    """What it gives instead for those that have: a state as it was, or zeros."""


def lengths_of(body: ir.Graph, results: Sequence[ir.Value], carried: int) -> Lengths | None:
    """The lengths by which every result of a loop's body is chosen: the states first, ``carried`` of them."""
    lengths, new, old = None, [], []
    for k, result in enumerate(results):
        found = _chosen(result, body)
        if found is None or (lengths is not None and found[0] is not lengths):
            return None
        lengths, kept, inner = found
        if kept is not body.inputs[2 + k] if k < carried else not (is_zero(kept) or kept in body.inputs[2:]):
            return None
        new.append(plain(inner))
        old.append(kept)
    return None if lengths is None else Lengths(lengths, tuple(new), tuple(old))


def is_longest(trips: ir.Value | None, lengths: ir.Value, entries: dict[ir.Value, list[Entry]], steps: Entry) -> bool:
    """Whether a loop runs until the last sequence ends, or for all ``steps``: min(steps, max(…, max(lengths)))."""
    node = made_by(_uncast(trips), "Min")
    bounds = [_uncast(value) for value in node.inputs] if node is not None else []
    if len(bounds) != 2:
        return False
    for whole, longest in (bounds, bounds[::-1]):
        if longest is None or not _is_number(whole, steps, entries):
            continue
        least = [other for own, other in operands(longest, "Max") if scalar(own) in (0.0, 1.0)]
        reduced = made_by(_uncast(least[0]) if least else longest, "ReduceMax")
        if reduced is not None and _uncast(reduced.inputs[0]) is _uncast(lengths):
            return True
    return False


def lengths_within(edit: Editor, node: ir.Node, lengths: ir.Value, sequence: ir.Value) -> ir.Value:
    """The lengths as ONNX's layers take them: int32, none below 0, none above the number of steps."""
    shape = dims(lengths)
    dtype = ir.DataType.INT32
    if lengths.dtype != dtype:
        lengths = edit.before(node, "Cast", [lengths], {"to": int(dtype)}, dtype=dtype, shape=shape)
    sizes = edit.before(node, "Shape", [sequence], {"start": 0, "end": 1}, dtype=ir.DataType.INT64, shape=[1])
    most = edit.before(node, "Cast", [sizes], {"to": int(dtype)}, dtype=dtype, shape=[1])
    zero = edit.constant(np.asarray(0, np.int32), "no_step")
    return edit.before(node, "Min", [edit.before(node, "Max", [lengths, zero], shape=shape), most], shape=shape)


def replace_rows(
    edit: Editor, node: ir.Node, rows: ir.Value, whole: ir.Value, entries: dict[ir.Value, list[Entry]]
) -> None:
    """Use ``whole``, of all steps, for ``rows``, of the steps that the loop made.

    Zeros that were added up to all steps are there already; what else sees the rows is given as many as there were.
    """
    steps = (dims(whole) or (None,))[0]
    for user, index in list(rows.uses()):
        if index == 0 and _pads_to(user, rows, entries, steps):
            replace(user.outputs[0], whole)
            graph_of(user).remove(user, safe=True)
    if not rows.uses() and not rows.is_graph_output():
        return
    trips = node.inputs[0]
    end = edit.before(node, "Unsqueeze", [trips, edit.ints([0], "axis")], dtype=ir.DataType.INT64, shape=[1])
    first = edit.ints([0], "first")
    shape = [None, *(dims(whole) or ())[1:]]
    replace(rows, edit.before(node, "Slice", [whole, first, end, first], shape=shape))


def _pads_to(user: ir.Node, rows: ir.Value, entries: dict[ir.Value, list[Entry]], steps: Entry) -> bool:
    """Whether a node adds zeros behind the rows until there are ``steps``."""
    if user.op_type != "Pad" or user.domain or attribute(user, "mode", "constant") != "constant":
        return False
    if len(user.inputs) > 2 and user.inputs[2] is not None:
        return False
    pads = made_by(user.inputs[1], "Concat")
    rank = len(dims(rows) or ())
    if pads is None or len(pads.inputs) != 3 or not rank:
        return False
    before, more, after = pads.inputs
    sizes = [known(before), known(after)]
    none = [
        array is not None and array.shape == (count,) and not array.any()
        for array, count in zip(sizes, (rank, rank - 1), strict=True)
    ]
    added = made_by(more, "Unsqueeze")
    difference = None if added is None else made_by(added.inputs[0], "Sub")
    if not all(none) or difference is None:
        return False
    size = made_by(difference.inputs[1], "Squeeze")
    shape = None if size is None else made_by(size.inputs[0], "Shape")
    own = shape is not None and shape.inputs[0] is rows and attribute(shape, "end") == 1
    return own and _is_number(difference.inputs[0], steps, entries)


def _is_number(value: ir.Value | None, size: Entry, entries: dict[ir.Value, list[Entry]]) -> bool:
    """Whether a number of steps is ``size``: a known number, or a free dimension."""
    array = known(value)
    if array is not None:
        return array.size == 1 and int(array.reshape(())) == size
    return value is not None and size is not None and entries.get(value) == [size]


def _chosen(value: ir.Value, body: ir.Graph) -> tuple[ir.Value, ir.Value, ir.Value] | None:
    """(lengths, kept, new) where a value is ``new`` for the sequences that have not ended, else ``kept``."""
    node = made_by(value, "Where")
    if node is None or None in node.inputs:
        return None
    test, first, second = node.inputs
    ended = _ended(_unspread(test), body)
    if ended is None or first is None or second is None:
        return None
    lengths, is_ended = ended
    return (lengths, first, second) if is_ended else (lengths, second, first)


def _unspread(test: ir.Value | None) -> ir.Value | None:
    """A test for each sequence, behind what gives it the shape of a state."""
    while (node := made_by(test, "Unsqueeze", "Expand", "Tile", "Identity")) is not None:
        axes = known(node.inputs[1]) if node.op_type == "Unsqueeze" else None
        if node.op_type == "Unsqueeze" and (axes is None or axes.reshape(-1).tolist() not in ([1], [-1])):
            return None
        if node.op_type in ("Expand", "Tile") and (dims(node.inputs[0]) or ())[1:] != (1,):
            return None
        test = node.inputs[0]
    return test


def _ended(test: ir.Value | None, body: ir.Graph) -> tuple[ir.Value, bool] | None:
    """The lengths that the number of the step is compared with, and whether the test holds behind the end."""
    node = made_by(test, "Not")
    if node is not None:
        inner = _ended(node.inputs[0], body)
        return None if inner is None else (inner[0], not inner[1])
    node = made_by(test, *COMPARED)
    taken = made_by(test, "Gather")
    if node is not None:
        holds, is_turned = COMPARED[node.op_type]
        lengths, step = node.inputs if is_turned else node.inputs[::-1]
    elif taken is not None and attribute(taken, "axis", 0) == 0:
        lengths, holds = prefix_of(taken.inputs[0]) or (None, False)
        step = taken.inputs[1]
    else:
        return None
    if lengths is None or _uncast(step) is not body.inputs[0] or len(dims(lengths) or ()) != 1:
        return None
    if lengths.dtype is None or not lengths.dtype.is_integer():
        return None
    maker = lengths.producer()
    inside = lengths in body.inputs if maker is None else maker.graph is body
    return None if inside else (lengths, holds)


def _uncast(value: ir.Value | None) -> ir.Value | None:
    while (node := made_by(value, "Cast", "Identity")) is not None:
        value = node.inputs[0]
    return value


def held_rows(edit: Editor, node: ir.Node, rows: ir.Value, last: ir.Value, lengths: ir.Value) -> ir.Value:
    """Rows [time, batch, size] that repeat the last one behind the end of a sequence, instead of zeros.

    ``last`` are the last ones, [1, batch, size].
    """
    steps, batch, _ = dims(rows) or (None,) * 3
    axes = edit.ints([0], "axis")
    sizes = edit.before(node, "Shape", [rows], {"start": 0, "end": 1}, dtype=ir.DataType.INT64, shape=[1])
    count = edit.before(node, "Squeeze", [sizes, axes], shape=[])
    bounds = [edit.constant(np.asarray(number, np.int64), "step") for number in (0, 1)]
    each = edit.before(node, "Range", [bounds[0], count, bounds[1]], dtype=ir.DataType.INT64, shape=[steps])
    each = edit.before(node, "Unsqueeze", [each, edit.ints([1, 2], "axes")], shape=[steps, 1, 1])
    wide = edit.before(
        node, "Cast", [lengths], {"to": int(ir.DataType.INT64)}, dtype=ir.DataType.INT64, shape=[batch]
    )
    ends = edit.before(node, "Unsqueeze", [wide, edit.ints([0, 2], "axes")], shape=[1, batch, 1])
    runs = edit.before(node, "Less", [each, ends], dtype=ir.DataType.BOOL, shape=[steps, batch, 1])
    return edit.before(node, "Where", [runs, rows, last], dtype=rows.dtype, shape=dims(rows))
