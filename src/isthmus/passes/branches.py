"""Branches of different ranks: where the rest of the graph can do with one of them only, that one is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from isthmus.hub.model import ONNX, Hub
from isthmus.passes.base import HubPass, PassResult
from isthmus.passes.edit import Editor, attribute, graphs_of, known, rank

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
        edit = Editor(hub.model)
        needs = _Needs.of(hub.model)
        open_ones = [node for graph in graphs_of(hub.model) for node in graph if _is_open(node)]
        decided = {node: left for node in open_ones if len(left := needs.possible_branches(node)) == 1}
        for node, (branch,) in decided.items():
            node.replace_input_with(0, edit.constant(np.array(branch == "then_branch"), f"{node.name}_taken"))
            for value, made in zip(node.outputs, _branch(node, branch).outputs, strict=True):
                value.shape = made.shape
        return PassResult(hub, bool(decided))


_BRANCHES = ("then_branch", "else_branch")

_ALIKE = frozenset(
    {
        *("Abs", "Cast", "Clip", "Dropout", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "Identity"),
        *("LeakyRelu", "Log", "LogSoftmax", "Mish", "Neg", "Relu", "Sigmoid", "Softmax", "Softplus", "Sqrt", "Tanh"),
    }
)
"""Operators whose result has their operand's rank."""


def _is_open(node: ir.Node) -> bool:
    """Whether this is an If of nobody knows which branch, and they give different ranks."""
    if node.op_type != "If" or node.domain != ONNX or known(node.inputs[0]) is not None:
        return False
    made = [[_ranks(value) for value in _branch(node, name).outputs] for name in _BRANCHES]
    return any(one is not None and one != other for one, other in zip(*made, strict=True))


def _branch(node: ir.Node, name: str) -> ir.Graph:
    return node.attributes[name].as_graph()


@dataclass(frozen=True)
class _Needs:
    """What a model asks of its values. ``holders``: inner graphs → the nodes that they belong to."""

    holders: Mapping[ir.Graph, ir.Node]

    @classmethod
    def of(cls, model: ir.Model) -> _Needs:
        nodes = (node for graph in graphs_of(model) for node in graph)
        return cls({inner: node for node in nodes for inner in _inner(node)})

    def possible_branches(self, node: ir.Node) -> list[str]:
        """The branches of an If whose outputs may have the ranks that are asked of the If's."""
        asked = [self.ranks(value) for value in node.outputs]

        def possible(name: str) -> bool:
            given = (_ranks(value) for value in _branch(node, name).outputs)
            return all(_both(*pair) != frozenset() for pair in zip(given, asked, strict=True))

        return [name for name in _BRANCHES if possible(name)]

    def ranks(self, value: ir.Value, graph: ir.Graph | None = None) -> Ranks:
        """The ranks that ``graph``, by default where the value is made, can do with."""
        graph = graph or (value.graph if isinstance(value.graph, ir.Graph) else None)
        if graph is None:
            return None
        ranks: Ranks = None
        outer: dict[ir.Node, None] = {}
        for node, index in value.uses():
            if node.graph is graph:
                ranks = _both(ranks, self._by(node, index))
            elif (holder := self._holder(node, graph)) is not None:
                outer[holder] = None
        for holder in outer:
            if holder.op_type == "If":  # only what every branch that may be taken asks
                possible = [_branch(holder, name) for name in self.possible_branches(holder)]
                ranks = _both(ranks, _either(self.ranks(value, branch) for branch in possible))
        parent = self.holders.get(graph)
        if parent is not None and parent.op_type == "If":
            for index, output in enumerate(graph.outputs):
                if output is value:
                    ranks = _both(ranks, self.ranks(parent.outputs[index]))
        return ranks

    def _by(self, node: ir.Node, index: int) -> Ranks:
        """What one node asks of one of its operands."""
        if node.domain != ONNX:
            return None
        if index == 0 and (change := _change(node)) is not None:
            return _moved(self.ranks(node.outputs[0]), -change)
        rule = _RULES.get(node.op_type)
        found = None if rule is None else rule(node, index)
        return None if found is None else frozenset({found})

    def _holder(self, node: ir.Node, graph: ir.Graph) -> ir.Node | None:
        """The node of ``graph`` in one of whose graphs ``node`` stands."""
        holder: ir.Node | None = node
        while holder is not None and holder.graph is not graph:
            holder = self.holders.get(holder.graph) if isinstance(holder.graph, ir.Graph) else None
        return holder


def _inner(node: ir.Node) -> Iterator[ir.Graph]:
    return (a.as_graph() for a in node.attributes.values() if a.type == ir.AttributeType.GRAPH)


def _ranks(value: ir.Value) -> Ranks:
    """What a value may have by what makes it. Shapes that the source declares on the way are opinions."""
    node = value.producer()
    if node is not None and node.domain == ONNX:
        if node.op_type == "If":
            index = node.outputs.index(value)
            return _either(_ranks(_branch(node, name).outputs[index]) for name in _BRANCHES)
        if (change := _change(node)) is not None and node.inputs[0] is not None:
            return _moved(_ranks(node.inputs[0]), change)
    found = rank(value)
    return None if found is None else frozenset({found})


def _change(node: ir.Node) -> int | None:
    """By how much the rank of a node's result differs from its operand's, where that is all that it depends on."""
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
