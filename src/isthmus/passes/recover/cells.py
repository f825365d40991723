"""Recurrent cells, recognised by what they compute: LSTM, GRU and the simple one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import onnx_ir as ir

from isthmus.hub.model import ONNX
from isthmus.passes.edit import attribute, dims
from isthmus.passes.recover.gates import Columns, Gate, Range, gate_of, narrowed, peephole_of, split_gate
from isthmus.passes.recover.match import made_by, operands, scalar


@dataclass(frozen=True)
class Activation:
    """An activation function as ONNX's recurrent operators name it."""

    name: str
    alpha: float | None = None
    beta: float | None = None


@dataclass(frozen=True)
class Cell:
    """A cell as ONNX has it. A gate's weights stand in ONNX's order: i o f c, z r h, or one.

    ``input_biases`` and ``state_biases`` hold None for a gate without one.
    """

    kind: str
    units: int
    inputs: tuple[Columns, ...]
    recurrent: tuple[Columns, ...]
    input_biases: tuple[Columns | None, ...]
    state_biases: tuple[Columns | None, ...]
    activations: tuple[Activation, ...]
    linear_before_reset: bool = False
    hidden: int = 0
    """Which of the values that are carried is the output; an LSTM's other one is its cell."""
    peepholes: tuple[Columns | None, ...] = ()
    """An LSTM's weights by which its gates i o f see its cell; empty where none does."""


@dataclass(frozen=True)
class Step:
    """What a loop does in one iteration: ``x`` is this step's input, ``states`` what it carries."""

    x: ir.Value
    states: Sequence[ir.Value]
    results: Sequence[ir.Value]


_PLAIN: Mapping[str, tuple[float | None, float | None]] = MappingProxyType(
    {
        "Sigmoid": (None, None),
        "Tanh": (None, None),
        "Relu": (None, None),
        "Softsign": (None, None),
        "Softplus": (None, None),
        "HardSigmoid": (0.2, 0.5),
        "Elu": (1.0, None),
        "LeakyRelu": (0.01, None),
        "ThresholdedRelu": (1.0, None),
    }
)
"""Activations that ONNX's recurrent operators know, with the defaults of the operators of the same name."""


def activated(value: ir.Value | None) -> tuple[Activation, ir.Value, Range] | None:
    """The activation that made a value, and of which part of what; what no known activation made is its own."""
    if value is None:
        return None
    whole, part = _uncut(value)
    node = whole.producer()
    if node is None or node.domain != ONNX or node.op_type not in _PLAIN or node.inputs[0] is None:
        return Activation("Affine", 1.0, 0.0), value, None
    alpha, beta = _PLAIN[node.op_type]
    found = Activation(
        node.op_type,
        None if alpha is None else float(attribute(node, "alpha", alpha)),
        None if beta is None else float(attribute(node, "beta", beta)),
    )
    return found, node.inputs[0], part


def _uncut(value: ir.Value) -> tuple[ir.Value, Range]:
    """What a value is cut out of along the last axis, and which part of that it is."""
    whole, part = value, None
    while (node := made_by(whole, "Split", "Slice")) is not None and node.inputs[0] is not None:
        inner = narrowed(node, whole, part)
        if inner is None:
            break
        whole, part = node.inputs[0], inner
    return whole, part


def cell_of(step: Step) -> Cell | str:
    """The cell that a step computes, or why it is none that ONNX has."""
    if len(step.states) == 2 and len(step.results) == 2:
        for hidden in (0, 1):
            found = _lstm(step, hidden)
            if found is not None:
                return found
        return "what it carries is no LSTM's"
    if len(step.states) == 1:
        return _gru(step) or _simple(step) or "what it carries is no GRU's or simple cell's"
    return f"it carries {len(step.states)} values"


@dataclass(frozen=True)
class _Part:
    """A gate: its weights and biases, and its activation."""

    x: Columns
    h: Columns
    biases: tuple[Columns, ...]
    activation: Activation
    peephole: Columns | None = None


def _part(value: ir.Value | None, x: ir.Value, h: ir.Value, units: int, seen: ir.Value | None = None) -> _Part | None:
    """The gate whose activation a value is: f(x · W + h · R + b), or f(x · W + h · R + p ⊙ seen + b)."""
    found = activated(value)
    gate = None if found is None else gate_of(found[1], found[2])
    if found is None or gate is None:
        return None
    gate, peephole = (gate, None) if seen is None else peephole_of(gate, seen)
    parts = split_gate(gate, units)
    if parts is None or set(parts[0]) != {x, h} or len(parts[1]) > 2:
        return None
    products, biases = parts
    return _Part(products[x], products[h], tuple(biases), found[0], peephole)


def _units(state: ir.Value) -> int | None:
    shape = dims(state)
    return shape[-1] if shape is not None and len(shape) == 2 and isinstance(shape[-1], int) else None


def _lstm(step: Step, hidden: int) -> Cell | None:
    """h' = o · f(c'),  c' = forget · c + i · g, where i and forget may see c, and o may see c'."""
    h, c = step.states[hidden], step.states[1 - hidden]
    new_h, new_c = step.results[hidden], step.results[1 - hidden]
    units = _units(h)
    if units is None or _units(c) != units:
        return None
    for out, bent in operands(new_h, "Mul"):
        last = activated(bent)
        if last is None or last[1] is not new_c or last[2] is not None:
            continue
        o = _part(out, step.x, h, units, new_c)
        for kept, added in operands(new_c, "Add"):
            for forget, old in operands(kept, "Mul"):
                for admitted, candidate in operands(added, "Mul"):
                    seen = (c, c, None)  # by the gates that admit and keep, not by the candidate
                    gates = zip((admitted, forget, candidate), seen, strict=True)
                    parts = [_part(v, step.x, h, units, peeked) for v, peeked in gates]
                    if o is None or old is not c or any(p is None for p in parts):
                        continue
                    i, f, g = (p for p in parts if p is not None)
                    if o.activation == f.activation == i.activation:
                        functions = (i.activation, g.activation, last[0])
                        cell = _cell("LSTM", units, (i, o, f, g), functions)
                        peepholes = (i.peephole, o.peephole, f.peephole)
                        return replace(cell, hidden=hidden, peepholes=peepholes if any(peepholes) else ())
    return None


def _simple(step: Step) -> Cell | None:
    """h' = f(x · W + h · R + b)."""
    (h,), units = step.states, _units(step.states[0])
    part = None if units is None else _part(step.results[0], step.x, h, units)
    return None if part is None or units is None else _cell("RNN", units, (part,), (part.activation,))


def _cell(kind: str, units: int, parts: Sequence[_Part], activations: tuple[Activation, ...]) -> Cell:
    biases = [_two(part.biases) for part in parts]
    return Cell(
        kind,
        units,
        tuple(part.x for part in parts),
        tuple(part.h for part in parts),
        tuple(first for first, _ in biases),
        tuple(second for _, second in biases),
        activations,
    )


def _two(biases: Sequence[Columns]) -> tuple[Columns | None, Columns | None]:
    """Up to two biases, that of the input first: they are only ever added."""
    ordered = sorted(biases, key=lambda b: (b.row or 0, b.weight.name or "", b.start))
    return (ordered[0] if ordered else None), (ordered[1] if len(ordered) > 1 else None)


def _gru(step: Step) -> Cell | None:
    """h' = z · h + (1 - z) · g, where the reset comes before or after the product with the state."""
    (h,), units = step.states, _units(step.states[0])
    if units is None:
        return None
    for update, candidate in _blends(step.results[0], h):
        z = _part(update, step.x, h, units)
        found = activated(candidate)
        if z is None or found is None or found[2] is not None:
            continue
        bent = found[0], found[1]
        made = _after(step.x, h, z, bent, units) or _before(step.x, h, z, bent, units)
        if made is not None:
            return made
    return None


def _blends(value: ir.Value, h: ir.Value) -> Iterator[tuple[ir.Value, ir.Value]]:
    """(z, g) where a value is z · h + (1 - z) · g."""
    for kept, added in operands(value, "Add"):
        for z, old in operands(kept, "Mul"):
            if old is h:
                yield from ((z, g) for rest, g in operands(added, "Mul") if _is_rest(rest, z))


def _is_rest(value: ir.Value, z: ir.Value) -> bool:
    node = value.producer()
    return (
        node is not None
        and node.domain == ONNX
        and node.op_type == "Sub"
        and scalar(node.inputs[0]) == 1.0
        and node.inputs[1] is z
    )


def _after(x: ir.Value, h: ir.Value, z: _Part, found: tuple[Activation, ir.Value], units: int) -> Cell | None:
    """The reset multiplies the product: g = f(x · W + b + r · (h · R + c))."""
    activation, total = found
    for own, reset in operands(total, "Add"):
        for gate, inner in operands(reset, "Mul"):
            r = _part(gate, x, h, units)
            outer = _products(gate_of(own), units, x)
            product = _products(gate_of(inner), units, h)
            if r is None or outer is None or product is None or r.activation != z.activation:
                continue
            if len(outer[1]) > 1 or len(product[1]) > 1:
                continue
            biases = [_two(z.biases), _two(r.biases), (_first(outer[1]), _first(product[1]))]
            return Cell(
                "GRU",
                units,
                (z.x, r.x, outer[0]),
                (z.h, r.h, product[0]),
                tuple(one for one, _ in biases),
                tuple(two for _, two in biases),
                (z.activation, activation),
                linear_before_reset=True,
            )
    return None


def _before(x: ir.Value, h: ir.Value, z: _Part, found: tuple[Activation, ir.Value], units: int) -> Cell | None:
    """The reset multiplies the state: g = f(x · W + (r · h) · R + b)."""
    activation, total = found
    parts = split_gate(gate_of(total) or frozenset(), units)
    if parts is None or len(parts[0]) != 2 or x not in parts[0]:
        return None
    (reset,) = (factor for factor in parts[0] if factor is not x)
    for gate, old in operands(reset, "Mul"):
        r = _part(gate, x, h, units)
        if old is h and r is not None and r.activation == z.activation:
            g = _Part(parts[0][x], parts[0][reset], tuple(parts[1]), activation)
            return _cell("GRU", units, (z, r, g), (z.activation, activation))
    return None


def _products(gate: Gate | None, units: int, factor: ir.Value) -> tuple[Columns, list[Columns]] | None:
    """The weight of ``factor``, which alone must be multiplied, and the biases."""
    parts = None if gate is None else split_gate(gate, units)
    return None if parts is None or set(parts[0]) != {factor} else (parts[0][factor], parts[1])


def _first(biases: Sequence[Columns]) -> Columns | None:
    return biases[0] if biases else None
