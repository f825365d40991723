"""What opsets above the hub's added to operators that it has, said in the hub's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import onnx_ir as ir

from isthmus.hub.upgrades.base import Step

_NARROW = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
_FLOAT = ir.DataType.FLOAT.value
_INT64 = ir.DataType.INT64.value


def _through_float(c: Step) -> None:
    """Compute in float32 what is defined for half types since then only; every half fits a float."""
    narrow = next((v.dtype for v in c.node.inputs if v is not None and v.dtype in _NARROW), None)
    if narrow is None:
        return
    for index, value in enumerate(c.node.inputs):
        if value is not None and value.dtype == narrow:
            cast = c.op("Cast", [value], to=_FLOAT)
            cast.type, cast.shape = ir.TensorType(ir.DataType.FLOAT), value.shape
            c.set_input(index, cast)
    for output in c.node.outputs:
        if output.dtype == narrow:
            c.put_after(output, "Cast", to=narrow.value)
            output.type = ir.TensorType(ir.DataType.FLOAT)


def _range(c: Step) -> None:
    """``stash_type`` is the precision of the sum, which float is by itself."""
    if c.take("stash_type", 1) != 1:
        c.refuse("ONNX has no range that sums in half precision below opset 27")
    _through_float(c)


def _celu(c: Step) -> None:
    """Celu of doubles, by its definition: max(0, x) + min(0, alpha·(exp(x / alpha) - 1))."""
    x = c.data()
    if c.dtype(x) in _NARROW:
        _through_float(c)
        return
    dtype = c.dtype(x).numpy()
    alpha, one = c.constant(np.asarray(c.attr("alpha", 1.0), dtype), "alpha"), c.constant(np.ones((), dtype), "one")
    zero = c.constant(np.zeros((), dtype), "zero")
    grown = c.op("Sub", [c.op("Exp", [c.op("Div", [x, alpha])]), one])
    below = c.op("Min", [zero, c.op("Mul", [alpha, grown])])
    c.replace(c.op("Add", [c.op("Max", [zero, x]), below]))


def _mod(c: Step) -> None:
    """The remainder with the divisor's sign, from that with the dividend's: exact, signed zeros included."""
    x, y = c.data(), c.input(1)
    dtype = c.dtype(x).numpy()
    zero, minus = c.constant(np.zeros((), dtype), "zero"), c.constant(np.asarray(-0.0, dtype), "minus_zero")
    rest = c.op("Mod", [x, y], fmod=1)
    below, negative = c.op("Less", [rest, zero]), c.op("Less", [y, zero])
    moved = c.op("Where", [c.op("Xor", [below, negative]), c.op("Add", [rest, y]), rest])
    nothing = c.op("Where", [negative, minus, zero])
    c.replace(c.op("Where", [c.op("Equal", [rest, zero]), nothing, moved]))


def _space_to_depth(c: Step) -> None:
    """Depth-column-row order, then the blocks moved behind the channels."""
    mode = c.take("mode", "DCR")
    if mode != "CRD":
        return
    block = int(c.attr("blocksize"))
    blocks = c.op("SpaceToDepth", [c.data()], blocksize=block)
    shape = c.op("Shape", [blocks])
    head = c.constant(np.asarray([0, block * block, -1], np.int64), "head")
    apart = c.op("Concat", [head, c.op("Shape", [blocks], start=2)], axis=0)
    turned = c.op("Transpose", [c.op("Reshape", [blocks, apart])], perm=[0, 2, 1, 3, 4])
    c.replace(c.op("Reshape", [turned, shape]))


def _bit_shift(c: Step) -> None:
    """Shifts of signed integers, as arithmetic on int64: powers of two, rounded down, wrapped around."""
    x, y = c.data(), c.input(1)
    dtype = c.dtype(x)
    bits = dtype.bitwidth
    wide, by = c.op("Cast", [x], to=_INT64), c.op("Cast", [y], to=_INT64)
    zero, width = c.constant(np.int64(0), "zero"), c.constant(np.int64(bits), "width")
    outside = c.op("Or", [c.op("Less", [by, zero]), c.op("GreaterOrEqual", [by, width])])
    within = c.op("Where", [outside, zero, by])
    if c.attr("direction") == "LEFT":
        powers = np.left_shift(np.int64(1), np.arange(bits, dtype=np.int64))
        moved = c.op("Mul", [wide, c.op("Gather", [c.constant(powers, "powers"), within])])
        shifted = c.op("Where", [outside, zero, moved if bits == 64 else _wrapped(c, moved, bits)])
    else:
        minus = c.constant(np.int64(-1), "minus")
        sign = c.op("Where", [c.op("Less", [wide, zero]), minus, zero])
        # The power of the last bit does not fit: shifting by it leaves the sign, as all beyond it do.
        powers = np.left_shift(np.int64(1), np.minimum(np.arange(bits, dtype=np.int64), bits - 2))
        power = c.op("Gather", [c.constant(powers, "powers"), within])
        floored = c.op("Div", [c.op("Sub", [wide, c.op("Mod", [wide, power])]), power])
        last = c.op("Equal", [by, c.constant(np.int64(bits - 1), "last")])
        shifted = c.op("Where", [c.op("Or", [outside, last]), sign, floored])
    c.replace(c.op("Cast", [shifted], to=dtype.value))


def _wrapped(c: Step, value: ir.Value, bits: int) -> ir.Value:
    """The two's complement number of ``bits`` bits that ``value`` is, modulo their range."""
    half, span = c.constant(np.int64(1 << (bits - 1)), "half"), c.constant(np.int64(1 << bits), "span")
    return c.op("Sub", [c.op("Mod", [c.op("Add", [value, half]), span]), half])


DESCENTS: Mapping[str, Callable[[Step], None]] = MappingProxyType(
    {
        "BitShift": _bit_shift,
        "Celu": _celu,
        "Mod": _mod,
        "Range": _range,
        "SpaceToDepth": _space_to_depth,
        **dict.fromkeys(("Compress", "Einsum", "OneHot", "ReverseSequence", "Unique"), _through_float),
    }
)
"""Operator → how a node that says what only a newer opset defines is rewritten for the hub's."""
