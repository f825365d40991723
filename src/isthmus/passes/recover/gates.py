"""The gates of a recurrent cell, however their weights are joined or split: sums of products and biases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from isthmus.hub.model import ONNX
from isthmus.hub.upgrades.base import shape_of
from isthmus.passes.edit import attribute, dims, known
from isthmus.passes.recover.match import is_weight, made_by, scalar


@dataclass(frozen=True)
class Columns:
    """Columns ``start`` to ``stop`` of a weight; of its row ``row`` alone, as a vector, where that is given.

    ``is_turned`` where the weight is the other way round, and these are its rows.
    """

    weight: ir.Value
    start: int
    stop: int
    row: int | None = None
    is_turned: bool = False


@dataclass(frozen=True)
class Term:
    """A summand of a gate: the product of ``factor`` with columns of a weight, or a bias where there is no factor.

    ``is_diagonal`` where the product is element by element, and the weight a vector.
    """

    columns: Columns
    factor: ir.Value | None = None
    is_diagonal: bool = False


Gate = frozenset[Term]
Range = tuple[int, int] | None
"""Which part of the last axis is meant; None for all of it."""


def gate_of(value: ir.Value | None, part: Range = None) -> Gate | None:
    """The summands of a value of shape [batch, units], or of a part of it; None where it is no sum of products and
    biases."""
    terms = _terms(value, part)
    return None if terms is None or len(set(terms)) < len(terms) else frozenset(terms)


def _terms(value: ir.Value | None, part: Range) -> list[Term] | None:
    if value is None:
        return None
    columns = _columns(value, part)
    if columns is not None:
        return [Term(columns)] if columns.row is not None or len(dims(columns.weight) or ()) == 1 else None
    node = value.producer()
    if node is None or node.domain != ONNX:
        return None
    match node.op_type:
        case "Add":
            width = (dims(value) or (None,))[-1]
            both = [_terms(_spread(operand, width), part) for operand in node.inputs]
            return None if any(terms is None for terms in both) else [t for terms in both if terms for t in terms]
        case "MatMul":
            weight = _columns(node.inputs[1], part)
            factor = node.inputs[0]
            if weight is None or weight.row is not None or factor is None or len(dims(weight.weight) or ()) != 2:
                return None
            joined = _joined(weight, factor)
            return [Term(weight, factor)] if joined is None else joined
        case "Mul" if part is None:
            return _diagonal(*node.inputs)
        case "Identity":
            return _terms(node.inputs[0], part)
    inner = narrowed(node, value, part)
    return None if inner is None else _terms(node.inputs[0], inner)


def _diagonal(first: ir.Value | None, second: ir.Value | None) -> list[Term] | None:
    """The product of a factor with a vector of as many weights as it has units."""
    for factor, vector in ((first, second), (second, first)):
        weight = _columns(vector, None)
        shape = dims(factor)
        if weight is None or factor is None or shape is None or len(shape) != 2 or len(dims(vector) or ()) != 1:
            continue
        if shape[1] == weight.stop - weight.start:
            return [Term(weight, factor, is_diagonal=True)]
    return None


def _spread(value: ir.Value | None, width: int | str | None) -> ir.Value | None:
    """A constant number as the bias that it is to all units."""
    number = scalar(value)
    if number is None or value is None or value.dtype is None or not isinstance(width, int):
        return value
    return _apart(value, ir.tensor(np.full(width, number, value.dtype.numpy())))


def _joined(weight: Columns, factor: ir.Value) -> list[Term] | None:
    """The products of several factors that are joined, each with its own rows of the weight."""
    node = None if weight.is_turned else made_by(factor, "Concat")
    parts = [] if node is None else [part for part in node.inputs if part is not None]
    sizes = [(dims(part) or (None,))[-1] for part in parts]
    known_sizes = [size for size in sizes if isinstance(size, int)]
    if node is None or attribute(node, "axis") not in (1, -1) or len(known_sizes) < len(sizes):
        return None
    terms, first = [], 0
    for part, size in zip(parts, known_sizes, strict=True):
        rows = _rows(weight.weight, first, first + size)
        terms.append(Term(replace(weight, weight=rows), part))
        first += size
    return terms


def _rows(weight: ir.Value, first: int, last: int) -> ir.Value:
    tensor = weight.const_value
    assert tensor is not None and weight.dtype is not None
    shape = ir.Shape([last - first, int(tensor.shape.numpy()[1])])
    made = ir.LazyTensor(lambda: ir.tensor(tensor.numpy()[first:last]), dtype=weight.dtype, shape=shape)
    return _apart(weight, made)


def _apart(source: ir.Value, tensor: ir.TensorProtocol) -> ir.Value:
    """Weights made of what the source joins; no part of the model."""
    made = ir.Value(name=source.name, type=source.type, shape=shape_of(tensor), const_value=tensor)
    made.metadata_props.update(source.metadata_props)
    return made


def _columns(value: ir.Value | None, part: Range) -> Columns | None:
    """Which columns of which weight a value is."""
    shape = dims(value)
    if value is None or shape is None or not shape or not isinstance(shape[-1], int):
        return None
    if is_weight(value):
        start, stop = part or (0, shape[-1])
        return Columns(value, start, stop)
    node = value.producer()
    if node is None or node.domain != ONNX:
        return None
    if len(shape) == 1 and (row := _row(node)) is not None:
        weight, number = row
        start, stop = part or (0, shape[-1])
        return Columns(weight, start, stop, number)
    if node.op_type == "Identity":
        return _columns(node.inputs[0], part)
    if node.op_type == "Transpose" and tuple(attribute(node, "perm") or ()) == (1, 0):
        start, stop = part or (0, shape[-1])
        return _turned(node.inputs[0], (start, stop))
    if node.op_type == "Concat" and attribute(node, "axis") in (-1, len(shape) - 1):
        return None if part is None else _piece(node, part, _columns, -1)
    inner = narrowed(node, value, part)
    return None if inner is None else _columns(node.inputs[0], inner)


def _turned(value: ir.Value | None, part: Range) -> Columns | None:
    """Which rows of which weight these rows of a matrix are."""
    shape = dims(value)
    if value is None or shape is None or len(shape) != 2 or part is None:
        return None
    if is_weight(value):
        return Columns(value, *part, is_turned=True)
    node = made_by(value, "Concat", "Split", "Slice", "Identity")
    if node is None:
        return None
    if node.op_type == "Identity":
        return _turned(node.inputs[0], part)
    if node.op_type == "Concat":
        return _piece(node, part, _turned, 0) if attribute(node, "axis") in (0, -2) else None
    return _turned(node.inputs[0], narrowed(node, value, part, axis=0))


def _piece(
    node: ir.Node, part: tuple[int, int], find: Callable[[ir.Value | None, Range], Columns | None], axis: int
) -> Columns | None:
    """The part of what a Concat joins along ``axis``, where it lies within one of its operands."""
    before = 0
    for operand in node.inputs:
        size = (dims(operand) or (None,))[axis]
        if not isinstance(size, int):
            return None
        if before <= part[0] and part[1] <= before + size:
            return find(operand, (part[0] - before, part[1] - before))
        before += size
    return None


def _row(node: ir.Node) -> tuple[ir.Value, int] | None:
    """A weight and the number of its row, where a node gives that row as a vector."""
    source = node.inputs[0] if node.inputs else None
    if node.op_type == "Gather" and attribute(node, "axis", 0) == 0 and is_weight(source) and source is not None:
        index = known(node.inputs[1])
        rows = (dims(source) or (None,))[0]
        if index is not None and index.ndim == 0 and isinstance(rows, int):
            return source, int(index) % rows
    if node.op_type not in ("Squeeze", "Reshape") or len(dims(source) or ()) != 2 or (dims(source) or (0,))[0] != 1:
        return None
    split = made_by(source, "Split")
    if split is not None and attribute(split, "axis", 0) == 0 and is_weight(split.inputs[0]):
        rows = (dims(split.inputs[0]) or (None,))[0]
        if rows == len(split.outputs) and split.inputs[0] is not None:
            return split.inputs[0], next(i for i, out in enumerate(split.outputs) if out is source)
    cut = made_by(source, "Slice")
    if cut is not None and is_weight(cut.inputs[0]) and cut.inputs[0] is not None:
        bounds = _bounds(cut)
        if bounds is not None and bounds[2] == 0 and bounds[1] - bounds[0] == 1:
            return cut.inputs[0], bounds[0]
    return None


def narrowed(node: ir.Node, value: ir.Value, part: Range, axis: int = -1) -> Range:
    """The part of an axis, the last one, of the node's operand that ``part`` of its output ``value`` is."""
    shape, given = dims(value), dims(node.inputs[0]) if node.inputs else None
    if shape is None or given is None or len(shape) != len(given):
        return None
    size = shape[axis]
    if not isinstance(size, int):
        return None
    start, stop = part or (0, size)
    last = axis % len(shape)
    if node.op_type == "Split" and attribute(node, "axis", 0) % len(shape) == last:
        before = 0
        for out in node.outputs:
            if out is value:
                return before + start, before + stop
            width = (dims(out) or (None,) * len(shape))[axis]
            if not isinstance(width, int):
                return None
            before += width
    if node.op_type == "Slice":
        bounds = _bounds(node)
        if bounds is not None and bounds[2] == last:
            return bounds[0] + start, bounds[0] + stop
    return None


def _bounds(node: ir.Node) -> tuple[int, int, int] | None:
    """Start, stop and axis of a Slice that cuts one axis only, in steps of 1."""
    given = dims(node.inputs[0])
    arrays = [known(v) for v in node.inputs[1:]]
    if given is None or any(a is None for a in arrays) or len(arrays) < 2:
        return None
    lists = [a.reshape(-1).tolist() for a in arrays if a is not None]
    starts, ends = lists[:2]
    axes = lists[2] if len(lists) > 2 else list(range(len(starts)))
    steps = lists[3] if len(lists) > 3 else [1] * len(starts)
    cuts = []
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = given[axis % len(given)]
        if step != 1:
            return None
        if start == 0 and end >= np.iinfo(np.int32).max:
            continue
        if not isinstance(size, int):
            return None
        first, last, _ = slice(start, end).indices(size)
        if (first, last) != (0, size):
            cuts.append((first, last, axis % len(given)))
    return cuts[0] if len(cuts) == 1 else None


def split_gate(gate: Gate, units: int) -> tuple[dict[ir.Value, Columns], list[Columns]] | None:
    """A gate as weight by factor, and biases; None where a part is not ``units`` wide, or a factor comes twice.

    None as well where a factor is multiplied element by element: see :func:`peephole_of`.
    """
    products: dict[ir.Value, Columns] = {}
    biases: list[Columns] = []
    for term in gate:
        if term.columns.stop - term.columns.start != units or (term.factor is not None and term.factor in products):
            return None
        if term.is_diagonal:
            return None
        if term.factor is None:
            biases.append(term.columns)
        else:
            products[term.factor] = term.columns
    return products, biases


def peephole_of(gate: Gate, cell: ir.Value | None) -> tuple[Gate, Columns | None]:
    """A gate without its product with ``cell`` element by element, and the weights of that where it has one."""
    found = [term for term in gate if term.is_diagonal and term.factor is cell]
    return (gate - {found[0]}, found[0].columns) if len(found) == 1 else (gate, None)


def joined(parts: Sequence[Columns]) -> list[Columns]:
    """Parts in their order; those of one weight that follow one another as one."""
    found: list[Columns] = []
    for part in parts:
        before = found[-1] if found else None
        if before is not None and (before.weight, before.row, before.stop) == (part.weight, part.row, part.start):
            found[-1] = replace(before, stop=part.stop)
        else:
            found.append(part)
    return found
