"""From a model to its layout problem: what each node could do, and which operands follow the same choice."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from isthmus.passes.base import Reasons
from isthmus.passes.edit import attribute, dims
from isthmus.passes.layout.hands import elements
from isthmus.passes.layout.perms import TO_FIRST, TO_LAST, Move, Perm, inverse, is_identity
from isthmus.passes.layout.plan import Plan, Rule
from isthmus.passes.layout.problem import LAST, SOURCE, Problem

_CALL = 8192
"""What starting a Transpose costs, in elements."""

_NEVER = 1 << 61
"""More than all else costs together."""


@dataclass
class Layouts:
    """Every node's plan, the choice behind every permutable operand, and the problem that they pose."""

    move: Move = TO_LAST
    plans: dict[ir.Node, Plan] = field(default_factory=dict)
    choice_of: dict[ir.Node, int] = field(default_factory=dict)
    uses: dict[tuple[ir.Node, int], int] = field(default_factory=dict)
    makers: dict[ir.Value, int] = field(default_factory=dict)
    perms: dict[ir.Value, Perm] = field(default_factory=dict)
    turns: list[ir.Node] = field(default_factory=list)
    problem: Problem = field(default_factory=Problem)
    pinned: int = LAST
    """The choice of image operators: in the other layout, or, where that is not theirs, as they are."""

    def perm(self, value: ir.Value) -> Perm:
        """How ``value`` is permuted where it is not as the source has it."""
        if value in self.perms:
            return self.perms[value]
        return self.move.perm(len(dims(value) or ()))

    def maker(self, value: ir.Value) -> int:
        return self.makers.get(value, SOURCE)

    def user(self, node: ir.Node, index: int) -> int:
        return self.uses.get((node, index), SOURCE)


def pose(
    model: ir.Model,
    rules: Mapping[str, Rule],
    reasons: Reasons,
    *,
    move: Move = TO_LAST,
) -> Layouts:
    """Ask every node of the model and of its subgraphs for its plan, and link what they share."""
    layouts = Layouts(move)
    if move is TO_FIRST:
        layouts.pinned = layouts.problem.choice()
        layouts.problem.link(SOURCE, (layouts.pinned,), _NEVER)
    nodes = [node for node in model.graph.all_nodes() if node.domain == ""]
    for node in nodes:
        if node.op_type == "Transpose" and len(dims(node.inputs[0]) or ()) > 1:
            _turn(layouts, node)
        elif (rule := rules.get(node.op_type)) is not None:
            plan = rule(node, move)
            if isinstance(plan, str):
                reasons.decline(node, plan)
            else:
                layouts.plans[node] = plan
                layouts.perms.update(plan.inner)
    for node, plan in list(layouts.plans.items()):
        if (reason := _conflict(layouts, node, plan)) is None:
            _join(layouts, node, plan)
        else:
            reasons.decline(node, reason)
            del layouts.plans[node]
    _link(layouts)
    _prefer(layouts)
    return layouts


def _conflict(layouts: Layouts, node: ir.Node, plan: Plan) -> str | None:
    """A value between two nodes in an order of its own cannot be met by a third; one without a rank has no order."""
    tied = [node.inputs[i] for i in plan.inputs] + [node.outputs[i] for i in plan.outputs]
    if any(dims(v) is None for v in tied if v is not None):
        return "the rank of its operand or result is not known"
    if any(v in layouts.perms and v not in plan.inner for v in tied if v is not None):
        return "its operand is between a Reshape and a Transpose that belong together"
    return None


def _join(layouts: Layouts, node: ir.Node, plan: Plan) -> None:
    choice = layouts.pinned if plan.anchor else layouts.problem.choice()
    layouts.choice_of[node] = choice
    layouts.uses.update({(node, i): choice for i in plan.inputs})
    layouts.makers.update({node.outputs[i]: choice for i in plan.outputs})


def _turn(layouts: Layouts, node: ir.Node) -> None:
    """A Transpose takes and gives any layout: it is only the permutation that changes."""
    layouts.uses[node, 0] = layouts.problem.choice()
    layouts.makers[node.outputs[0]] = layouts.problem.choice()
    layouts.turns.append(node)


def _link(layouts: Layouts) -> None:
    values = set(layouts.makers) | {v for (n, i) in layouts.uses if (v := n.inputs[i]) is not None}
    for value in sorted(values, key=lambda v: v.name or ""):
        if value.const_value is not None and value.producer() is None:
            continue  # an initializer is permuted at conversion, which costs nothing
        users = [layouts.user(node, index) for node, index in value.uses()]
        users += [SOURCE] if value.is_graph_output() else []
        layouts.problem.link(layouts.maker(value), tuple(users), price(value, layouts.move))


def price(value: ir.Value, move: Move) -> int:
    """What transposing ``value`` costs, in elements."""
    moved = elements(value, move)
    return moved + _CALL if moved else 1


def turned_perm(layouts: Layouts, node: ir.Node, last_in: bool, last_out: bool) -> Perm:
    """The permutation of a Transpose between operands of the given layouts."""
    given, made = node.inputs[0], node.outputs[0]
    assert given is not None
    rank = len(dims(given) or ())
    perm = attribute(node, "perm") or tuple(reversed(range(rank)))
    before = inverse(layouts.perm(given)) if last_in else tuple(range(rank))
    after = layouts.perm(made) if last_out else tuple(range(rank))
    return tuple(before[perm[axis]] for axis in after)


def _prefer(layouts: Layouts) -> None:
    """Where one choice of a Transpose's sides makes it vanish, deviating from it has its price.

    The price of both sides deviating is counted twice for two of the cases: exact would not be a minimum cut.
    """
    near = _near_anchors(layouts)
    for node in layouts.turns:
        given, made = node.inputs[0], node.outputs[0]
        assert given is not None
        side_in, side_out = layouts.uses[node, 0], layouts.makers[made]
        cost = price(given, layouts.move)
        gone = {(a, b) for a in (False, True) for b in (False, True) if is_identity(turned_perm(layouts, node, a, b))}
        if {(True, False), (False, True)} <= gone:
            leaving, coming = (
                ((False, True), (True, False)) if layouts.pinned == LAST else ((True, False), (False, True))
            )
            gone -= {leaving} if side_in in near or side_out not in near else {coming}
        if (True, False) in gone:
            layouts.problem.link(LAST, (side_in,), cost)
            layouts.problem.link(SOURCE, (side_out,), cost)
        elif (False, True) in gone:
            layouts.problem.link(SOURCE, (side_in,), cost)
            layouts.problem.link(LAST, (side_out,), cost)
        elif (True, True) in gone:
            layouts.problem.link(LAST, (side_in,), cost)
            layouts.problem.link(side_in, (side_out,), cost)


def _near_anchors(layouts: Layouts) -> set[int]:
    """The choices that hang together with an image operator, without crossing a Transpose."""
    parent = list(range(layouts.problem.choices))

    def root(choice: int) -> int:
        while parent[choice] != choice:
            parent[choice] = parent[parent[choice]]
            choice = parent[choice]
        return choice

    for link in layouts.problem.links:
        free = [c for c in (link.maker, *link.users) if c != SOURCE]
        for one, other in itertools.pairwise(free):
            parent[root(one)] = root(other)
    return {c for c in range(layouts.problem.choices) if root(c) == root(layouts.pinned)}
