"""Constant folding: what is known at conversion is computed then, unless that would cost memory or a parameter."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from isthmus.hub.free_dims import name_free_dims
from isthmus.hub.infer import infer_shapes
from isthmus.hub.model import ONNX, ROLE, Hub
from isthmus.hub.provenance import inherit
from isthmus.passes.arrays import FOLDS, Array, evaluate
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.edit import PERM, SHAPE, Editor, attribute, dims, graph_of, known, lazily, mark_permuted, replace

_SMALL = 64 << 10
"""Results up to this many bytes are kept whatever made them: shapes, and biases that exporters expand from zero."""

_LARGE = 4 << 20
"""Operands above this many bytes are only ever transposed, and lazily."""

_RESHAPING = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})
_GENERATORS = frozenset({"ConstantOfShape", "Expand", "Range", "Tile"})
"""Operators whose result may be far larger than their operands."""


class FoldConstants(HubPass):
    """Compute what depends on constants only, and the shapes that are known; take the branch of a known condition.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[2, 3, 4] x) => (float[2, 3, 4] y)
        <int64[1] one = {1}, int64 last = {2}, float[4] w = {1, 2, 3, 4}>
        {
            s = Shape (x)
            d = Gather <axis = 0> (s, last)
            e = Add (d, one)
            f = Cast <to = 1> (e)
            g = Mul (w, f)
            y = Add (x, g)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (float[2, 3, 4] x) => (float[2, 3, 4] y)
        <float[4] g = {5, 10, 15, 20}>
        {
            y = Add (x, g)
        }

    Random operators stay. With ``trainable`` no floating operand is folded: it may be a parameter, which must
    remain an initializer under its name.
    """

    def __init__(self, *, trainable: bool = False) -> None:
        self._trainable = trainable

    def call(self, hub: Hub) -> PassResult:
        reasons = Reasons()
        edit = Editor(hub.model)
        modified = False
        for node in list(hub.graph.all_nodes()):
            if node.domain != ONNX or node.graph is None:
                continue
            if node.op_type == "If":
                modified |= _take_branch(node, edit)
            elif node.op_type == "CastLike":
                modified |= _name_type(node)
            elif (node.op_type == "Transpose" and self._transpose_weight(edit, node)) or (
                node.op_type in _RESHAPING and self._reshape_weight(node)
            ):
                modified = True
            elif (results := self._results(node, reasons)) is not None:
                _settle(edit, node, results)
                modified = True
        if modified:
            infer_shapes(hub.model)
            name_free_dims(hub.model)
        return PassResult(hub, modified, tuple(reasons.found))

    def _results(self, node: ir.Node, reasons: Reasons) -> list[Array] | None:
        if node.op_type in ("Shape", "Size"):
            return _known_extent(node)
        if node.op_type not in FOLDS or not node.inputs:
            return None
        if any(v is not None and not _is_constant(v) for v in node.inputs):
            return None
        if any(v is not None and v.dtype == ir.DataType.STRING for v in node.inputs):
            return None
        tensors = [v.const_value for v in node.inputs if v is not None]
        held = sum(t.nbytes for t in tensors if t is not None)
        if held > _LARGE:
            reasons.decline(node, "its operands are large")
            return None
        if self._trainable and any(v is not None and _may_train(v) for v in node.inputs):
            reasons.decline(node, "an operand may be a parameter that trains")
            return None
        size = _result_bytes(node)
        if size is None and node.op_type in _GENERATORS:
            size = _generated_bytes(node, [known(v) for v in node.inputs])
        if size is not None and size > max(_SMALL, held):
            reasons.decline(node, "its result is larger than its operands")
            return None
        results = evaluate(node, [known(v) for v in node.inputs])
        if results is None:
            reasons.decline(node, "numpy would not say the same")
        return results

    def _transpose_weight(self, edit: Editor, node: ir.Node) -> bool:
        """Permute the weight instead, when it is written. It keeps its name, unless others use it as it is."""
        value, out = node.inputs[0], node.outputs[0]
        if value is not None and _transpose_filled(edit, node, value):
            return True
        if value is None or not _is_constant(value) or value.const_value is None or out.is_graph_output():
            return False
        if (self._trainable and _floating(value)) or len(value.const_value.shape) < 2:
            return False
        perm = attribute(node, "perm") or tuple(reversed(range(len(value.const_value.shape))))
        tensor = lazily(value.const_value, perm)
        if len(value.uses()) > 1 or value.is_graph_output():
            permuted = edit.initializer(tensor, f"{value.name}_transposed")
            mark_permuted(permuted, perm, value)
        else:
            permuted = value
            permuted.const_value, permuted.shape = tensor, ir.Shape(tensor.shape.numpy())
            mark_permuted(permuted, perm, value)
        ir.convenience.replace_all_uses_with(out, permuted)
        graph_of(node).remove(node, safe=True)
        return True

    def _reshape_weight(self, node: ir.Node) -> bool:
        """Reshape a floating weight that nothing else uses, when it is written, and let it keep its name."""
        value, out = node.inputs[0], node.outputs[0]
        shape = dims(out)
        if value is None or shape is None or not _is_constant(value) or value.const_value is None:
            return False
        sizes = [d for d in shape if isinstance(d, int)]
        alone = len(value.uses()) == 1 and not value.is_graph_output() and not out.is_graph_output()
        fits = len(sizes) == len(shape) and math.prod(sizes) == value.const_value.size
        if self._trainable or not _floating(value) or not alone or not fits or PERM in value.metadata_props:
            return False
        value.metadata_props.setdefault(SHAPE, ",".join(map(str, value.const_value.shape.numpy())))
        value.const_value = lazily(value.const_value, range(len(sizes)), sizes)
        value.shape = ir.Shape(sizes)
        ir.convenience.replace_all_uses_with(out, value)
        graph_of(node).remove(node, safe=True)
        return True


def _is_constant(value: ir.Value) -> bool:
    return value.const_value is not None and value.producer() is None and not value.is_graph_input()


def _floating(value: ir.Value) -> bool:
    return value.dtype is not None and value.dtype.is_floating_point()


def _may_train(value: ir.Value) -> bool:
    return _floating(value) and value.metadata_props.get(ROLE) != "constant"


def _name_type(node: ir.Node) -> bool:
    """CastLike becomes Cast where the type is known, so that it no longer hangs on a tensor."""
    dtype = node.outputs[0].dtype
    if dtype is None:
        return False
    node.op_type = "Cast"
    node.resize_inputs(1)
    node.attributes["to"] = ir.AttrInt64("to", int(dtype))
    return True


def _known_extent(node: ir.Node) -> list[Array] | None:
    """Shape and Size of what has no free dimension among those asked for."""
    shape = dims(node.inputs[0])
    if shape is None:
        return None
    if node.op_type == "Shape":
        shape = shape[slice(attribute(node, "start", 0), attribute(node, "end", len(shape)))]
    sizes = [d for d in shape if isinstance(d, int)]
    if len(sizes) < len(shape):
        return None
    return [np.array(math.prod(sizes) if node.op_type == "Size" else sizes, np.int64)]


def _result_bytes(node: ir.Node) -> int | None:
    total = 0
    for value in node.outputs:
        shape = dims(value)
        if shape is None or value.dtype is None or not all(isinstance(d, int) for d in shape):
            return None
        total += math.ceil(math.prod(d for d in shape if isinstance(d, int)) * value.dtype.itemsize)
    return total


def _generated_bytes(node: ir.Node, given: list[Array | None]) -> int:
    """How large the result of a generator will be; its operands are known."""
    first, *rest = [np.zeros(0) if array is None else array for array in given]
    match node.op_type:
        case "Range":
            count = abs(float(rest[0].reshape(-1)[0]) - float(first.reshape(-1)[0])) / abs(
                float(rest[1].reshape(-1)[0])
            )
        case "Tile":
            count = math.prod(rest[0].tolist()) * first.size
        case "Expand":
            count = math.prod(max(int(d), 1) for d in rest[0]) * first.size
        case _:
            count = math.prod(first.tolist())
    return math.ceil(count) * 8


def _transpose_filled(edit: Editor, node: ir.Node, value: ir.Value) -> bool:
    """A tensor that holds one number everywhere is made in the shape that is wanted."""
    maker = value.producer()
    shape = None if maker is None else known(maker.inputs[0])
    if maker is None or maker.op_type != "ConstantOfShape" or maker.domain != ONNX or shape is None:
        return False
    perm = attribute(node, "perm") or tuple(reversed(range(len(shape))))
    node.op_type = "ConstantOfShape"
    node.attributes.pop("perm", None)
    if "value" in maker.attributes:
        node.attributes["value"] = maker.attributes["value"]
    node.replace_input_with(0, edit.constant(shape[list(perm)], f"{value.name}_shape"))
    return True


def _settle(edit: Editor, node: ir.Node, results: list[Array]) -> None:
    """Initializers in place of the node's outputs; a graph output goes on through an Identity."""
    graph = graph_of(node)
    for value, array in zip(node.outputs, results, strict=True):
        if not value.uses() and not value.is_graph_output():
            continue
        tensor = ir.tensor(np.ascontiguousarray(array).reshape(array.shape), dtype=value.dtype)
        if value.is_graph_output():
            constant = _constant(edit.initializer(tensor, f"{value.name}_constant"))
            copy = edit.node("Identity", [constant], like=node, wish=f"{value.name}_copy")
            graph.insert_after(node, copy)
            replace(value, copy.outputs[0])
            continue
        name = value.name or ""
        value.name = edit.names.fresh(f"{name}__folded")
        constant = _constant(edit.initializer(tensor, name, exact=True))
        ir.convenience.replace_all_uses_with(value, constant)
    graph.remove(node, safe=True)


def _constant(value: ir.Value) -> ir.Value:
    """What was computed at conversion is no parameter."""
    value.metadata_props[ROLE] = "constant"
    return value


def _take_branch(node: ir.Node, edit: Editor) -> bool:
    """An If whose condition is known becomes the nodes of the branch taken."""
    condition = known(node.inputs[0])
    if condition is None:
        return False
    branch = node.attributes["then_branch" if condition.reshape(-1)[0] else "else_branch"].as_graph()
    graph = graph_of(node)
    outputs = list(branch.outputs)
    branch.outputs.clear()
    for inner in list(branch):
        branch.remove(inner)
        graph.insert_before(node, inner)
        inherit(inner, node)
    for old, new in zip(node.outputs, outputs, strict=True):
        copy = edit.node("Identity", [new], like=node, wish=f"{old.name}_taken")
        graph.insert_before(node, copy)
        copy.outputs[0].type = old.type
        replace(old, copy.outputs[0])
    graph.remove(node, safe=True)
    return True
