"""Free dimensions to which the weights of a model leave one size: the channels of an image, say.

Exporters declare them free all the same; torch.export takes no example of any other size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import onnx_ir as ir

from isthmus.hub.model import LAYER, ONNX

Pairs = Iterator[tuple[Any, Any]]
"""Dimensions that must be equal."""


def fixed_sizes(graph: ir.Graph) -> dict[str, int]:
    """Names of free dimensions → the only size that the operators of ``graph`` take them in."""
    found: dict[str, int] = {}
    for node in graph:
        rule = _RULES.get((node.domain, node.op_type))
        for one, other in rule(node) if rule is not None else ():
            for free, size in ((one, other), (other, one)):
                if isinstance(free, ir.SymbolicDim) and free.value is not None and isinstance(size, int):
                    found.setdefault(free.value, size)
    return found


def _shape(node: ir.Node, index: int) -> tuple[Any, ...]:
    """The dimensions of an input; none where it is absent or its rank is not known."""
    value = node.inputs[index] if index < len(node.inputs) else None
    return () if value is None or value.shape is None else tuple(value.shape)


def _int(node: ir.Node, name: str, default: int) -> int:
    found = node.attributes.get(name)
    return default if found is None else found.as_int()


def _at(axis: int, weight_axis: int, weight: int = 1) -> Callable[[ir.Node], Pairs]:
    """An axis of the first input is as long as one of a weight's."""

    def rule(node: ir.Node) -> Pairs:
        x, w = _shape(node, 0), _shape(node, weight)
        if len(x) > axis and len(w) > weight_axis:
            yield x[axis], w[weight_axis]

    return rule


def _conv(weight: int = 1) -> Callable[[ir.Node], Pairs]:
    """The channels of an image are those of a filter, in each group."""

    def rule(node: ir.Node) -> Pairs:
        x, w = _shape(node, 0), _shape(node, weight)
        if len(x) > 1 and len(w) > 1 and isinstance(w[1], int):
            yield x[1], w[1] * _int(node, "group", 1)

    return rule


def _gemm(node: ir.Node) -> Pairs:
    a, b = _shape(node, 0), _shape(node, 1)
    if len(a) == len(b) == 2:
        yield a[0 if _int(node, "transA", 0) else 1], b[1 if _int(node, "transB", 0) else 0]


def _matmul(weight: int = 1) -> Callable[[ir.Node], Pairs]:
    """What is summed over, and what broadcasts before it."""

    def rule(node: ir.Node) -> Pairs:
        a, b = _shape(node, 0), _shape(node, weight)
        if a and b:
            yield a[-1], b[-2] if len(b) > 1 else b[0]
            yield from _broadcast(a[:-2], b[:-2])

    return rule


def _linear(node: ir.Node) -> Pairs:
    x, w = _shape(node, 0), _shape(node, 1)
    if x and len(w) == 2:
        yield x[-1], w[0 if _int(node, "transposed", 0) else 1]


def _recurrent(weight: int, states: Sequence[int], *, first: str) -> Callable[[ir.Node], Pairs]:
    """The features of a sequence are those of the weights, its batch is that of the states that are given.

    ``first`` is the attribute that says whether the batch stands first.
    """

    def rule(node: ir.Node) -> Pairs:
        yield from _at(2, 1 if node.domain == LAYER else 2, weight=weight)(node)
        batch, x = 0 if _int(node, first, 0) else 1, _shape(node, 0)
        for index in states:
            state = _shape(node, index)
            if len(x) == len(state) == 3:
                yield x[batch], state[1 if node.domain == LAYER else batch]

    return rule


def _trailing(node: ir.Node) -> Pairs:
    """Two operands that broadcast against each other."""
    return _broadcast(_shape(node, 0), _shape(node, 1))


def _broadcast(a: Sequence[Any], b: Sequence[Any]) -> Pairs:
    """Where one shape has another size than 1, the other is taken to have it too."""
    return ((d, e) for d, e in zip(reversed(a), reversed(b), strict=False) if 1 not in (d, e))


_BROADCASTING = (
    *("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Max", "Min", "PRelu", "LayerNormalization", "RMSNormalization"),
    *("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Xor"),
)

_RULES: Mapping[tuple[str, str], Callable[[ir.Node], Pairs]] = MappingProxyType(
    {
        (ONNX, "Conv"): _conv(),
        (ONNX, "ConvInteger"): _conv(),
        (ONNX, "QLinearConv"): _conv(weight=3),
        (ONNX, "ConvTranspose"): _at(1, 0),
        (ONNX, "Gemm"): _gemm,
        (ONNX, "MatMul"): _matmul(),
        (ONNX, "MatMulInteger"): _matmul(),
        (ONNX, "QLinearMatMul"): _matmul(weight=3),
        (LAYER, "Linear"): _linear,
        (LAYER, "MultiheadAttention"): _at(2, 1),
        (LAYER, "Recurrent"): _recurrent(3, (1, 2), first="batch_first"),
        **{(ONNX, op): _recurrent(1, (5, 6), first="layout") for op in ("RNN", "GRU", "LSTM")},
        **{(ONNX, op): _at(1, 0) for op in ("BatchNormalization", "InstanceNormalization", "GroupNormalization")},
        **{(ONNX, op): _trailing for op in _BROADCASTING},
    }
)
