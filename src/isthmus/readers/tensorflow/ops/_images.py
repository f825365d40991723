"""Images: where their channels stand, and what is padded around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from isthmus.lower.windows import Padding, Window, same_padding
from isthmus.readers.tensorflow.builder import Builder
from isthmus.readers.tensorflow.graph import Context
from isthmus.types import Dim


@dataclass(frozen=True)
class Format:
    """Where the batch, the channels and the spatial axes of an image of ``rank`` axes stand."""

    rank: int
    last: bool

    @classmethod
    def of(cls, c: Context, data_format: str, rank: int) -> Format:
        """By TensorFlow's word. Refuses packed formats."""
        last = {"NHWC": True, "NDHWC": True, "CHANNELS_LAST": True}
        first = {"NCHW": False, "NCDHW": False, "CHANNELS_FIRST": False}
        if (found := {**last, **first}.get(data_format)) is None:
            c.refuse(f"its images are {data_format}, a packed format of one device")
        return cls(rank, found)

    @property
    def channels(self) -> int:
        """The axis of the channels."""
        return self.rank - 1 if self.last else 1

    @property
    def spatial(self) -> tuple[int, ...]:
        """The spatial axes."""
        return tuple(range(1, self.rank - 1) if self.last else range(2, self.rank))

    def picked(self, listed: Sequence[Any]) -> tuple[Any, ...]:
        """What a list by axis says of the spatial axes."""
        return tuple(listed[axis] for axis in self.spatial)

    def sizes(self, c: Context, index: int = 0) -> tuple[Dim, ...]:
        """The spatial sizes of an input; None or names where they are free."""
        return self.picked(shape) if (shape := c.shape_or_none(index)) is not None else (None,) * (self.rank - 2)

    def to_first(self, op: Builder, image: ir.Value) -> ir.Value:
        """The image with its channels first, as ONNX wants it."""
        return op.Transpose(image, perm=[0, self.rank - 1, *range(1, self.rank - 1)]) if self.last else image

    def from_first(self, op: Builder, image: ir.Value) -> ir.Value:
        """An image with its channels first, as TensorFlow has it."""
        return op.Transpose(image, perm=[0, *range(2, self.rank), 1]) if self.last else image


def padding_of(
    padding: str, explicit: Sequence[int], image: Format, window: Window, sizes: Sequence[Dim]
) -> list[Padding] | None:
    """The paddings of the spatial axes, or None for SAME where they depend on sizes that are free."""
    if padding == "VALID":
        return [(0, 0)] * window.rank
    if padding == "EXPLICIT":
        return [(explicit[2 * axis], explicit[2 * axis + 1]) for axis in image.spatial]
    found: list[Padding] = []
    for size, extent, stride in zip(sizes, window.extents, window.strides, strict=True):
        if extent == 1:
            found.append((0, 0))
        elif stride == 1 or isinstance(size, int):
            found.append(same_padding(size, extent, stride, upper=True, larger=max))
        else:
            return None
    return found


def flat(paddings: Sequence[Padding]) -> list[int]:
    """All begins, then all ends: ONNX's ``pads``."""
    return [begin for begin, _ in paddings] + [end for _, end in paddings]


def same_at_run_time(op: Builder, image: ir.Value, window: Window, value: Any = None) -> ir.Value:
    """An image with its channels first, padded so that windows without padding are SAME."""
    strides = op.constant(list(window.strides))
    sizes = op.Shape(image, start=2)
    windows = op.Div(op.Add(sizes, op.constant([s - 1 for s in window.strides])), strides)
    spanned = op.Add(op.Mul(op.Sub(windows, 1), strides), op.constant(list(window.extents)))
    total = op.Max(op.Sub(spanned, sizes), op.constant([0]))
    before = op.Div(total, 2)
    pads = op.Concat(before, op.Sub(total, before), axis=0)
    return op.Pad(image, pads, value, list(range(2, 2 + window.rank)))


def taps(op: Builder, image: ir.Value, window: Window, first_axis: int) -> list[ir.Value]:
    """For each element of a window without padding, what all windows have there; the last spatial axis runs fastest.

    The spatial axes begin at ``first_axis``; the others stay as they are.
    """
    found = [image]
    for axis in range(window.rank):
        extent, dilation, stride = window.extents[axis], window.dilations[axis], window.strides[axis]
        ends = [tap * dilation - extent + 1 or _END for tap in range(window.kernel[axis])]
        found = [
            op.Slice(value, [tap * dilation], [end], [first_axis + axis], [stride])
            for value in found
            for tap, end in enumerate(ends)
        ]
    return found


_END = 2**63 - 1
