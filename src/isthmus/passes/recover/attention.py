"""Scaled dot-product attention, spelled out as two products with a softmax between them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import onnx_ir as ir

from isthmus.hub.model import ONNX, Hub
from isthmus.hub.schema import schema_of
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.edit import Editor, attribute, dims, known
from isthmus.passes.edit import replace as replace_value
from isthmus.passes.kernels import table
from isthmus.passes.recover.contraction import Contraction, Turned, contraction
from isthmus.passes.recover.masks import Sight, sight
from isthmus.passes.recover.match import made_by, near, remove_unused, scalar
from isthmus.passes.recover.scores import scores_of, unscaled


class RecoverAttention(HubPass):
    """Write softmax(queries · keysᵀ · scale + mask) · values, whose weights nothing else uses, as one Attention.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[b, n, 2, 4] q, float[b, m, 2, 4] k, float[b, m, 2, 4] v) => (float[b, n, 2, 4] y)
        <float scale = {0.25}>
        {
            p = Einsum <equation = "bnhe,bmhe->bhnm"> (q, k)
            s = Mul (p, scale)
            w = Softmax <axis = -1> (s)
            y = Einsum <equation = "bhnm,bmhe->bnhe"> (w, v)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[b, n, 2, 4] q, float[b, m, 2, 4] k, float[b, m, 2, 4] v) => (float[b, n, 2, 4] y)
        {
            a = Transpose <perm = [0, 2, 1, 3]> (q)
            c = Transpose <perm = [0, 2, 1, 3]> (k)
            d = Transpose <perm = [0, 2, 1, 3]> (v)
            e = Attention <scale = 0.25> (a, c, d)
            y = Transpose <perm = [0, 2, 1, 3]> (e)
        }

    With ``version``, only where ONNX Runtime has a kernel for it in that opset, and as that takes it.
    """

    requires = ("shapes of queries, keys and values",)

    def __init__(self, version: int | None = None) -> None:
        self._version = version

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        edit = Editor(hub.model)
        modified = False
        for node in list(hub.graph.all_nodes()):
            if node.graph is None or (node.domain, node.op_type) != (ONNX, "Softmax"):
                continue
            fits = _has_kernel(node.outputs[0].dtype, self._version)
            found = _found(node, whole=self._version is not None) if fits else "no kernel takes its type"
            if isinstance(found, str):
                reasons.decline(node, found)
            else:
                _write(edit, found)
                modified = True
        return PassResult(hub, modified, tuple(reasons.found))


@dataclass(frozen=True)
class _Attention:
    query: Turned
    key: Turned
    value: Turned
    scale: float
    factors: tuple[ir.Value, ...]
    """Weights of one element by which the scores are multiplied as well."""
    sight: Sight
    stages: tuple[ir.Value, ...]
    """The scores, whose sizes may be asked for."""
    last: Contraction
    """The product with the values."""


def _has_kernel(dtype: ir.DataType | None, version: int | None) -> bool:
    if dtype is None or not dtype.is_floating_point():
        return False
    schema = None if version is None else schema_of(ONNX, "Attention", version)
    kernels = () if schema is None else table()["Attention"].get(schema.since_version, ())
    return version is None or any(dtype.name.lower() in kernel["T1"] for kernel in kernels)


def _found(softmax: ir.Node, *, whole: bool) -> _Attention | str:
    """What is recovered, with masks that are ``whole`` where they must be; or why nothing is."""
    weights, given = softmax.outputs[0], softmax.inputs[0]
    rank = len(dims(weights) or ())
    if given is None or rank not in (3, 4) or attribute(softmax, "axis", -1) not in (-1, rank - 1):
        return "it does not weigh the last of three or four axes"
    weights, guarded = _guarded(weights)
    users = list(weights.uses())
    if len(users) != 1 or weights.is_graph_output():
        return "its weights are used otherwise"
    last = contraction(users[0].node.outputs[0], left=weights)
    if last is None or last.left.order != tuple(range(rank)):
        return "what it weighs is no product with values"
    scores = scores_of(given)
    if isinstance(scores, str):
        return scores
    first = scores.product
    if first.result != tuple(range(rank)) or len(dims(given) or ()) != rank:
        return "its scores are laid out otherwise"
    query, times_query = unscaled(first.left.value)
    key, times_key = unscaled(first.right.value)
    order = last.right.order
    found = _Attention(
        replace(first.left, value=query),
        replace(first.right, value=key),
        replace(last.right, order=(*order[:-2], order[-1], order[-2])),
        scores.scale * times_query * times_key,
        scores.factors,
        Sight(scores.mask, guarded, whole),
        scores.stages,
        last,
    )
    return _misfit(found) or _sharing(found)


def _guarded(weights: ir.Value) -> tuple[ir.Value, bool]:
    """The weights, behind what makes zeros of those that are no numbers where that is there."""
    tests = [use.node for use in weights.uses() if use.node.op_type == "IsNaN"]
    for use in tests[0].outputs[0].uses() if len(tests) == 1 and len(weights.uses()) == 2 else ():
        node = made_by(use.node.outputs[0], "Where")
        if node is not None and use.idx == 0 and node.inputs[2] is weights and scalar(node.inputs[1]) == 0.0:
            return node.outputs[0], True
    return weights, False


def _misfit(found: _Attention) -> str:
    """Why this is no attention, by its sizes, its scale and its mask; empty where it is."""
    queries, keys, values = found.query.sizes, found.key.sizes, found.value.sizes
    if None in (*queries, *keys, *values) or queries[-1] != keys[-1] or keys[:-1] != values[:-1]:
        return "its queries, keys and values do not fit together"
    if keys[:-2] != queries[:-2] and (len(keys) < 4 or keys[0] != queries[0] or keys[1] != 1):
        return "its queries, keys and values are of several batches"
    if found.scale <= 0:
        return "its scores are multiplied by no positive number"
    return found.sight.misfit([*queries[:-1], keys[-2]])


def _sharing(found: _Attention) -> _Attention:
    """With the keys and values that several heads share, where they were repeated for each."""
    key, value = (_unrepeated(side.bare()) for side in (found.key, found.value))
    if key is None or value is None or key.sizes[1] != value.sizes[1]:
        return found
    return replace(found, key=key, value=value)


def _unrepeated(side: Turned) -> Turned | None:
    """The heads before each was repeated a few times in a row: Reshape(Expand or Tile(Unsqueeze(x)))."""
    if len(side.order) != 4:
        return None
    axis = side.order[1]
    merge = made_by(side.value, "Reshape")
    copies = made_by(None if merge is None else merge.inputs[0], "Expand", "Tile")
    apart = made_by(None if copies is None else copies.inputs[0], "Unsqueeze")
    source = None if apart is None else apart.inputs[0]
    shape = dims(source)
    at = None if apart is None else known(apart.inputs[1])
    if copies is None or source is None or shape is None or at is None or len(shape) != 4:
        return None
    times = (dims(copies.outputs[0]) or (None,) * 5)[axis + 1]
    count, whole = shape[axis], (dims(side.value) or (None,) * 4)[axis]
    if at.reshape(-1).tolist() not in ([axis + 1], [axis - 4]) or not isinstance(times, int):
        return None
    if not isinstance(count, int) or whole != count * times:
        return None
    repeated = [*shape[: axis + 1], times, *shape[axis + 1 :]]
    merged = [*shape[:axis], whole, *shape[axis + 1 :]]
    fits = list(dims(copies.outputs[0]) or ()) == repeated and list(dims(side.value) or ()) == merged
    return Turned(source, side.order) if fits and None not in shape else None


def _write(edit: Editor, found: _Attention) -> None:
    anchor = found.last.node
    shape = found.query.sizes
    query = found.query.made(edit, anchor)
    for factor in found.factors:
        query = edit.before(anchor, "Mul", [query, factor], shape=shape)
    attributes: dict[str, Any] = {}
    width = shape[-1]
    if not isinstance(width, int) or not near(found.scale, width**-0.5, query.dtype):
        attributes["scale"] = found.scale
    if len(shape) == 3:
        attributes |= {"q_num_heads": 1, "kv_num_heads": 1}
    key = found.key.made(edit, anchor)
    query, mask, causal = sight(edit, anchor, found.sight, query, key)
    if causal:
        attributes["is_causal"] = 1
    given = [query, key, found.value.made(edit, anchor), *([] if mask is None else [mask])]
    made = edit.before(anchor, "Attention", given, attributes, shape=[*shape[:-1], found.value.sizes[-1]])
    replace_value(anchor.outputs[0], Turned(made, found.last.result).made(edit, anchor))
    remove_unused(anchor)
    for node in [use.node for stage in found.stages for use in stage.uses() if use.node.op_type == "Shape"]:
        _size(edit, node, found)
        remove_unused(node)


def _size(edit: Editor, node: ir.Node, found: _Attention) -> None:
    """Ask the queries and the keys for the sizes that ``node`` asks the scores for."""
    parts = [(found.query.value, axis) for axis in found.query.order[:-1]]
    parts.append((found.key.value, found.key.order[-2]))
    parts = parts[slice(attribute(node, "start", 0), attribute(node, "end"))]
    sizes = [
        edit.before(node, "Shape", [value], {"start": axis, "end": axis + 1}, dtype=ir.DataType.INT64, shape=[1])
        for value, axis in parts
    ]
    replace_value(node.outputs[0], edit.before(node, "Concat", sizes, {"axis": 0}, shape=[len(parts)]))
