"""RNN, GRU and LSTM with the weights and in the order of PyTorch's layers; stacked ones are one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import onnx_ir as ir

from isthmus.hub.model import LAYER, ONNX, ROLE, Hub
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.edit import Editor, attribute, dims, graph_of, known, replace
from isthmus.passes.gates import Parts, entries, is_zero, reordered
from isthmus.passes.stacks import join_stacks, name_parts

_FLOATS = (ir.DataType.FLOAT, ir.DataType.DOUBLE)

_ORDER: Mapping[str, Sequence[int]] = MappingProxyType({"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)})
"""Where ONNX keeps each of PyTorch's gates: i o f c → i f g o; z r h → r z n."""

_USUAL: Mapping[str, Sequence[str]] = MappingProxyType(
    {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh")}
)


@dataclass(frozen=True)
class _Match:
    """A node that PyTorch's layer computes: its parameters in PyTorch's order, the states that it begins with."""

    kind: str
    hidden: int
    directions: int
    parameters: tuple[ir.Value, ...]
    states: tuple[ir.Value | None, ...]


class FuseRecurrent(HubPass):
    """Write RNN, GRU and LSTM as PyTorch has them: its gates, its layout of outputs, several layers at once.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, t, 1] x) => (float[n, t, 1] y)
        <float[1, 1, 1] w = {0.5}, float[1, 1, 1] r = {0.25}, int64[1] one = {1}>
        {
            s = Transpose <perm = [1, 0, 2]> (x)
            a = RNN <hidden_size = 1> (s, w, r)
            b = Squeeze (a, one)
            y = Transpose <perm = [1, 0, 2]> (b)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26, "isthmus.layer": 1]>
        net (float[n, t, 1] x) => (float[n, t, 1] y)
        <float[1, 1] w = {0.5}, float[1, 1] r = {0.25}>
        {
            y, h = isthmus.layer.Recurrent <kind = "RNN_TANH", hidden_size = 1, num_layers = 1, bias = 0,
                                            batch_first = 1, bidirectional = 0> (x, , , w, r)
        }

    The second and third inputs are the states to begin with, zeros where they are absent.
    """

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        edit = Editor(hub.model)
        parts = Parts(edit)
        made: list[ir.Node] = []
        for node in list(hub.graph):
            if node.domain != ONNX or node.op_type not in _ORDER:
                continue
            match = _match(parts, node)
            if isinstance(match, str):
                reasons.decline(node, match)
            else:
                made.append(_fuse(edit, node, match))
        if made:
            hub.model.graph.opset_imports[LAYER] = 1
            made = join_stacks(edit, made)
            for node in made:
                _put_batch_first(node)
            name_parts(edit, made)
        return PassResult(hub, bool(made), tuple(reasons.found))


def _match(parts: Parts, node: ir.Node) -> _Match | str:
    """What is fused, or why nothing is."""
    inputs: list[ir.Value | None] = [*node.inputs, *[None] * (8 - len(node.inputs))]
    x, w, r, b, lengths, initial_h, initial_c, peepholes = inputs[:8]
    if lengths is not None or not (peepholes is None or is_zero(peepholes)):
        return "it has lengths or peepholes, which PyTorch's layer has not"
    if attribute(node, "layout", 0) or attribute(node, "clip", 0.0) or attribute(node, "input_forget", 0):
        return "it has a layout, a clip or coupled gates, which PyTorch's layer has not"
    if node.op_type == "GRU" and not attribute(node, "linear_before_reset", 0):
        return "its reset acts before the product"
    direction = attribute(node, "direction", "forward")
    directions = 2 if direction == "bidirectional" else 1
    kind = _kind(node, directions)
    shape = dims(x)
    if direction == "reverse" or kind is None:
        return "PyTorch's layer has no such direction or activation"
    if x is None or x.dtype not in _FLOATS or shape is None or shape[0] == 0:
        return "it does not compute in float32 or float64, or over no steps"
    if node.op_type != "LSTM":
        initial_c = None
    hidden, order = (dims(r) or (0, 0, 0))[-1], _ORDER[node.op_type]
    if not isinstance(hidden, int) or hidden < 1:
        return "its hidden size is not known"
    stacks = [(w, order), (r, order)]
    if b is not None and not _zeros_of_none(b):
        stacks += [(b, order), (b, [len(order) + k for k in order])]
    parameters: list[ir.Value] = []
    sides = [(entries(value), blocks) for value, blocks in stacks]
    for d in range(directions):
        for found, blocks in sides:
            value = None
            if found is not None and len(found) == directions:
                value = parts.settled(reordered(found[d], blocks, hidden), hidden, f"{node.name}_part")
            if value is None or value.dtype != x.dtype:
                return "its weights are computed"
            parameters.append(value)
    states = (None if is_zero(initial_h) else initial_h, None if is_zero(initial_c) else initial_c)
    if node.op_type == "LSTM" and (states[0] is None) != (states[1] is None):
        states = (initial_h, initial_c)
        if None in states:
            return "it is given one of its two states"
    return _Match(kind, hidden, directions, tuple(parameters), states)


def _zeros_of_none(bias: ir.Value) -> bool:
    """Whether a bias was only ever filled in by an exporter: zeros that are no weight of the source."""
    return is_zero(bias) and (bias.const_value is None or bias.metadata_props.get(ROLE) == "constant")


def _kind(node: ir.Node, directions: int) -> str | None:
    """The layer as PyTorch calls it, where it has the node's activations."""
    given = [name.lower() for name in attribute(node, "activations", None) or ()]
    if node.op_type == "RNN":
        given = given[:directions] or ["tanh"] * directions
        return f"RNN_{given[0].upper()}" if set(given) in ({"tanh"}, {"relu"}) else None
    usual = [*_USUAL[node.op_type]] * directions
    return node.op_type if not given or given[: len(usual)] == usual else None


def _fuse(edit: Editor, node: ir.Node, match: _Match) -> ir.Node:
    """The node as a layer of its own, time first; what hangs on it is rewired."""
    states = match.states
    attributes = {
        "kind": match.kind,
        "hidden_size": match.hidden,
        "num_layers": 1,
        "bias": int(len(match.parameters) == 4 * match.directions),
        "batch_first": 0,
        "bidirectional": int(match.directions == 2),
    }
    outputs = 3 if match.kind == "LSTM" else 2
    operands = [node.inputs[0], *states, *match.parameters]
    fused = edit.node(
        "Recurrent", operands, attributes, like=node, wish=f"{node.name}_layer", domain=LAYER, outputs=outputs
    )
    graph = graph_of(node)
    graph.insert_before(node, fused)
    x = dims(node.inputs[0]) or (None, None, None)
    dtype = node.inputs[0].dtype if node.inputs[0] is not None else None
    width = match.directions * match.hidden
    for out, shape in zip(
        fused.outputs, ((*x[:2], width), *[(match.directions, x[1], match.hidden)] * 2), strict=False
    ):
        out.shape = ir.Shape(shape)
        out.type = None if dtype is None else ir.TensorType(dtype)
    _rewire(edit, node, fused, match)
    for old, new in zip(node.outputs[1:], fused.outputs[1:], strict=False):
        if old.uses() or old.is_graph_output():
            replace(old, new)
    graph.remove(node, safe=True)
    return fused


def _rewire(edit: Editor, node: ir.Node, fused: ir.Node, match: _Match) -> None:
    """What takes the output of every step and direction, (t, d, b, h), takes PyTorch's, (t, b, d·h)."""
    y, made = node.outputs[0], fused.outputs[0]
    for user, _ in list(y.uses()):
        last = _flattened(user, y, match)
        if last is not None and not (last.outputs[0].is_graph_output() and made.is_graph_output()):
            replace(last.outputs[0], made)
            for gone in (last, user):
                if gone.graph is not None and not gone.outputs[0].uses() and not gone.outputs[0].is_graph_output():
                    graph_of(gone).remove(gone, safe=True)
    if not y.uses() and not y.is_graph_output():
        return
    apart = edit.ints([0, 0, match.directions, match.hidden], f"{node.name}_apart")
    t, b = (dims(made) or (None, None))[:2]
    split = edit.before(node, "Reshape", [made, apart], shape=[t, b, match.directions, match.hidden])
    turned = edit.before(
        node, "Transpose", [split], {"perm": [0, 2, 1, 3]}, shape=[t, match.directions, b, match.hidden]
    )
    replace(y, turned)


def _flattened(user: ir.Node, y: ir.Value, match: _Match) -> ir.Node | None:
    """The node behind which the directions are side by side: a Squeeze, or a Reshape behind a Transpose."""
    if user.domain != ONNX:
        return None
    if user.op_type == "Squeeze" and match.directions == 1:
        axes = known(user.inputs[1]) if len(user.inputs) > 1 else None
        return user if axes is not None and axes.reshape(-1).tolist() in ([1], [-3]) else None
    if user.op_type != "Transpose" or tuple(attribute(user, "perm") or ()) != (0, 2, 1, 3):
        return None
    users = list(user.outputs[0].uses())
    if len(users) != 1 or user.outputs[0].is_graph_output() or users[0].node.op_type != "Reshape":
        return None
    last, shape, whole = users[0].node, dims(users[0].node.outputs[0]), dims(y)
    width = match.directions * match.hidden
    target = known(last.inputs[1])
    listed = (
        target is not None and target.tolist() in ([0, 0, width], [0, 0, -1]) and not attribute(last, "allowzero")
    )
    same = whole is not None and None not in whole and shape == (whole[0], whole[2], width)
    return last if listed or (same and not last.outputs[0].is_graph_output()) else None


def _put_batch_first(node: ir.Node) -> None:
    """Let the layer turn batch and time, where they are turned before it and behind it."""
    x, y = node.inputs[0], node.outputs[0]
    maker = x.producer() if x is not None else None
    if maker is None or not _turns(maker) or y.is_graph_output() or maker.inputs[0] is None:
        return
    users = [use.node for use in y.uses()]
    named = sum(user.outputs[0].is_graph_output() for user in users)
    if not all(_turns(user) for user in users) or named > 1 or not (users or node.outputs[1].uses()):
        return
    node.replace_input_with(0, maker.inputs[0])
    node.attributes["batch_first"] = ir.AttrInt64("batch_first", 1)
    t, b, width = dims(y) or (None, None, None)
    y.shape = ir.Shape([b, t, width])
    for user in users:
        replace(user.outputs[0], y)
        graph_of(user).remove(user, safe=True)
    if not maker.outputs[0].uses() and not maker.outputs[0].is_graph_output():
        graph_of(maker).remove(maker, safe=True)


def _turns(node: ir.Node) -> bool:
    return (node.domain, node.op_type) == (ONNX, "Transpose") and tuple(attribute(node, "perm") or ()) == (1, 0, 2)
