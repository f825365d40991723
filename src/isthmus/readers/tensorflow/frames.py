"""Control flow of TensorFlow 1: loops as frames of Enter, Merge, Switch, NextIteration and Exit; choices as Switches
that Merges join. Which operations are what; nothing is read here."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from isthmus.readers.tensorflow.functions import Region, has_effect, origin

SWITCHES = frozenset({"Switch", "RefSwitch", "_SwitchN"})
MERGES = frozenset({"Merge", "RefMerge"})
_ENTERS = frozenset({"Enter", "RefEnter"})
_EXITS = frozenset({"Exit", "RefExit"})
_NEXT = frozenset({"NextIteration", "RefNextIteration"})


@dataclass(frozen=True, eq=False)
class Frame:
    """A loop: ``variables`` by number in both regions, what begins them, and the Exits that give their last value.

    ``constants`` are the Enters of what every iteration sees alike.
    """

    node: tf.Operation
    cond: Region
    body: Region
    initial: tuple[tf.Tensor, ...]
    exits: tuple[tuple[tf.Tensor, int], ...]
    constants: tuple[tf.Operation, ...]
    effects: tuple[tf.Operation, ...]

    @property
    def inputs(self) -> tuple[tf.Tensor, ...]:
        return (*self.initial, *(enter.inputs[0] for enter in self.constants))

    @property
    def outputs(self) -> tuple[tf.Tensor, ...]:
        return tuple(tensor for tensor, _ in self.exits)


@dataclass(frozen=True, eq=False)
class Choice:
    """Merges that join what the branches of one test give: ``branches[k]`` is what was switched to output ``k``.

    ``test`` is a number where ``by_number``, else a bool that chooses branch 1 where it is true. ``switches`` are
    those at which the branches begin: what they pass on is what they are given.
    """

    node: tf.Operation
    test: tf.Tensor
    by_number: bool
    merges: tuple[tf.Operation, ...]
    branches: tuple[Region, ...]
    switches: tuple[tf.Operation, ...]

    @property
    def inputs(self) -> tuple[tf.Tensor, ...]:
        return (self.test, *(switch.inputs[0] for switch in self.switches))

    @property
    def outputs(self) -> tuple[tf.Tensor, ...]:
        return tuple(tensor for merge in self.merges for tensor in merge.outputs)


_Alive = tuple[tuple[str, int], ...]
"""The tests on which it hangs whether something runs, the outermost first, and the outputs they must choose."""


def parts_of(graph: tf.Graph) -> Mapping[tf.Operation, Frame | Choice]:
    """The loops and choices of a graph, by the operations that give their results."""
    nodes = graph.get_operations()
    if not any(node.type in MERGES for node in nodes):
        return {}
    frames = [_frame(node) for node in nodes if node.type == "LoopCond"]
    found: dict[tf.Operation, Frame | Choice] = {t.op: frame for frame in frames for t in frame.outputs}
    for choice in _choices(graph):
        found |= dict.fromkeys(choice.merges, choice)
    return found


def control_effects(wanted: Iterable[tf.Tensor]) -> list[tf.Operation]:
    """The operations that change a resource and that ``wanted`` waits for, by data or by control."""
    return [node for node in _before([t.op for t in wanted], control=True) if has_effect(node)]


# ---------------------------------------------------------------------------------------------------- loops


def _frame(cond: tf.Operation) -> Frame:
    switches = [node for node in cond.outputs[0].consumers() if _is_of_loop(node)]
    name = _enter_of(switches[0].inputs[0].op).get_attr("frame_name") if switches else b""
    entered = [n for n in cond.graph.get_operations() if n.type in _ENTERS and n.get_attr("frame_name") == name]
    merges = {user: enter for enter in entered for user in enter.outputs[0].consumers() if user.type in MERGES}
    within = {switch.inputs[0].op: switch for switch in switches}
    steps = [_next_of(merge).inputs[0] for merge in merges]
    starts = [within[merge].outputs[1] if merge in within else merge.outputs[0] for merge in merges]
    exits = [
        (user.outputs[0], k)
        for k, merge in enumerate(merges)
        for user in (within[merge].outputs[0].consumers() if merge in within else ())
        if user.type in _EXITS
    ]
    ends, stops = [cond, *(step.op for step in steps)], {*merges, *entered}
    reached = set(_before(ends, stops, control=False)) | {
        tensor.op for node in _before(ends, stops, control=False) for tensor in node.inputs
    }
    return Frame(
        node=cond,
        cond=Region(cond.graph, tuple(merge.outputs[0] for merge in merges), (cond.inputs[0],)),
        body=Region(cond.graph, tuple(starts), tuple(steps)),
        initial=tuple(enter.inputs[0] for enter in merges.values()),
        exits=tuple(exits),
        constants=tuple(enter for enter in entered if enter in reached and enter not in set(merges.values())),
        effects=tuple(node for node in _before(ends, stops, control=True) if has_effect(node)),
    )


def _begins_iteration(node: tf.Operation) -> bool:
    """Whether a Merge is a loop's: it joins what begins the loop with what the last iteration gave."""
    return node.type in MERGES and any(t.op.type in _NEXT for t in node.inputs)


def _is_of_loop(node: tf.Operation) -> bool:
    """Whether a Switch is a loop's, and decides whether there is another iteration."""
    return node.type in SWITCHES and _begins_iteration(node.inputs[0].op)


def _enter_of(merge: tf.Operation) -> Any:
    return next(t.op for t in merge.inputs if t.op.type in _ENTERS)


def _next_of(merge: tf.Operation) -> Any:
    return next(t.op for t in merge.inputs if t.op.type in _NEXT)


def _before(
    nodes: Iterable[tf.Operation], stops: Container[tf.Operation] = (), *, control: bool
) -> list[tf.Operation]:
    """All that ``nodes`` are computed from, and wait for where ``control``, themselves included; not ``stops``."""
    found: dict[tf.Operation, None] = {}
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if node in found or node in stops:
            continue
        found[node] = None
        pending += [tensor.op for tensor in node.inputs]
        pending += node.control_inputs if control else ()
    return list(found)


# -------------------------------------------------------------------------------------------------- choices


def _choices(graph: tf.Graph) -> Iterator[Choice]:
    """Every Merge that is no loop's, with those that hang on the same test and can be computed together."""
    order = _ordered(graph.get_operations())
    alive = _aliveness(order)
    groups: dict[tuple[Any, ...], list[tf.Operation]] = {}
    for node in order:
        if node.type not in MERGES or _begins_iteration(node):
            continue
        key = _joined(node, alive)
        if key is None:
            continue
        before = set(_before([t.op for t in node.inputs], control=False))
        level = 0
        while any(other in before for other in groups.get((*key, level), ())):
            level += 1
        groups.setdefault((*key, level), []).append(node)
    switches: dict[str, list[tf.Operation]] = {}
    for node in order:
        if node.type in SWITCHES:
            switches.setdefault(_key(node), []).append(node)
    for (key, places, _, _), merges in groups.items():
        yield _choice(switches[key], places, merges)


def _choice(own: Sequence[tf.Operation], places: tuple[int, ...], merges: Sequence[tf.Operation]) -> Choice:
    graph, count = merges[0].graph, len(places)
    inner = _before([t.op for merge in merges for t in merge.inputs], set(own), control=False)
    used = {tensor.op for node in (*inner, *merges) for tensor in node.inputs}
    switches = tuple(switch for switch in own if switch in used)
    given = [tuple(switch.outputs[place] for switch in switches) for place in range(count)]
    results = [tuple(merge.inputs[places.index(place)] for merge in merges) for place in range(count)]
    branches = tuple(Region(graph, given[place], results[place]) for place in range(count))
    by_number = own[0].type == "_SwitchN"
    return Choice(merges[0], origin(_test(own[0])), by_number, tuple(merges), branches, switches)


def _joined(merge: tf.Operation, alive: Mapping[str, _Alive]) -> tuple[Any, ...] | None:
    """The test whose branches a Merge joins, which output of its Switches each input is of, and what is around."""
    own = [alive[tensor.name] for tensor in merge.inputs]
    tests = list(dict.fromkeys(test for tests in own for test, _ in reversed(tests)))
    count = len(own)
    for test in tests:
        places = [dict(found).get(test) for found in own]
        if places.count(None) == 1 and count == 2:  # the other branch was folded to a constant
            (known,) = [place for place in places if place is not None]
            places = [1 - known if place is None else place for place in places]
        if sorted(p for p in places if p is not None) == list(range(count)):
            rest = {tuple(pair for pair in found if pair[0] != test) for found in own}
            return test, tuple(places), min(rest, key=len)
    return None


def _aliveness(order: Sequence[tf.Operation]) -> dict[str, _Alive]:
    """For each tensor, the tests that must have come out a certain way for it to be there."""
    nodes: dict[tf.Operation, _Alive] = {}
    found: dict[str, _Alive] = {}
    for node in order:
        own = _own_aliveness(node, nodes, found)
        nodes[node] = own
        chooses = node.type in SWITCHES and not _is_of_loop(node)
        for place, tensor in enumerate(node.outputs):
            found[tensor.name] = (*own, (_key(node), place)) if chooses else own
    return found


def _own_aliveness(node: tf.Operation, nodes: Mapping[tf.Operation, _Alive], found: Mapping[str, _Alive]) -> _Alive:
    if node.type in MERGES:
        if _begins_iteration(node):
            return found.get(_enter_of(node).outputs[0].name, ())
        joined = _joined(node, found) if all(tensor.name in found for tensor in node.inputs) else None
        return () if joined is None else joined[2]
    pairs: dict[tuple[str, int], None] = {}
    for tests in (*(found.get(t.name, ()) for t in node.inputs), *(nodes.get(n, ()) for n in node.control_inputs)):
        pairs |= dict.fromkeys(tests)
    return tuple(pairs)


def _test(switch: tf.Operation) -> tf.Tensor:
    return switch.inputs[1]


def _key(switch: tf.Operation) -> str:
    return str(origin(_test(switch)).name)


def _ordered(nodes: Sequence[tf.Operation]) -> list[tf.Operation]:
    """Every operation behind those that it waits for; the way back of loops does not count."""
    found: dict[tf.Operation, None] = {}
    for last in nodes:
        pending = [last]
        while pending:
            node = pending[-1]
            missing = [n for n in _waits_for(node) if n not in found] if node not in found else []
            if not missing:
                found[pending.pop()] = None
            else:
                pending += missing
    return list(found)


def _waits_for(node: tf.Operation) -> list[tf.Operation]:
    given = [tensor.op for tensor in node.inputs if tensor.op.type not in _NEXT]
    return [*given, *(n for n in node.control_inputs if n.type not in _NEXT)]
