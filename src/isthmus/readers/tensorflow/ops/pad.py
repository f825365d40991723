"""Padding."""

from __future__ import annotations

from isthmus.readers.tensorflow.contract import ComplexOrReal, Host, Reads
from isthmus.readers.tensorflow.handles import Complex
from isthmus.readers.tensorflow.ops._mirror import edges_of, mirrored

table = Reads()
read = table.read


@read("Pad")
def pad(op, c, x: ComplexOrReal, paddings: Host):
    if isinstance(x, Complex):
        return Complex(op.Pad(x.pairs, edges_of(op, paddings), None, list(range(c.rank()))))
    return op.Pad(x, edges_of(op, paddings))


@read("PadV2")
def pad_with(op, x, paddings: Host, value):
    return op.Pad(x, edges_of(op, paddings), value)


@read("MirrorPad")
def mirror_pad(op, c, x, paddings: Host, *, mode):
    return mirrored(op, x, paddings, c.rank(), mode)
