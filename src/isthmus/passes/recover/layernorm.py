"""Layer normalization, with the mean and without, spelled out."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from isthmus.hub.model import ONNX, ROLE, Hub
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.edit import Editor, dims, replace
from isthmus.passes.recover.match import is_weight, made_by, remove_unused
from isthmus.passes.recover.moments import Normalized, normalized_by


class RecoverLayerNorm(HubPass):
    """Write a normalization over the last axes as LayerNormalization, or RMSNormalization where no mean is taken.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 2] x) => (float[n, 2] y)
        <float[2] gamma = {2, 3}, float[2] beta = {1, 1}, int64[1] last = {1}, float epsilon = {0.25}>
        {
            mean = ReduceMean <keepdims = 1> (x, last)
            d = Sub (x, mean)
            q = Mul (d, d)
            v = ReduceMean <keepdims = 1> (q, last)
            a = Add (v, epsilon)
            b = Sqrt (a)
            r = Reciprocal (b)
            m = Mul (r, gamma)
            n = Neg (mean)
            s = Mul (n, m)
            t = Add (s, beta)
            p = Mul (x, m)
            y = Add (p, t)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[n, 2] x) => (float[n, 2] y) <float[2] gamma = {2, 3}, float[2] beta = {1, 1}>
        {
            y = LayerNormalization <axis = -1, epsilon = 0.25> (x, gamma, beta)
        }
    """

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        edit = Editor(hub.model)
        modified = False
        for node in list(hub.graph.all_nodes()):
            if node.graph is None or node.domain != ONNX or node.op_type not in ("Add", "Mul", "Div"):
                continue
            found = normalized_by(node)
            if found is None:
                continue
            reason = _write(edit, found)
            if reason is None:
                modified = True
            else:
                reasons.decline(node, reason)
        return PassResult(hub, modified, tuple(reasons.found))


def _write(edit: Editor, found: Normalized) -> str | None:
    """Do it, or say why not."""
    value, axes = found.moments.value, found.moments.axes
    shape = dims(value)
    if shape is None or axes != tuple(range(len(shape) - len(axes), len(shape))):
        return "it does not normalize the last axes"
    tail = shape[-len(axes) :]
    if any(not isinstance(d, int) for d in tail):
        return "the sizes of what it normalizes are not known"
    scale, bias = _weight(found.scale, tail), _weight(found.bias, tail)
    if (scale is None) != (found.scale is None) or (bias is None) != (found.bias is None):
        return "its scale or bias is no weight of the axes that it normalizes"
    if value.dtype is None or not value.dtype.is_floating_point():
        return "its operand is no float"
    node = found.last
    if scale is None:
        scale = edit.constant(np.ones([int(d or 0) for d in tail], value.dtype.numpy()), f"{node.name}_scale")
        scale.metadata_props[ROLE] = "constant"
    attributes = {"axis": -len(axes), "epsilon": found.moments.epsilon}
    if found.moments.mean is None:
        made = edit.before(node, "RMSNormalization", [value, scale], attributes, shape=shape)
        if bias is not None:
            made = edit.before(node, "Add", [made, bias], shape=shape)
    else:
        given = [value, scale] if bias is None else [value, scale, bias]
        made = edit.before(node, "LayerNormalization", given, attributes, shape=shape)
    replace(node.outputs[0], made)
    remove_unused(node)
    return None


def _weight(value: ir.Value | None, tail: tuple[int | str | None, ...]) -> ir.Value | None:
    """The weight behind a scale or a bias, where it has just the shape of what is normalized."""
    shape = dims(value)
    if value is None or shape is None or shape[-len(tail) :] != tail or any(d != 1 for d in shape[: -len(tail)]):
        return None
    source = made_by(value, "Reshape", "Unsqueeze")
    held = value if source is None else source.inputs[0]
    return held if is_weight(held) and dims(held) == tail else None
