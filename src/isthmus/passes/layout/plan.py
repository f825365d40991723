"""A plan: how one node can work on operands in the other layout, without saying whether it shall."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from isthmus.passes.layout.hands import Hands
from isthmus.passes.layout.perms import Move, Perm

Apply = Callable[[Hands, ir.Node], None]


def nothing(_hands: Hands, _node: ir.Node) -> None:
    """No attribute and no operand depends on the layout."""


@dataclass(frozen=True)
class Plan:
    """How a node joins the other layout.

    ``inputs`` and ``outputs`` are the operands that are permuted with the node; all others stay as the source has
    them, and ``apply`` adapts attributes and those others. An ``anchor`` has no choice: the target knows it only
    so. ``weights`` are the inputs that take the permutation of convolution weights.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    apply: Apply = nothing
    anchor: bool = False
    weights: tuple[int, ...] = ()
    inner: Mapping[ir.Value, Perm] = field(default_factory=dict)
    """Values between two nodes that would be permuted in another way than that layout."""


Rule = Callable[[ir.Node, Move], Plan | str]
"""A plan for the node in the layout that values may move to, or the reason why there is none."""
