"""Steps of elementwise operators: the explicit broadcasting of opset 6 and before, casts, bounds as inputs."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from isthmus.hub.upgrades.base import Rule, Step, compatible, drop, rules_of, upgrade

_IN_PLACE_HINT = "consumed_inputs"
_BINARY = ("Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or", "Pow", "Sub", "Xor")


@upgrade(7, *_BINARY)
def numpy_broadcasting(c: Step) -> None:
    """``axis`` said where the second operand's dims line up with the first's; now they line up at the end."""
    broadcast, axis = c.take("broadcast", 0), c.take("axis")
    first, second = c.input(0), c.input(1)
    if not broadcast or axis is None or first is None or second is None:
        return
    wide, narrow = (
        c.known_rank(first, "broadcasting along an axis"),
        c.known_rank(second, "broadcasting along an axis"),
    )
    missing = wide - (axis % wide if wide else 0) - narrow
    if narrow and missing > 0:
        c.set_input(1, c.op("Unsqueeze", [second], axes=list(range(narrow, narrow + missing))))


@upgrade(7, "PRelu")
def slope_by_channel(c: Step) -> None:
    """A slope of one entry a channel was applied along axis 1; now it must broadcast to the data as it is."""
    data, slope = c.data(), c.input(1)
    if slope is None or c.known_rank(slope, "the slope") != 1 or (slope.shape or (None,))[0] == 1:
        return
    extra = c.known_rank(data, "the slope") - 2
    if extra > 0:
        c.set_input(1, c.op("Unsqueeze", [slope], axes=list(range(1, extra + 1))))


@upgrade(6, "Selu")
def explicit_selu(c: Step) -> None:
    """The defaults grew more digits: keep the old ones."""
    c.take("consumed_inputs")
    c.set("alpha", c.attr("alpha", 1.6732))
    c.set("gamma", c.attr("gamma", 1.0507))


@upgrade(6, "Cast")
def type_by_number(c: Step) -> None:
    """``to`` was the type's name."""
    name = str(c.attr("to"))
    if name.upper() not in ir.DataType.__members__:
        c.refuse(f"ONNX has no element type {name!r}")
    c.set("to", ir.DataType[name.upper()].value)


@upgrade(11, "Clip")
def bounds_as_inputs(c: Step) -> None:
    """``min`` and ``max`` become scalars of the data's type."""
    low, high = c.take("min"), c.take("max")
    for index, (name, bound) in enumerate((("min", low), ("max", high)), start=1):
        if bound is not None:
            dtype = c.dtype(c.data()).numpy()
            if dtype.kind in "iub":
                c.refuse("ONNX had no Clip of integers before opset 12")
            limits = np.finfo(dtype)
            within = np.clip(np.float64(bound), np.float64(limits.min), np.float64(limits.max))
            c.set_input(index, c.constant(np.asarray(within, dtype), name))


@upgrade(13, "Erf")
def floats_only(c: Step) -> None:
    dtype = c.data().dtype
    if dtype is not None and not dtype.is_floating_point():
        c.refuse("ONNX withdrew Erf of integers: it has no rounding", "cast to float before it")


RULES: tuple[Rule, ...] = (
    *rules_of(
        upgrade(
            6,
            *("Abs", "Add", "Ceil", "Clip", "Div", "Elu", "Exp", "Floor", "HardSigmoid", "InstanceNormalization"),
            *("LeakyRelu", "Log", "Max", "Mean", "Min", "Mul", "Neg", "PRelu", "Reciprocal", "Relu", "Sigmoid"),
            *("Sqrt", "Sub", "Sum", "Tanh"),
            by=drop(_IN_PLACE_HINT),
        ),
        numpy_broadcasting,
        slope_by_channel,
        explicit_selu,
        type_by_number,
        bounds_as_inputs,
        floats_only,
        upgrade(7, "Gemm", by=drop("broadcast")),
        compatible("Gemm", 11),
        compatible("Cast", 19, 24),
        compatible("CastLike", 19, 24),
        compatible("ArgMax", 12),
        compatible("ArgMin", 12),
    ),
)
