"""The hands of the layout rewrite: operands brought into another order, initializers once and lazily."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from isthmus.passes.edit import PERM, SHAPE, Editor, dims, known, lazily, mark_permuted
from isthmus.passes.layout.perms import TO_LAST, Move, Perm, is_identity, moved, spelled

Dims = tuple[int, ...]


@dataclass(frozen=True)
class _Wish:
    node: ir.Node
    index: int
    perm: Perm
    shape: Dims | None


class Hands:
    """Gathers the wishes of all nodes for one initializer before it is touched, so that it is copied only if it must.

    With ``tied`` a floating initializer stays a single tensor whatever its uses are: a parameter that trains.
    """

    def __init__(self, edit: Editor, *, tied: bool, move: Move = TO_LAST) -> None:
        self.edit = edit
        self._move = move
        self._tied = tied
        self._wishes: dict[ir.Value, list[_Wish]] = {}
        self._turned: dict[tuple[ir.Value, Perm], ir.Value] = {}

    def reorder(self, node: ir.Node, index: int, perm: Perm, shape: Dims | None = None) -> None:
        """Let an operand arrive as ``operand.reshape(shape).transpose(perm)``."""
        value = node.inputs[index]
        if value is None or (is_identity(perm) and shape is None):
            return
        if _is_constant(value):
            self._wishes.setdefault(value, []).append(_Wish(node, index, perm, shape))
            return
        if shape is not None:
            target = self.edit.ints(shape, f"{value.name}_shape")
            value = self.edit.before(node, "Reshape", [value, target], shape=shape)
        node.replace_input_with(index, self.turned(value, perm))

    def picked(self, node: ir.Node, index: int, perm: Sequence[int]) -> None:
        """Let an operand that lists something by axis arrive in the order of ``perm``."""
        value = node.inputs[index]
        if value is None:
            return
        array = known(value)
        if array is not None:
            chosen = self.edit.constant(array[list(perm)], f"{value.name}_{self._move.word}")
        else:
            order = self.edit.ints(perm, f"{value.name}_order")
            chosen = self.edit.before(node, "Gather", [value, order], {"axis": 0}, shape=[len(perm)])
        node.replace_input_with(index, chosen)

    def turned(self, value: ir.Value, perm: Perm) -> ir.Value:
        """``value`` through a Transpose that stands right after its maker; one for all that ask."""
        if is_identity(perm):
            return value
        if (value, perm) not in self._turned:
            self._turned[value, perm] = self._transpose(value, perm)
        return self._turned[value, perm]

    def settle(self) -> None:
        """Carry out the wishes about initializers."""
        for value, wishes in self._wishes.items():
            groups: dict[tuple[Perm, Dims | None], list[_Wish]] = {}
            for wish in wishes:
                groups.setdefault((wish.perm, wish.shape), []).append(wish)
            others = len(value.uses()) > len(wishes) or value.is_graph_output()
            shared = others or len(groups) > 1
            for count, ((perm, shape), group) in enumerate(groups.items()):
                made = self._reordered(
                    value, perm, shape, shared=shared, last=count == len(groups) - 1 and not others
                )
                for wish in group:
                    wish.node.replace_input_with(wish.index, made)
        self._wishes.clear()

    def _reordered(self, value: ir.Value, perm: Perm, shape: Dims | None, *, shared: bool, last: bool) -> ir.Value:
        floating = value.dtype is not None and value.dtype.is_floating_point()
        if shared and self._tied and floating:
            return self._at_run_time(value, perm, shape)
        tensor = value.const_value
        assert tensor is not None
        made = lazily(tensor, perm, shape)
        target = value if last else self.edit.initializer(made, f"{value.name}_{self._move.word}")
        if shape is not None:
            target.metadata_props.setdefault(SHAPE, spelled(tuple(tensor.shape.numpy())))
        order = value.metadata_props.get(PERM, spelled(range(len(tensor.shape))))
        mark_permuted(target, perm, value)
        if shape is not None and order != spelled(range(len(tensor.shape))):
            for key in (PERM, SHAPE):  # permuted, reshaped, permuted: no pair of marks says that
                target.metadata_props.pop(key, None)
        if last:
            made.name = value.name
            value.const_value = made
            value.shape = ir.Shape(made.shape.numpy())
        return target

    def _at_run_time(self, value: ir.Value, perm: Perm, shape: Dims | None) -> ir.Value:
        if shape is not None:
            target = self.edit.ints(shape, f"{value.name}_shape")
            node = self.edit.node(
                "Reshape", [value, target], like=_cause(value), wish=f"{value.name}_{self._move.word}"
            )
            _place(node, value)
            node.outputs[0].type, node.outputs[0].shape = value.type, ir.Shape(shape)
            value = node.outputs[0]
        return self.turned(value, perm)

    def _turned_name(self, value: ir.Value, perm: Perm) -> str:
        """``x`` → ``x_last``, and ``x_last`` → ``x_first``: for people who read the graph."""
        name = value.name or ""
        if perm == self._move.perm(len(perm)):
            return f"{name}_{self._move.word}"
        return f"{name.removesuffix(f'_{self._move.word}')}_{self._move.back}"

    def _transpose(self, value: ir.Value, perm: Perm) -> ir.Value:
        node = self.edit.node(
            "Transpose", [value], {"perm": list(perm)}, like=_cause(value), wish=self._turned_name(value, perm)
        )
        _place(node, value)
        out = node.outputs[0]
        out.type = value.type
        shape = dims(value)
        out.shape = None if shape is None else ir.Shape(moved(shape, perm))
        return out


def _is_constant(value: ir.Value) -> bool:
    return value.const_value is not None and not value.is_graph_input() and value.producer() is None


def _cause(value: ir.Value) -> ir.Node | None:
    """The node that a transposition of ``value`` takes its provenance from."""
    producer = value.producer()
    return producer if producer is not None else next(iter(value.consumers()), None)


def _place(node: ir.Node, value: ir.Value) -> None:
    producer = value.producer()
    if producer is not None and producer.graph is not None:
        producer.graph.insert_after(producer, node)
        return
    graph = value.graph
    if graph is None:
        raise ValueError(f"value {value.name!r} belongs to no graph")
    first = next(iter(graph), None)
    if first is None:
        graph.append(node)
    else:
        graph.insert_before(first, node)


def elements(value: ir.Value, move: Move, free: int = 32) -> int:
    """About how many elements a transposition would move: free dimensions count as ``free``.

    None at all where channels or spatial axes are of size one: such a Transpose is a Reshape.
    """
    shape = dims(value) or (None,)
    if len(shape) >= 3:
        spatial = shape[2:] if move.channels == 1 else shape[1:-1]
        if shape[move.channels] == 1 or all(d == 1 for d in spatial):
            return 0
    return math.prod(d if isinstance(d, int) else free for d in shape)
