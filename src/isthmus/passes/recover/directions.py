"""Two recurrent layers over one sequence, of which one goes from back to front, as one layer of two directions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

import onnx_ir as ir

from isthmus.hub.model import ONNX, Hub
from isthmus.hub.provenance import MODULE, where
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.edit import Editor, attribute, dims, graph_of, known, replace
from isthmus.passes.recover.match import is_zero, made_by, remove_unused, reversal_of

_KINDS = ("LSTM", "GRU", "RNN")
_LISTS = ("activations", "activation_alpha", "activation_beta")
_OPERANDS = ("W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")


class JoinDirections(HubPass):
    """Write a layer and one of its kind that sees the sequence from back to front as one of two directions.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[t, n, 1] x) => (float[t, n, 2] y)
        <float[1, 1, 1] w = {0.5}, float[1, 1, 1] r = {0.25}, float[1, 1, 1] v = {0.75}, float[1, 1, 1] q = {2.0},
         int64[1] one = {1}, int64[1] last = {-1}, int64[1] before = {-9223372036854775807}, int64[1] time = {0}>
        {
            back = Slice (x, last, before, time, last)
            a = RNN <hidden_size = 1> (x, w, r)
            b = RNN <hidden_size = 1> (back, v, q)
            c = Squeeze (a, one)
            d = Squeeze (b, one)
            e = Slice (d, last, before, time, last)
            y = Concat <axis = -1> (c, e)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[t, n, 1] x) => (float[t, n, 2] y)
        <float[1, 1, 1] w = {0.5}, float[1, 1, 1] r = {0.25}, float[1, 1, 1] v = {0.75}, float[1, 1, 1] q = {2.0},
         int64[3] whole = {0, 0, 2}>
        {
            wv = Concat <axis = 0> (w, v)
            rq = Concat <axis = 0> (r, q)
            a = RNN <direction = "bidirectional", hidden_size = 1> (x, wv, rq)
            b = Transpose <perm = [0, 2, 1, 3]> (a)
            y = Reshape (b, whole)
        }
    """

    def call(self, hub: Hub) -> PassResult:
        reasons, edit, modified = Reasons(), Editor(hub.model), False
        for node in list(hub.graph):
            if node.graph is None or node.domain != ONNX or node.op_type not in _KINDS:
                continue
            backward = next(_turned_ones(node), None)
            if backward is None:
                reasons.decline(node, "no layer of its kind goes over its sequence from back to front")
                continue
            _join(edit, node, backward)
            modified = True
        if modified:
            hub.model.graph.sort()
        return PassResult(hub, modified, tuple(reasons.found))


def _turned_ones(node: ir.Node) -> Iterator[ir.Node]:
    """The layers that can be the other direction of ``node``."""
    x = node.inputs[0]
    given = made_by(x, "Transpose")
    whole = [x] if given is None else [x, given.inputs[0]]
    for value in whole:
        for use in value.uses() if value is not None else ():
            if use.node.op_type != "Slice" or use.idx != 0:
                continue
            turned = use.node.outputs[0]
            for user in (other.node for other in turned.uses()):
                found = user.outputs[0].uses() if user.op_type == "Transpose" and value is not x else [*turned.uses()]
                for last in {one.node for one in found}:
                    if _is_other_direction(node, last):
                        yield last


def _is_other_direction(node: ir.Node, other: ir.Node) -> bool:
    if (other.domain, other.op_type) != (ONNX, node.op_type) or other.graph is not node.graph or other is node:
        return False
    one, two = _settings(node), _settings(other)
    if one != two or one.get("direction", "forward") != "forward" or one.get("layout", 0):
        return False
    mine, theirs = _operands(node), _operands(other)
    if mine["sequence_lens"] is not None or theirs["sequence_lens"] is not None:
        return False
    if any((mine[name] is None) != (theirs[name] is None) for name in _OPERANDS):
        return False
    return node.inputs[0] is not None and _is_reversed(other.inputs[0], node.inputs[0])


def _settings(node: ir.Node) -> Mapping[str, object]:
    """The attributes, where every one that is a list is there for one direction."""
    return {name: attribute(node, name) for name in node.attributes}


def _operands(node: ir.Node) -> dict[str, ir.Value | None]:
    given = [*node.inputs[1:], *[None] * len(_OPERANDS)]
    found = dict(zip(_OPERANDS, given, strict=False))
    for name in ("initial_h", "initial_c"):
        found[name] = None if is_zero(found[name]) else found[name]
    return found


def _is_reversed(value: ir.Value | None, x: ir.Value) -> bool:
    """Whether ``value`` is ``x`` from back to front in time."""
    if reversal_of(value, 0) is x:
        return True
    turned, given = made_by(value, "Transpose"), made_by(x, "Transpose")
    if turned is None or given is None or attribute(turned, "perm") != attribute(given, "perm"):
        return False
    perm = attribute(given, "perm")
    return perm is not None and reversal_of(turned.inputs[0], perm[0]) is given.inputs[0]


def _join(edit: Editor, node: ir.Node, other: ir.Node) -> None:
    mine, theirs = _operands(node), _operands(other)
    given: list[ir.Value | None] = [node.inputs[0]]
    for name in _OPERANDS:
        first, second = mine[name], theirs[name]
        if first is None or second is None:
            given.append(None)
            continue
        shape = dims(first) or ()
        given.append(edit.before(node, "Concat", [first, second], {"axis": 0}, shape=(2, *shape[1:])))
    while given[-1] is None:
        given.pop()
    lists = {name: [*attribute(node, name)] * 2 for name in _LISTS if name in node.attributes}
    settings = {**_settings(node), **lists, "direction": "bidirectional"}
    made = edit.node(node.op_type, given, settings, like=node, outputs=len(node.outputs))
    if module := _common(where(node).module, where(other).module):
        made.metadata_props[MODULE] = module
    graph_of(node).insert_before(node, made)
    for k, output in enumerate(made.outputs):
        shape = dims(node.outputs[k]) or (None,) * (4 if k == 0 else 3)
        output.type = node.outputs[k].type
        output.shape = ir.Shape([shape[0], 2, *shape[2:]] if k == 0 else [2, *shape[1:]])
    _give_states(edit, node, other, made)
    _give_rows(edit, node, other, made)
    for gone in (node, other):
        remove_unused(gone)


def _common(first: str, second: str) -> str:
    """The innermost module that both are in."""
    parts = []
    for a, b in zip(first.split("."), second.split("."), strict=False):
        if a != b:
            break
        parts.append(a)
    return ".".join(parts) or first


def _give_states(edit: Editor, node: ir.Node, other: ir.Node, made: ir.Node) -> None:
    """The last states of each direction."""
    for k, whole in enumerate(made.outputs[1:], 1):
        if any(one.outputs[k].uses() or one.outputs[k].is_graph_output() for one in (node, other)):
            parts = _parts(edit, node, whole, 0)
            replace(node.outputs[k], parts[0])
            replace(other.outputs[k], parts[1])


def _give_rows(edit: Editor, node: ir.Node, other: ir.Node, made: ir.Node) -> None:
    """The output of every step of each direction; together where both are wanted side by side."""
    ends, turned = _ends(node.outputs[0]), _ends(other.outputs[0])
    backs = {axis: [back for value in values for back in _reversals(value, axis)] for axis, values in turned.items()}
    for axis, values in ends.items():
        for value, back in product(values, backs[axis]):
            for user in _users_of(value, back):
                if _is_side_by_side(user):
                    replace(user.outputs[0], _together(edit, node, made.outputs[0], axis))
                    remove_unused(user)
    for value, back in product(ends[0], backs[0]):
        for first, second in product(_stacked(value), _stacked(back)):
            for user in _users_of(first, second):
                if user.op_type == "Concat" and attribute(user, "axis") in (1, -3):
                    replace(user.outputs[0], made.outputs[0])
                    remove_unused(user)
    if not any(v.uses() or v.is_graph_output() for v in (node.outputs[0], other.outputs[0])):
        return
    parts = _parts(edit, node, made.outputs[0], 1)
    replace(node.outputs[0], parts[0])
    shape = dims(parts[1]) or ()
    for axis in (0, 1):
        for back in backs[axis]:
            maker = back.producer()
            plain = edit.before(node, "Squeeze", [parts[1], edit.ints([1], "axis")], shape=(shape[0], *shape[2:]))
            replace(back, _batch_first(edit, node, plain) if axis else plain)
            if maker is not None:
                remove_unused(maker)
    if other.outputs[0].uses() or other.outputs[0].is_graph_output():
        replace(other.outputs[0], _backwards(edit, node, parts[1]))


def _ends(y: ir.Value) -> dict[int, list[ir.Value]]:
    """The output without its axis of directions, by the axis of time."""
    squeezed = [user for user in {use.node for use in y.uses()} if _squeezes(user)]
    found: dict[int, list[ir.Value]] = {0: [node.outputs[0] for node in squeezed], 1: []}
    for value in found[0]:
        users = {use.node for use in value.uses() if use.node.op_type == "Transpose"}
        found[1] += [user.outputs[0] for user in users if tuple(attribute(user, "perm") or ()) == (1, 0, 2)]
    return found


def _squeezes(node: ir.Node) -> bool:
    axes = known(node.inputs[1]) if node.op_type == "Squeeze" and len(node.inputs) > 1 else None
    return axes is not None and axes.reshape(-1).tolist() in ([1], [-3])


def _reversals(value: ir.Value, axis: int) -> list[ir.Value]:
    return [use.node.outputs[0] for use in value.uses() if reversal_of(use.node.outputs[0], axis) is value]


def _stacked(value: ir.Value) -> list[ir.Value]:
    """The value with an axis of directions."""
    added = [use.node for use in value.uses() if use.node.op_type == "Unsqueeze" and use.idx == 0]
    axes = [known(node.inputs[1]) for node in added]
    lists = [None if found is None else found.reshape(-1).tolist() for found in axes]
    return [node.outputs[0] for node, found in zip(added, lists, strict=True) if found in ([1], [-3])]


def _users_of(first: ir.Value, second: ir.Value) -> list[ir.Node]:
    """The nodes that take these two and nothing else."""
    return [node for node in {use.node for use in first.uses()} if list(node.inputs) == [first, second]]


def _is_side_by_side(node: ir.Node) -> bool:
    return node.op_type == "Concat" and not node.domain and attribute(node, "axis") in (2, -1)


def _together(edit: Editor, anchor: ir.Node, y: ir.Value, axis: int) -> ir.Value:
    """Both directions side by side, with time along ``axis``."""
    steps, _, batch, units = dims(y) or (None,) * 4
    width = 2 * units if isinstance(units, int) else None
    turned = edit.before(anchor, "Transpose", [y], {"perm": (0, 2, 1, 3)}, shape=(steps, batch, 2, units))
    whole = edit.ints([0, 0, width if width is not None else -1], "shape")
    joined = edit.before(anchor, "Reshape", [turned, whole], shape=(steps, batch, width))
    return _batch_first(edit, anchor, joined) if axis else joined


def _batch_first(edit: Editor, anchor: ir.Node, value: ir.Value) -> ir.Value:
    first, second, *rest = dims(value) or (None,) * 3
    return edit.before(anchor, "Transpose", [value], {"perm": (1, 0, 2)}, shape=(second, first, *rest))


def _backwards(edit: Editor, anchor: ir.Node, value: ir.Value) -> ir.Value:
    bounds = [edit.ints([number], "turn") for number in (-1, -(2**63) + 1, 0, -1)]
    return edit.before(anchor, "Slice", [value, *bounds], shape=dims(value))


def _parts(edit: Editor, anchor: ir.Node, whole: ir.Value, axis: int) -> list[ir.Value]:
    """Both directions apart."""
    split = edit.node("Split", [whole], {"axis": axis, "num_outputs": 2}, like=anchor, outputs=2)
    graph_of(anchor).insert_before(anchor, split)
    shape = list(dims(whole) or ())
    shape[axis] = 1
    for output in split.outputs:
        output.type, output.shape = whole.type, ir.Shape(shape)
    return list(split.outputs)
