"""Recurrent layers that feed one another as one layer of several, and what their weights are called."""

from __future__ import annotations

import re
from collections.abc import Sequence

import onnx_ir as ir

from isthmus.hub.model import ONNX
from isthmus.hub.provenance import where
from isthmus.hub.state import key_of
from isthmus.passes.edit import Editor, attribute, dims, graph_of, known, replace
from isthmus.passes.gates import ORIGIN

STATES = 2
"""Inputs of a Recurrent between its first and its parameters."""

_NAMED = re.compile(r"(?:(?P<module>.*)\.)?weight_ih_l(?P<layer>\d+)\Z")


def leaf_names(layers: int, *, bias: bool, bidirectional: bool) -> list[str]:
    """What PyTorch calls the parameters of a recurrent layer, in order."""
    kinds = ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if bias else ()))
    ends = ("", "_reverse") if bidirectional else ("",)
    return [f"{kind}_l{layer}{end}" for layer in range(layers) for end in ends for kind in kinds]


def join_stacks(edit: Editor, nodes: Sequence[ir.Node]) -> list[ir.Node]:
    """``nodes``, those of one layer of the source as one node each."""
    known_nodes, taken, result = set(nodes), set[ir.Node](), []
    for node in nodes:
        if node in taken:
            continue
        chain = [node]
        while (following := _next(chain, known_nodes)) is not None:
            chain.append(following)
        states = _states(chain)
        while len(chain) > 1 and states is None:
            chain.pop()
            states = _states(chain)
        taken.update(chain)
        result.append(chain[0] if len(chain) == 1 or states is None else _joined(edit, chain, states))
    if taken != set(result):
        edit.model.graph.sort()
    return result


def _next(chain: Sequence[ir.Node], nodes: set[ir.Node]) -> ir.Node | None:
    """The node that is the next layer of the same one in the source."""
    last = chain[-1]
    uses = list(last.outputs[0].uses())
    if len(uses) != 1 or uses[0].idx != 0 or uses[0].node not in nodes or last.outputs[0].is_graph_output():
        return None
    following = uses[0].node
    if any(attribute(last, name) != attribute(following, name) for name in ("kind", "hidden_size", "bias")):
        return None
    if attribute(last, "bidirectional") != attribute(following, "bidirectional"):
        return None
    first, then = _place(last), _place(following)
    same = first[0] == then[0] and (first[1] is None) == (then[1] is None)
    follows = first[1] is None or then[1] == first[1] + 1
    starts = _place(chain[0])[1] in (None, 0)
    return following if same and follows and starts and (first[0] or first[1] is not None) else None


def _place(node: ir.Node) -> tuple[str, int | None]:
    """The module of a node, and which of its layers it is: None where the weights' names do not tell."""
    weight = node.inputs[1 + STATES]
    found = _NAMED.match(key_of(weight)) if weight is not None else None
    if found is None:
        return where(node).module, None
    return found["module"] or "", int(found["layer"])


def _states(chain: Sequence[ir.Node]) -> list[ir.Value | None] | None:
    """The states that the whole chain begins with; None where they are not slices of one value, in order."""
    found: list[ir.Value | None] = []
    for index in range(1, 1 + STATES):
        given = [node.inputs[index] for node in chain]
        if len(chain) == 1 or all(state is None for state in given):
            found.append(given[0])
            continue
        step = 2 if attribute(chain[0], "bidirectional") else 1
        bases = {_base(state, k * step, (k + 1) * step) for k, state in enumerate(given)}
        base = next(iter(bases))
        if len(bases) != 1 or base is None or (dims(base) or (None,))[0] != step * len(chain):
            return None
        found.append(base)
    return found


def _base(state: ir.Value | None, start: int, stop: int) -> ir.Value | None:
    """What ``state`` is the entries ``start`` to ``stop`` of."""
    maker = state.producer() if state is not None else None
    if maker is None or (maker.domain, maker.op_type) != (ONNX, "Slice") or len(maker.inputs) < 4:
        return None
    bounds = [known(one) for one in maker.inputs[1:]]
    base = maker.inputs[0]
    size = (dims(base) or (None,))[0]
    if any(b is None or b.size != 1 for b in bounds) or not isinstance(size, int):
        return None
    first, last, axis, *steps = (int(b.reshape(-1)[0]) for b in bounds if b is not None)
    if axis not in (0, -3) or steps not in ([], [1]):
        return None
    return base if slice(first, last).indices(size)[:2] == (start, stop) else None


def _joined(edit: Editor, chain: Sequence[ir.Node], states: Sequence[ir.Value | None]) -> ir.Node:
    """One node in the place of all."""
    head, last = chain[0], chain[-1]
    attributes = {name: found.value for name, found in head.attributes.items()} | {"num_layers": len(chain)}
    parameters = [value for node in chain for value in node.inputs[1 + STATES :]]
    node = edit.node(
        "Recurrent",
        [head.inputs[0], *states, *parameters],
        attributes,
        like=head,
        wish=f"{head.name}_stack",
        domain=head.domain,
        outputs=len(head.outputs),
    )
    graph = graph_of(last)
    graph.insert_before(last, node)
    step = 2 if attribute(head, "bidirectional") else 1
    for i, out in enumerate(node.outputs):
        out.type, shape = last.outputs[i].type, dims(last.outputs[i])
        if shape is not None:
            out.shape = ir.Shape([*([step * len(chain)] if i else shape[:1]), *shape[1:]])
    replace(last.outputs[0], node.outputs[0])
    for i in range(1, len(node.outputs)):
        _rejoin(edit, [one.outputs[i] for one in chain], node, node.outputs[i], step)
    for one in reversed(chain):
        graph.remove(one, safe=True)
    return node


def _rejoin(edit: Editor, lasts: Sequence[ir.Value], node: ir.Node, whole: ir.Value, step: int) -> None:
    """The last states of all layers: as they are where they are put together, else cut out."""
    for user, _ in list(lasts[0].uses()):
        together = (user.domain, user.op_type) == (ONNX, "Concat") and attribute(user, "axis") in (0, -3)
        if together and list(user.inputs) == list(lasts) and not whole.is_graph_output():
            replace(user.outputs[0], whole)
            graph_of(user).remove(user, safe=True)
    for k, value in enumerate(lasts):
        if not value.uses() and not value.is_graph_output():
            continue
        bounds = [edit.ints([one], f"{node.name}_{name}") for name, one in _bounds(k, step)]
        part = edit.node("Slice", [whole, *bounds], like=node, wish=f"{value.name}_part")
        graph_of(node).insert_after(node, part)
        part.outputs[0].type = value.type
        replace(value, part.outputs[0])


def _bounds(k: int, step: int) -> tuple[tuple[str, int], ...]:
    return ("start", k * step), ("end", (k + 1) * step), ("axis", 0)


def _parts(node: ir.Node) -> Sequence[ir.Value | None]:
    return node.inputs[1 + STATES :]


def name_parts(edit: Editor, nodes: Sequence[ir.Node]) -> None:
    """Weights that were cut out of those of another source are called what PyTorch calls them."""
    graph = edit.model.graph
    named = set[ir.Value]()
    for node in nodes:
        parts = _parts(node)
        own = [value for value in parts if value is not None and ORIGIN in value.metadata_props]
        users = {user for value in own for user, _ in value.uses()}
        if not own or len(own) < len(parts) or any(_parts(user) != parts for user in users) or own[0] in named:
            continue
        named.update(own)  # a layer that is called several times has one name
        wish = (where(node).module or node.name or "recurrent").replace("/", ".").strip(".") or "recurrent"
        title, count = wish, 1
        while any(name.startswith(f"{title}.") for name in graph.initializers):
            title, count = f"{wish}_{count}", count + 1
        names = leaf_names(
            attribute(node, "num_layers"),
            bias=bool(attribute(node, "bias")),
            bidirectional=bool(attribute(node, "bidirectional")),
        )
        for value, name in zip(own, names, strict=True):
            graph.initializers.pop(str(value.name))
            value.name = f"{title}.{name}"
            graph.initializers.add(value)
