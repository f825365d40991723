"""Steps of pooling, resizing and region operators."""

from __future__ import annotations

import numpy as np

from isthmus.hub.upgrades.base import Rule, Step, compatible, lacks, rules_of, upgrade

_GRID_MODES = {"bilinear": "linear", "bicubic": "cubic"}


@upgrade(7, "Upsample")
def scales_of_all_axes(c: Step) -> None:
    height, width = c.take("height_scale"), c.take("width_scale")
    if height is None or width is None:
        c.refuse("it carries no scales")
    c.set("scales", [1.0, 1.0, float(height), float(width)])
    c.set("mode", {"bilinear": "linear"}.get(c.attr("mode", "nearest"), c.attr("mode", "nearest")))


@upgrade(9, "Upsample")
def scales_as_input(c: Step) -> None:
    c.set_input(1, c.constant(np.asarray(c.take("scales"), np.float32), "scales"))


@upgrade(10, "Upsample")
def upsample_to_resize(c: Step) -> None:
    c.rename("Resize")


@upgrade(11, "Resize")
def asymmetric(c: Step) -> None:
    """Resize-10 mapped ``x_out / scale`` and rounded down when growing, up when shrinking.

    Resize-11 would take half-pixel centres. Where an op grows some axes and shrinks others, it becomes two.
    """
    data, scales = c.data(), c.input(1)
    mode = c.attr("mode", "nearest")
    c.set("mode", mode)
    c.set("coordinate_transformation_mode", "asymmetric")
    c.node.resize_inputs(3)
    c.set_input(1, None)
    c.set_input(2, scales)
    if mode != "nearest":
        return
    c.set("nearest_mode", "floor")
    known = c.known(scales)
    if known is not None and (known >= 1).all():
        return
    if known is not None and (known <= 1).all():
        c.set("nearest_mode", "ceil")
        return
    one, mapping = c.constant(np.float32(1), "one"), "asymmetric"
    up, down = c.op("Max", [scales, one]), c.op("Min", [scales, one])
    grown = c.op("Resize", [data, None, up], coordinate_transformation_mode=mapping, nearest_mode="floor")
    c.replace(c.op("Resize", [grown, None, down], coordinate_transformation_mode=mapping, nearest_mode="ceil"))


@upgrade(13, "Resize")
def absent_means_absent(c: Step) -> None:
    """Resize-11 wrote "no scales" and "no roi" as empty tensors."""
    if c.input(3) is not None:
        c.set_input(2, None)
    for index in (1, 2):
        known = c.known(c.input(index))
        if known is not None and known.size == 0:
            c.set_input(index, None)


@upgrade(16, "RoiAlign")
def output_half_pixel(c: Step) -> None:
    """Before 16 there was no half-pixel shift of the regions; the new default has one."""
    c.set("coordinate_transformation_mode", "output_half_pixel")


@upgrade(20, "GridSample")
def renamed_modes(c: Step) -> None:
    mode = c.attr("mode", "bilinear")
    c.set("mode", _GRID_MODES.get(mode, mode))


@upgrade(2, "GlobalLpPool", "LpPool")
def integer_p(c: Step) -> None:
    p = float(c.take("p", 2.0))
    if p != int(p):
        c.refuse(f"ONNX has no LpPool of the broken order p={p}")
    c.set("p", int(p))
    if c.node.op_type == "LpPool" and c.attr("kernel_shape") is None:
        c.refuse("it carries no kernel_shape")


RULES: tuple[Rule, ...] = (
    *rules_of(
        scales_of_all_axes,
        scales_as_input,
        upsample_to_resize,
        asymmetric,
        absent_means_absent,
        output_half_pixel,
        renamed_modes,
        integer_p,
        compatible("AveragePool", 7, 10, 19),
        compatible("LpPool", 18),
        compatible("MaxPool", 8, 10),
        compatible("Resize", 18),
        compatible("Resize", 19, fits=lacks("coordinate_transformation_mode", "half_pixel_symmetric")),
    ),
)
