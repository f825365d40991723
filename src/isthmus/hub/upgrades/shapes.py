"""Steps of operators that move elements: attributes that became inputs, and what they left out."""

from __future__ import annotations

import numpy as np

from isthmus.hub.upgrades.base import Rule, Step, attr_to_input, compatible, lacks, rules_of, upgrade

REDUCE = (
    *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin"),
    *("ReduceProd", "ReduceSumSquare"),
)


@upgrade(5, "Reshape")
def shape_as_input(c: Step) -> None:
    c.take("consumed_inputs")
    c.set_input(1, c.constant(np.asarray(c.take("shape", []), np.int64), "shape"))


@upgrade(4, "Concat")
def explicit_axis(c: Step) -> None:
    c.set("axis", c.attr("axis", 1))


@upgrade(6, "Tile")
def repeats_of_all_axes(c: Step) -> None:
    """``tiles`` copies along one ``axis`` become the repeats of every axis."""
    tiles, axis = c.known(c.input(1)), c.known(c.input(2))
    if tiles is None or axis is None:
        c.refuse("its tiles and axis are only known at run time")
    repeats = np.ones(c.known_rank(c.data(), "the list of repeats"), np.int64)
    repeats[int(axis.reshape(()))] = int(tiles.reshape(()))
    c.set_input(1, c.constant(repeats, "repeats"))
    c.node.resize_inputs(2)


@upgrade(2, "Split")
def split_as_attribute(c: Step) -> None:
    c.set("axis", c.attr("axis", 0))
    if c.input(1) is None:
        return
    sizes = c.known(c.input(1))
    if sizes is None:
        c.refuse("its sizes are only known at run time")
    c.set("split", [int(size) for size in sizes])
    c.node.resize_inputs(1)


@upgrade(18, "Split")
def number_of_outputs(c: Step) -> None:
    if c.input(1) is None:
        c.set("num_outputs", len(c.node.outputs))


@upgrade(2, "Pad")
def renamed_pads(c: Step) -> None:
    c.set("pads", c.take("paddings"))


@upgrade(11, "Pad")
def pads_as_input(c: Step) -> None:
    """``pads`` and ``value`` become inputs; a value of zero is the default and stays away."""
    pads, value = c.take("pads"), c.take("value", 0.0)
    c.set_input(1, c.constant(np.asarray(pads, np.int64), "pads"))
    if value != 0.0:
        c.set_input(2, c.constant(np.asarray(value, c.dtype(c.data()).numpy()), "value"))


@upgrade(10, "Slice")
def bounds_as_inputs(c: Step) -> None:
    for index, name in enumerate(("starts", "ends", "axes"), start=1):
        attr_to_input(name, index)(c)


@upgrade(10, "TopK")
def k_as_input(c: Step) -> None:
    attr_to_input("k")(c)


@upgrade(11, "Scatter")
def scatter_elements(c: Step) -> None:
    c.rename("ScatterElements")


@upgrade(20, "DFT")
def axis_as_input(c: Step) -> None:
    """The default axis moved from 1 to -2: say it."""
    c.set_input(2, c.constant(np.int64(c.take("axis", 1)), "axis"))


RULES: tuple[Rule, ...] = (
    *rules_of(
        shape_as_input,
        explicit_axis,
        repeats_of_all_axes,
        split_as_attribute,
        number_of_outputs,
        renamed_pads,
        pads_as_input,
        bounds_as_inputs,
        k_as_input,
        scatter_elements,
        axis_as_input,
        upgrade(13, "Squeeze", "Unsqueeze", "ReduceSum", by=attr_to_input("axes")),
        upgrade(18, *REDUCE, by=attr_to_input("axes")),
        upgrade(13, "Split", by=attr_to_input("split")),
        compatible("Constant", 11, 12),
        compatible("DepthToSpace", 11),
        compatible("GatherND", 12),
        compatible("OptionalHasElement", 18),
        compatible("Pad", 18),
        compatible("Pad", 19, fits=lacks("mode", "wrap")),
        compatible("Reshape", 14),
        compatible("ScatterElements", 16),
        compatible("ScatterND", 16),
        compatible("Shape", 15),
        compatible("TopK", 11),
    ),
)
