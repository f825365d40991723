"""Steps of normalizations, dropout, recurrent layers, attention and quantization."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from isthmus.hub.upgrades.base import Rule, Step, compatible, drop, rules_of, upgrade


@upgrade(9, "BatchNormalization")
def per_activation(c: Step) -> None:
    """``spatial=0`` kept statistics for every activation: plain arithmetic says the same."""
    if c.take("spatial", 1):
        return
    if any(output.uses() or output.is_graph_output() for output in c.node.outputs[1:]):
        c.refuse("ONNX has no training of statistics per activation since opset 9")
    x, scale, bias, mean, var = c.node.inputs[:5]
    epsilon = np.asarray(c.attr("epsilon", 1e-5), c.dtype(c.data()).numpy())
    deviation = c.op("Sqrt", [c.op("Add", [var, c.constant(epsilon, "epsilon")])])
    normal = c.op("Div", [c.op("Sub", [x, mean]), deviation])
    c.replace(c.op("Add", [c.op("Mul", [normal, scale]), bias]))


@upgrade(14, "BatchNormalization")
def training_by_attribute(c: Step) -> None:
    """More than one output used to mean training mode; now an attribute says so, and the saved ones are gone."""
    outputs = c.node.outputs
    if any(output.uses() or output.is_graph_output() for output in outputs[3:]):
        c.refuse("its saved_mean and saved_var outputs were withdrawn in opset 14", "drop these outputs")
    if any(output.name for output in outputs[1:]):
        c.set("training_mode", 1)
    if len(outputs) > 3:
        c.node.resize_outputs(3)


@upgrade(21, "GroupNormalization")
def scale_by_channel(c: Step) -> None:
    """Scale and bias had one entry a group; now they have one a channel."""
    data = c.data()
    groups = c.constant(np.asarray([c.attr("num_groups")], np.int64), "groups")
    channels = c.op("Shape", [data], start=1, end=2)
    shape = c.op("Concat", [groups, c.op("Div", [channels, groups])], axis=0)
    column = c.constant(np.asarray([-1, 1], np.int64), "column")
    flat = c.constant(np.asarray([-1], np.int64), "flat")
    for index in (1, 2):
        value = c.input(index)
        spread = c.op("Expand", [c.op("Reshape", [value, column]), shape])
        c.set_input(index, c.op("Reshape", [spread, flat]))


@upgrade(10, "Dropout")
def boolean_mask(c: Step) -> None:
    """The mask had the data's type; it became a bool."""
    if len(c.node.outputs) < 2:
        return
    mask = c.node.outputs[1]
    if mask.uses() or mask.is_graph_output():
        c.put_after(mask, "Cast", to=c.dtype(c.data()).value)
    mask.type = ir.TensorType(ir.DataType.BOOL)


@upgrade(12, "Dropout")
def ratio_as_input(c: Step) -> None:
    ratio = c.take("ratio")
    if ratio is not None:
        c.set_input(1, c.constant(np.float32(ratio), "ratio"))


@upgrade(3, "GRU")
def forward(c: Step) -> None:
    """The default direction was misspelt."""
    if c.attr("direction", "foward") == "foward":
        c.set("direction", "forward")


RULES: tuple[Rule, ...] = (
    *rules_of(
        upgrade(6, "BatchNormalization", "Dropout", by=drop("consumed_inputs")),
        upgrade(7, "BatchNormalization", "Dropout", by=drop("is_test")),
        per_activation,
        training_by_attribute,
        scale_by_channel,
        boolean_mask,
        ratio_as_input,
        forward,
        upgrade(7, "GRU", "LSTM", "RNN", by=drop("output_sequence")),
        compatible("GRU", 14),
        compatible("LSTM", 14),
        compatible("RNN", 14),
        compatible("Attention", 24, 25),
        compatible("DequantizeLinear", 13, 19, 21, 23),
        compatible("QuantizeLinear", 13, 19, 21, 23),
    ),
)
