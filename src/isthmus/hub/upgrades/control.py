"""Steps of control flow."""

from __future__ import annotations

import onnx_ir as ir

from isthmus.hub.upgrades.base import Rule, Step, compatible, rules_of, upgrade


@upgrade(9, "Scan")
def batch_by_a_scan_around(c: Step) -> None:
    """Scan-8 ran its body for every item of a batch; Scan-9 knows no batch: a scan over it goes around.

    Given:   f, y = Scan<body, directions>("", s[B, …], x[B, T, …])
    Result:  f, y = Scan<body = (s[…], x[T, …]) → Scan<body>(s, x)>(s, x)
    """
    if c.input(0) is not None:
        c.refuse("ONNX has no scan over sequences of different lengths since opset 9", "pad and mask them")
    operands = list(c.node.inputs[1:])
    scans = int(c.take("num_scan_inputs"))
    directions = c.take("directions")
    body = c.node.attributes.pop("body")
    attributes = [body, ir.AttrInt64("num_scan_inputs", scans)]
    if directions:
        attributes.append(ir.AttrInt64s("scan_input_directions", directions))
    items = [_item(c, value, index) for index, value in enumerate(operands)]
    inner = ir.Node(
        *("", "Scan", items, attributes),
        num_outputs=len(c.node.outputs),
        version=c.to,
        name=c.fresh("item"),
        metadata_props=dict(c.node.metadata_props),
    )
    for output in inner.outputs:
        output.name = c.fresh("item.output")
    around = ir.Graph(items, inner.outputs, nodes=[inner], name=c.fresh("batch"))
    for index, value in enumerate(operands):
        c.set_input(index, value)
    c.node.resize_inputs(len(operands))
    c.node.attributes["body"] = ir.AttrGraph("body", around)
    c.node.attributes["num_scan_inputs"] = ir.AttrInt64("num_scan_inputs", len(operands))
    c.made.append(inner)


def _item(c: Step, value: ir.Value | None, index: int) -> ir.Value:
    """One item of a batched operand, as the surrounding body sees it."""
    if value is None:
        c.refuse(f"its operand {index} is missing")
    shape = None if value.shape is None else ir.Shape(list(value.shape)[1:])
    return ir.Value(name=c.fresh(f"{value.name}.item"), type=value.type, shape=shape)


RULES: tuple[Rule, ...] = (
    *rules_of(
        batch_by_a_scan_around,
        compatible("Loop", 11),
    ),
)
