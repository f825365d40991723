"""Odd shapes of things: writing diagonals, convolution with time first."""

from __future__ import annotations

from typing import Any

import torch
from onnxscript import opset23 as op

from isthmus.readers.torch.translations.build import Value, ints, ints_scalar, positions, rank

aten = torch.ops.aten


def diagonal_scatter(self: Value, src: Value, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Value:
    """``self`` with ``src`` [..., l] on the diagonal of the plane (dim1, dim2) that lies ``offset`` to the right."""
    ndim = rank(self)
    first, second = dim1 % ndim, dim2 % ndim
    order = [axis for axis in range(ndim) if axis not in (first, second)] + [first, second]
    back = [order.index(axis) for axis in range(ndim)]
    plane = op.Transpose(self, perm=order)
    rows, columns = positions(op.Shape(plane, start=-2, end=-1)), positions(op.Shape(plane, start=-1))
    row, column = op.Unsqueeze(rows, ints(1)), op.Unsqueeze(columns, ints(0))
    on = op.Equal(op.Add(row, ints_scalar(offset)), column)
    last = op.Sub(op.Squeeze(op.Shape(src, start=-1), ints(0)), ints_scalar(1))
    along, axis = (rows, -1) if offset >= 0 else (columns, -2)
    spread = op.Unsqueeze(op.Gather(src, op.Min(along, last), axis=-1), ints(axis))
    return op.Transpose(op.Where(on, spread, plane), perm=back)


def conv_tbc(self: Value, weight: Value, bias: Value, pad: int = 0) -> Value:
    """Convolution over [t, b, c] with weights [k, in, out]."""
    x = op.Transpose(self, perm=[1, 2, 0])
    w = op.Transpose(weight, perm=[2, 1, 0])
    return op.Transpose(op.Conv(x, w, bias, pads=[pad, pad]), perm=[2, 0, 1])


def vander(x: Value, N: int | None = None, increasing: bool = False) -> Value:
    """Powers of ``x`` [n] as columns, the highest first unless ``increasing``."""
    count = op.Shape(x) if N is None else ints(N)
    powers = positions(count)
    if not increasing:
        powers = op.Sub(op.Sub(count, ints(1)), powers)
    return op.Pow(op.Unsqueeze(x, ints(1)), op.CastLike(powers, x))


TRANSLATIONS: dict[Any, Any] = {
    aten.diagonal_scatter.default: diagonal_scatter,
    aten.conv_tbc.default: conv_tbc,
    aten.vander.default: vander,
}
