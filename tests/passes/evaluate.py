"""Run a hub on ONNX Runtime: nodes of our own domains are turned back into operators of ONNX first."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from isthmus.hub.model import CHANNELS_LAST, LAYER, Hub
from isthmus.passes.edit import Editor, attribute, rank
from isthmus.passes.layout.anchors import RULES
from isthmus.passes.layout.perms import inverse, last_perm, weight_perm

WEIGHTS = {"Conv": 1, "ConvTranspose": 1, "ConvInteger": 1, "QLinearConv": 3}


def channels_first(model: ir.Model) -> ir.Model:
    """A copy in which every channels-last node is the default domain's between Transposes. Slow on purpose."""
    model = ir.from_proto(ir.to_proto(model))
    model.ir_version = max(model.ir_version, 10)
    edit = Editor(model)
    for node in list(model.graph.all_nodes()):
        if node.domain == LAYER:
            {
                "Linear": _spell_out,
                "MultiheadAttention": _spell_heads,
                "PReLU": _spell_prelu,
                "Recurrent": _spell_recurrent,
            }[node.op_type](edit, node)
        if node.domain != CHANNELS_LAST:
            continue
        assert node.op_type in RULES
        axes = rank(node.inputs[0])
        assert axes is not None and axes >= 3, "a channels-last node needs a known rank"
        back = inverse(last_perm(axes))
        node.domain = ""
        image = edit.before(node, "Transpose", [node.inputs[0]], {"perm": list(back)})
        node.replace_input_with(0, image)
        if node.op_type in WEIGHTS:
            index = WEIGHTS[node.op_type]
            perm = list(inverse(weight_perm(axes)))
            node.replace_input_with(index, edit.before(node, "Transpose", [node.inputs[index]], {"perm": perm}))
        if node.op_type == "Resize":
            listed = [last_perm(axes)[axis] for axis in attribute(node, "axes")]
            node.attributes["axes"] = ir.AttrInt64s("axes", listed)
        for out in node.outputs[: 2 if node.op_type == "MaxPool" else 1]:
            after = edit.node("Transpose", [out], {"perm": list(last_perm(axes))}, like=node)
            node.graph.insert_after(node, after)
            last = after.outputs[0]
            if out.is_graph_output():
                out.name, last.name = f"{out.name}_inner", out.name
            ir.convenience.replace_all_uses_with(out, last, replace_graph_outputs=True)
            after.replace_input_with(0, out)
            last.type, last.shape, out.shape = out.type, out.shape, None
    model.opset_imports.pop(CHANNELS_LAST, None)
    model.opset_imports.pop(LAYER, None)
    return model


def _spell_out(edit: Editor, node: ir.Node) -> None:
    """A Linear as the operators that it is made of."""
    x, weight, *bias = node.inputs
    if not attribute(node, "transposed"):
        weight = edit.before(node, "Transpose", [weight], {"perm": [1, 0]})
    zero = edit.constant(np.zeros(1, weight.dtype.numpy()), "zero")
    product = edit.before(node, "MatMul", [x, weight])
    node.domain, node.op_type = "", "Add"
    node.attributes.clear()
    node.resize_inputs(2)
    node.replace_input_with(0, product)
    node.replace_input_with(1, bias[0] if bias else zero)


def _spell_heads(edit: Editor, node: ir.Node) -> None:
    """Attention of one head and one feature without biases, time first, as ONNX has it."""
    x, inside, outside = node.inputs
    first = edit.before(node, "MatMul", [x, edit.before(node, "Transpose", [inside], {"perm": [1, 0]})])
    first = edit.before(node, "Transpose", [first], {"perm": [1, 2, 0]})
    at = edit.ints([1, 3], "at")
    parts = [edit.before(node, "Gather", [first, edit.constant(np.int64(i), "i")], {"axis": 1}) for i in range(3)]
    result = edit.before(node, "Attention", [edit.before(node, "Unsqueeze", [part, at]) for part in parts])
    result = edit.before(node, "Transpose", [edit.before(node, "Squeeze", [result, edit.ints([1], "head")])])
    result.producer().attributes["perm"] = ir.AttrInt64s("perm", [1, 0, 2])
    node.domain, node.op_type = "", "MatMul"
    node.attributes.clear()
    node.resize_inputs(2)
    node.replace_input_with(0, result)
    node.replace_input_with(1, edit.before(node, "Transpose", [outside], {"perm": [1, 0]}))


def _spell_prelu(edit: Editor, node: ir.Node) -> None:
    """A PReLU as ONNX has it: its slopes reshaped to stand at the channels."""
    at = edit.ints([1, -1, *[1] * (rank(node.inputs[0]) - 2)], "at")
    node.domain, node.op_type = "", "PRelu"
    node.replace_input_with(1, edit.before(node, "Reshape", [node.inputs[1], at]))


def _spell_recurrent(edit: Editor, node: ir.Node) -> None:
    """A tanh RNN of one layer and direction as the operators that it is made of."""
    assert (attribute(node, "kind"), attribute(node, "num_layers"), attribute(node, "bias")) == ("RNN_TANH", 1, 0)
    x, h0, _, w, r = node.inputs
    turned = {"perm": [1, 0, 2]}
    first = edit.ints([0], "first")
    w, r = (edit.before(node, "Unsqueeze", [weight, first]) for weight in (w, r))
    x = edit.before(node, "Transpose", [x], turned)
    made = edit.node("RNN", [x, w, r, None, None, h0], {"hidden_size": attribute(node, "hidden_size")}, like=node)
    node.graph.insert_before(node, made)
    y = edit.before(node, "Squeeze", [made.outputs[0], edit.ints([1], "second")])
    node.domain, node.op_type = "", "Transpose"
    node.attributes.clear()
    node.attributes["perm"] = ir.AttrInt64s("perm", turned["perm"])
    node.resize_inputs(1)
    node.replace_input_with(0, y)
    node.resize_outputs(1)


def run(model: ir.Model, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The outputs of a model on ONNX Runtime, nothing optimised."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    proto = ir.to_proto(channels_first(model))
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def reference(model: ir.Model, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The outputs of a model of the default domain on ONNX's own evaluator, which knows every element type."""
    return list(ReferenceEvaluator(ir.to_proto(model)).run(None, feeds))


def feeds_of(hub: Hub, *, free: int = 3, seed: int = 0) -> dict[str, np.ndarray]:
    """Seeded inputs; every free dimension has the same size."""
    rng = np.random.default_rng(seed)
    feeds = {}
    for value in hub.graph.inputs:
        shape = tuple(d if isinstance(d, int) else free for d in value.shape)
        dtype = value.dtype.numpy()
        kind = np.dtype(dtype).kind
        array = rng.normal(size=shape) if kind == "f" else rng.integers(0, 2 if kind == "b" else 4, size=shape)
        feeds[value.name] = np.asarray(array).astype(dtype)
    return feeds
