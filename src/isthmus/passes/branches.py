"""Branches of different ranks: where the rest of the graph can do with one of them only, that one is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from isthmus.hub.model import ONNX, Hub
from isthmus.passes.base import HubPass, PassResult
from isthmus.passes.edit import Editor, attribute, known, rank

Ranks: TypeAlias = frozenset[int] | None
"""The ranks that a value may have; None where it may have any."""


class DecideBranches(HubPass):
    """Tell the condition of an If of which one branch alone gives what the graph needs.

    PyTorch's older exporter writes ``squeeze`` of an axis that it does not know as such an If: the axis is dropped
    where its size is 1, else all stays as it is. Where an LSTM, a convolution or a Gemm takes one of these ranks and
    not the other, no input on which the source runs takes the other branch.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 3, 1] x, float[3, 4] w) => (float[n, 4] y)
        <int64[1] last = {2}, int64[1] one = {1}>
        {
            s = Shape <start = 2> (x)
            c = Equal (s, one)
            z = If (c) <
                then_branch = dropped () => (float[n, 3] d) { d = Squeeze (x, last) },
                else_branch = kept () => (float[n, 3, 1] k) { k = Identity (x) }
            >
            y = Gemm (z, w)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 3, 1] x, float[3, 4] w) => (float[n, 4] y)
        <int64[1] last = {2}, bool taken = {1}>
        {
            z = If (taken) <
                then_branch = dropped () => (float[n, 3] d) { d = Squeeze (x, last) },
                else_branch = kept () => (float[n, 3, 1] k) { k = Identity (x) }
            >
            y = Gemm (z, w)
        }

    FoldConstants takes the branch.
    """

    def call(self, hub: Hub) -> PassResult:
        if not any(_is_if(node) for node in hub.graph.all_nodes()):
            return PassResult(hub, modified=False)
        edit = Editor(hub.model)
        given: dict[ir.Value, Ranks] = {}
        _give(hub.graph, given)
        needs = _Needs(given)
        needs.of(hub.graph, [None] * len(hub.graph.outputs))
        decided = {node: left[0] for node, left in needs.left.items() if len(left) == 1}
        for node, branch in decided.items():
            node.replace_input_with(0, edit.constant(np.array(branch == "then_branch"), f"{node.name}_taken"))
            for value, made in zip(node.outputs, _branch(node, branch).outputs, strict=True):
                value.shape = None if made.shape is None else made.shape.copy()
        return PassResult(hub, bool(decided))


_BRANCHES = ("then_branch", "else_branch")

_ALIKE = frozenset(
    {
        *("Abs", "Cast", "Clip", "Dropout", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "Identity"),
        *("LeakyRelu", "Log", "LogSoftmax", "Mish", "Neg", "Relu", "Sigmoid", "Softmax", "Softplus", "Sqrt", "Tanh"),
    }
)
"""Operators whose result has their operand's rank."""


def _give(graph: ir.Graph, given: dict[ir.Value, Ranks]) -> None:
    """What the values of a graph, and of those within, may have by what makes them.

    Shapes that a source declares on the way are opinions, and count only where nothing else is known.
    """
    for node in graph:
        for inner in _inner(node):
            _give(inner, given)
        for index, value in enumerate(node.outputs):
            if _is_if(node):
                results = (_branch(node, name).outputs[index] for name in _BRANCHES)
                given[value] = _either(given.get(result, _told(result)) for result in results)
            elif (change := _change(node)) is not None and (operand := node.inputs[0]) is not None:
                given[value] = _moved(given.get(operand, _told(operand)), change)
            else:
                given[value] = _told(value)


@dataclass(frozen=True)
class _Needs:
    """What graphs ask of values. ``given``: what these may have. ``left``: the branches that an If may take."""

    given: Mapping[ir.Value, Ranks]
    left: dict[ir.Node, list[str]] = field(default_factory=dict)

    def of(self, graph: ir.Graph, wanted: Sequence[Ranks]) -> dict[ir.Value, Ranks]:
        """What a graph of whose outputs these ranks are ``wanted`` asks of values, those of outer graphs too."""
        asked: dict[ir.Value, Ranks] = {}
        for value, ranks in zip(graph.outputs, wanted, strict=True):
            _ask(asked, value, ranks)
        for node in reversed(graph):
            if _is_if(node):
                self._of_branches(node, asked)
                continue
            for inner in _inner(node):  # asks nothing of what is outside: it may not run at all
                self.of(inner, [None] * len(inner.outputs))
            for index, operand in enumerate(node.inputs):
                if operand is not None:
                    _ask(asked, operand, _asked_by(node, index, asked))
        return asked

    def _of_branches(self, node: ir.Node, asked: dict[ir.Value, Ranks]) -> None:
        """Of values outside, an If asks what every branch asks that may be taken."""
        wanted = [asked.get(value) for value in node.outputs]
        inside = {name: self.of(_branch(node, name), wanted) for name in _BRANCHES}
        possible = [name for name in _BRANCHES if self._fits(_branch(node, name), wanted)]
        if known(node.inputs[0]) is None:
            self.left[node] = possible
        for value in {value for name in possible for value in inside[name]}:
            _ask(asked, value, _either(inside[name].get(value) for name in possible))

    def _fits(self, branch: ir.Graph, wanted: Sequence[Ranks]) -> bool:
        made = (self.given.get(value, _told(value)) for value in branch.outputs)
        return all(_both(*pair) != frozenset() for pair in zip(made, wanted, strict=True))


def _ask(asked: dict[ir.Value, Ranks], value: ir.Value, ranks: Ranks) -> None:
    if ranks is not None:
        asked[value] = _both(asked.get(value), ranks)


def _asked_by(node: ir.Node, index: int, asked: Mapping[ir.Value, Ranks]) -> Ranks:
    """What one node asks of one of its operands, where ``asked`` tells what is asked of its result."""
    if node.domain != ONNX:
        return None
    if index == 0 and (change := _change(node)) is not None:
        return _moved(asked.get(node.outputs[0]), -change)
    rule = _RULES.get(node.op_type)
    found = None if rule is None else rule(node, index)
    return None if found is None else frozenset({found})


def _is_if(node: ir.Node) -> bool:
    return node.op_type == "If" and node.domain == ONNX


def _branch(node: ir.Node, name: str) -> ir.Graph:
    return node.attributes[name].as_graph()


def _inner(node: ir.Node) -> Iterator[ir.Graph]:
    return (a.as_graph() for a in node.attributes.values() if a.type == ir.AttributeType.GRAPH)


def _told(value: ir.Value) -> Ranks:
    found = rank(value)
    return None if found is None else frozenset({found})


def _change(node: ir.Node) -> int | None:
    """By how much the rank of a node's result differs from its operand's, where that is all that it depends on."""
    if node.domain != ONNX:
        return None
    if node.op_type in _ALIKE:
        return 0
    if node.op_type in ("Squeeze", "Unsqueeze"):
        axes = known(node.inputs[1]) if len(node.inputs) > 1 else None
        return None if axes is None else axes.size * (1 if node.op_type == "Unsqueeze" else -1)
    return None


def _recurrent(node: ir.Node, index: int) -> int | None:
    return 3 if index in (0, 5, 6) else None


def _convolved(node: ir.Node, index: int) -> int | None:
    return rank(node.inputs[1]) if index == 0 else None


def _transposed(node: ir.Node, index: int) -> int | None:
    perm = attribute(node, "perm")
    return None if perm is None else len(perm)


_RULES: Mapping[str, Callable[[ir.Node, int], int | None]] = MappingProxyType(
    {
        **dict.fromkeys(("GRU", "LSTM", "RNN"), _recurrent),
        **dict.fromkeys(("Conv", "ConvTranspose"), _convolved),
        "Gemm": lambda node, index: 2 if index < 2 else None,
        "Transpose": _transposed,
    }
)
"""The rank that an operator takes as this operand, by its definition."""


def _moved(ranks: Ranks, change: int) -> Ranks:
    return None if ranks is None else frozenset(rank + change for rank in ranks)


def _both(one: Ranks, other: Ranks) -> Ranks:
    if one is None or other is None:
        return one if other is None else other
    return one & other


def _either(several: Iterable[Ranks]) -> Ranks:
    found: frozenset[int] = frozenset()
    for ranks in several:
        if ranks is None:
            return None
        found |= ranks
    return found
