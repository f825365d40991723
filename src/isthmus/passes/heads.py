"""Attention of many heads with its projections, as one layer of PyTorch's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from isthmus.hub.model import LAYER, ONNX, Hub
from isthmus.hub.state import key_of
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.edit import Editor, attribute, dims, graph_of, known, replace
from isthmus.passes.movement import assignments, is_move, moved, path_back, shape_at, spelling

_FLOATS = (ir.DataType.FLOAT, ir.DataType.DOUBLE)


@dataclass(frozen=True)
class _Core:
    """The attention itself: where queries, keys and values come in, its result, and its weights by softmax."""

    query: ir.Value
    key: ir.Value
    value: ir.Value
    result: ir.Node
    keys_last: bool
    """Whether the keys come transposed, as one operand of a matrix product."""
    scores: ir.Value | None


@dataclass(frozen=True)
class _Match:
    inputs: ir.Node
    """The product that makes queries, keys and values, (t, b, 3·e)."""
    outputs: ir.Node
    last: ir.Value
    """The result, (t, b, e)."""
    heads: int
    mean: ir.Node | None
    """The mean of the weights over the heads."""


class _Proofs:
    """Where the elements of one layer go, those of every other one go that is spelled alike: it is shown once."""

    def __init__(self) -> None:
        self._shown: dict[tuple[object, ...], bool] = {}

    def right_places(self, inputs: ir.Node, core: _Core, routes: Sequence[Sequence[ir.Node]], heads: int) -> bool:
        spelled = tuple(spelling(route) for route in routes)
        key = (dims(inputs.outputs[0]), spelled, heads, core.keys_last, core.scores is None)
        if key not in self._shown:
            self._shown[key] = _right_places(inputs, core, routes, heads)
        return self._shown[key]

    def is_restored(
        self,
        inputs: ir.Node,
        core: _Core,
        route: Sequence[ir.Node],
        outputs: ir.Node,
        behind: Sequence[ir.Node],
        heads: int,
    ) -> bool:
        ends = tuple(dims(node.outputs[0]) for node in (inputs, core.result, outputs))
        key = (*ends, spelling(route), spelling(behind), heads)
        if key not in self._shown:
            self._shown[key] = _is_restored(inputs, core, route, outputs, behind, heads)
        return self._shown[key]


class FuseHeads(HubPass):
    """Write self-attention with projections in and out, named as PyTorch's are, as one MultiheadAttention.

    Given::

        <ir_version: 10, opset_import: ["": 26, "isthmus.layer": 1]>
        net (float[t, b, 1] x) => (float[t, b, 1] y)
        <float[3, 1] "m.in_proj_weight" = {1, 2, 3}, float[1, 1] "m.out_proj.weight" = {2},
         int64 first = {0}, int64 second = {1}, int64 third = {2}, int64[2] at = {1, 3}, int64[1] head = {1},
         float[t, b, 3] p>
        {
            p = isthmus.layer.Linear <transposed = 0> (x, "m.in_proj_weight")
            r = Transpose <perm = [1, 2, 0]> (p)
            a = Gather <axis = 1> (r, first)
            q = Unsqueeze (a, at)
            c = Gather <axis = 1> (r, second)
            k = Unsqueeze (c, at)
            d = Gather <axis = 1> (r, third)
            v = Unsqueeze (d, at)
            o = Attention (q, k, v)
            e = Squeeze (o, head)
            s = Transpose <perm = [1, 0, 2]> (e)
            y = isthmus.layer.Linear <transposed = 0> (s, "m.out_proj.weight")
        }

    Result::

        <ir_version: 10, opset_import: ["": 26, "isthmus.layer": 1]>
        net (float[t, b, 1] x) => (float[t, b, 1] y)
        <float[3, 1] "m.in_proj_weight" = {1, 2, 3}, float[1, 1] "m.out_proj.weight" = {2}>
        {
            y = isthmus.layer.MultiheadAttention <num_heads = 1, batch_first = 0>
                (x, "m.in_proj_weight", "m.out_proj.weight")
        }
    """

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        edit = Editor(hub.model)
        modified = False
        proofs = _Proofs()
        for node in list(hub.graph):
            weight = node.inputs[1] if (node.domain, node.op_type) == (LAYER, "Linear") else None
            if weight is None or not key_of(weight).endswith(".out_proj.weight"):
                continue
            match = _match(node, key_of(weight).removesuffix(".out_proj.weight"), proofs)
            if isinstance(match, str):
                reasons.decline(node, match)
            else:
                _fuse(edit, match)
                modified = True
        if modified:
            hub.graph.sort()
        return PassResult(hub, modified, tuple(reasons.found))


def _match(outputs: ir.Node, module: str, proofs: _Proofs) -> _Match | str:
    """What is fused, or why nothing is."""
    if attribute(outputs, "transposed", 0) or outputs.inputs[0] is None:
        return "its projection is stored otherwise"
    found = path_back(outputs.inputs[0], _is_core)
    core = _core(found[0]) if found is not None else None
    if found is None or core is None:
        return "what it projects is no attention"
    sides = [path_back(value, _is_linear) for value in (core.query, core.key, core.value)]
    made = {side[0] for side in sides if side is not None}
    if len(made) != 1 or None in sides:
        return "its queries, keys and values come from several products"
    inputs = next(iter(made))
    names = [key_of(v) for v in inputs.inputs[1:] if v is not None]
    biased = len(outputs.inputs) > 2 and outputs.inputs[2] is not None
    wanted = [f"{module}.in_proj_weight", *([f"{module}.in_proj_bias"] if biased else [])]
    if names != wanted or attribute(inputs, "transposed", 0):
        return "its weights are not named as PyTorch's"
    if biased and key_of(outputs.inputs[2]) != f"{module}.out_proj.bias":  # type: ignore[arg-type]
        return "its weights are not named as PyTorch's"
    packed, whole = dims(inputs.outputs[0]), dims(core.result.outputs[0])
    if packed is None or len(packed) != 3 or not isinstance(packed[2], int) or packed[2] % 3 or whole is None:
        return "it takes no sequences of vectors"
    if inputs.inputs[0] is None or inputs.inputs[0].dtype not in _FLOATS or not isinstance(whole[-1], int):
        return "it does not compute in float32 or float64"
    if (dims(inputs.inputs[0]) or (None,))[-1] != packed[2] // 3 or packed[2] // 3 % whole[-1]:
        return "its widths differ"
    heads = packed[2] // 3 // whole[-1]
    if not _scaled(core, whole[-1]):
        return "its scores are scaled otherwise"
    routes = [side[1] for side in sides if side is not None]
    if not proofs.right_places(inputs, core, routes, heads):
        return "its heads are laid out otherwise"
    last = _last(inputs, core, found[1], outputs, heads, proofs)
    if last is None:
        return "its result is laid out otherwise"
    mean = _mean(core, heads)
    if mean is False:
        return "its weights are used otherwise"
    return _Match(inputs, outputs, last, heads, mean if isinstance(mean, ir.Node) else None)


def _is_linear(node: ir.Node) -> bool:
    return (node.domain, node.op_type) == (LAYER, "Linear")


def _is_core(node: ir.Node) -> bool:
    return node.domain == ONNX and node.op_type in ("Attention", "MatMul")


def _core(node: ir.Node) -> _Core | None:
    """An Attention of four axes without a mask, or the products and the softmax that it is made of."""
    q, k, v = [*node.inputs, None, None, None][:3]
    if node.op_type == "Attention":
        plain = not attribute(node, "is_causal", 0) and not attribute(node, "softcap", 0.0) and len(node.inputs) == 3
        if not plain or q is None or k is None or v is None or len(dims(q) or ()) != 4 or len(node.outputs) > 1:
            return None
        return _Core(q, k, v, node, False, None)
    softmax = q.producer() if q is not None else None
    if softmax is None or (softmax.domain, softmax.op_type) != (ONNX, "Softmax") or k is None:
        return None
    scores = softmax.inputs[0].producer() if softmax.inputs[0] is not None else None
    if scores is None or (scores.domain, scores.op_type) != (ONNX, "MatMul"):
        return None
    scaled, keys = scores.inputs
    scale = scaled.producer() if scaled is not None else None
    if attribute(softmax, "axis", -1) not in (-1, 2) or keys is None or len(dims(q) or ()) != 3:
        return None
    if scale is None or (scale.domain, scale.op_type) != (ONNX, "Mul") or scale.inputs[0] is None:
        return None
    return _Core(scale.inputs[0], keys, k, node, True, q)


def _scaled(core: _Core, width: int) -> bool:
    """Whether the scores are divided by the root of the width of a head."""
    if core.scores is None:
        given = attribute(core.result, "scale")
        return given is None or math.isclose(given, width**-0.5, rel_tol=1e-6)
    softmax = core.scores.producer()
    scores = softmax.inputs[0].producer() if softmax is not None and softmax.inputs[0] is not None else None
    scale = scores.inputs[0].producer() if scores is not None and scores.inputs[0] is not None else None
    factor = known(scale.inputs[1]) if scale is not None else None
    return factor is not None and factor.size == 1 and math.isclose(float(factor), width**-0.5, rel_tol=1e-6)


def _right_places(inputs: ir.Node, core: _Core, routes: Sequence[Sequence[ir.Node]], heads: int) -> bool:
    """Whether queries, keys and values are the thirds of the product, head by head."""
    packed = inputs.outputs[0]
    involved = [packed, *(node.outputs[0] for route in routes for node in route)]
    for sizes in assignments(involved):
        shape = shape_at(packed, sizes)
        if shape is None:
            return False
        t, b, width = shape
        places = np.arange(t * b * width).reshape(shape)
        for third, route in enumerate(routes):
            found = moved(places, route, sizes)
            part = places.reshape(t, b, 3, heads, -1)[:, :, third].transpose(1, 2, 0, 3)
            if third == 1 and core.keys_last:
                part = part.swapaxes(2, 3)
            if found is None or found.size != part.size or found.shape[-2:] != part.shape[-2:]:
                return False
            if core.scores is None and found.shape != part.shape:
                return False
            if not np.array_equal(found.reshape(part.shape), part):
                return False
    return True


def _last(
    inputs: ir.Node, core: _Core, route: Sequence[ir.Node], outputs: ir.Node, heads: int, proofs: _Proofs
) -> ir.Value | None:
    """The value behind the projection that is (t, b, e) again."""
    value, behind = outputs.outputs[0], list[ir.Node]()
    while not proofs.is_restored(inputs, core, route, outputs, behind, heads):
        users = list(value.uses())
        if len(users) != 1 or value.is_graph_output() or not is_move(users[0].node) or users[0].idx:
            return None
        behind.append(users[0].node)
        value = users[0].node.outputs[0]
    return value


def _is_restored(
    inputs: ir.Node,
    core: _Core,
    route: Sequence[ir.Node],
    outputs: ir.Node,
    behind: Sequence[ir.Node],
    heads: int,
) -> bool:
    result = core.result.outputs[0]
    packed = inputs.outputs[0]
    ends = [outputs.outputs[0], packed, result, *(node.outputs[0] for node in (*route, *behind))]
    for sizes in assignments(ends):
        shape, whole = shape_at(packed, sizes), shape_at(result, sizes)
        projected = shape_at(outputs.outputs[0], sizes)
        if shape is None or whole is None or projected is None:
            return False
        t, b, width = shape[0], shape[1], shape[2] // 3
        if math.prod(whole) != t * b * width:
            return False
        places = np.arange(t * b * width).reshape(b, heads, t, -1)
        rows = moved(places.reshape(whole), route, sizes)
        wanted = places.transpose(2, 0, 1, 3).reshape(t, b, width)
        if rows is None or rows.shape != projected or rows.shape[-1] != width:
            return False
        flat, features = rows.reshape(-1, width), places[0, :, 0].reshape(-1)
        if not (flat - flat[:, :1] == features - features[0]).all():
            return False  # the projection would meet the features in another order
        found = moved(rows, behind, sizes)
        if found is None or found.shape != wanted.shape or not np.array_equal(found, wanted):
            return False
    return True


def _mean(core: _Core, heads: int) -> ir.Node | bool | None:
    """The node that takes the mean of the weights over the heads; None where nothing takes them, False for others."""
    if core.scores is None:
        return None
    users = [use.node for use in core.scores.uses() if use.node is not core.result]
    if not users and not core.scores.is_graph_output():
        return None
    if len(users) != 1 or core.scores.is_graph_output() or users[0].op_type != "Reshape":
        return False
    apart, shape = users[0].outputs[0], dims(users[0].outputs[0])
    following = list(apart.uses())
    if len(following) != 1 or apart.is_graph_output() or following[0].node.op_type != "ReduceMean":
        return False
    mean = following[0].node
    axes = known(mean.inputs[1]) if len(mean.inputs) > 1 else None
    plain = axes is not None and axes.reshape(-1).tolist() == [1] and not attribute(mean, "keepdims", 1)
    return mean if plain and shape is not None and len(shape) == 4 and shape[1] == heads else False


def _turned(value: ir.Value | None) -> ir.Value | None:
    """What ``value`` is the transposition of time and batch of."""
    maker = value.producer() if value is not None else None
    if maker is None or (maker.domain, maker.op_type) != (ONNX, "Transpose"):
        return None
    return maker.inputs[0] if tuple(attribute(maker, "perm") or ()) == (1, 0, 2) else None


def _fuse(edit: Editor, match: _Match) -> None:
    x, last = match.inputs.inputs[0], match.last
    outer, users = _turned(x), list(last.uses())
    batch_first = outer is not None and len(users) == 1 and not last.is_graph_output()
    batch_first = batch_first and _turned(users[0].node.outputs[0]) is last
    if batch_first:
        x, last = outer, users[0].node.outputs[0]
    biases = [value for node in (match.inputs, match.outputs) for value in node.inputs[2:]]
    operands = [x, match.inputs.inputs[1], match.outputs.inputs[1], *biases]
    attributes = {"num_heads": match.heads, "batch_first": int(batch_first)}
    fused = edit.node(
        "MultiheadAttention",
        operands,
        attributes,
        like=match.outputs,
        wish=f"{match.outputs.name}_heads",
        domain=LAYER,
        outputs=1 if match.mean is None else 2,
    )
    graph_of(match.outputs).insert_before(match.outputs, fused)
    for old, new in zip((last, *(() if match.mean is None else match.mean.outputs)), fused.outputs, strict=True):
        new.type = old.type
        replace(old, new)
