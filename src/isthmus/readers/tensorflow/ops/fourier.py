"""Discrete Fourier transforms, of one axis after the other; complex numbers are real pairs on one axis more."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from isthmus.readers.tensorflow.contract import ComplexOrReal, Host, Reads
from isthmus.readers.tensorflow.handles import Complex
from isthmus.readers.tensorflow.ops._sizes import LAST, entry

table = Reads()
read = table.read

_AXES = {"": 1, "2D": 2, "3D": 3}


def _axes(c) -> range:
    """The last axes that the operator's name tells: of ``RFFT2D`` two."""
    kind = c.type.partition("FFT")[2]
    rank = c.rank(0)
    return range(rank - _AXES[kind], rank)


@read("FFT", "FFT2D", "FFT3D")
def fft(op, c, x: ComplexOrReal):
    return Complex(_along(op, x.pairs, _axes(c)))


@read("IFFT", "IFFT2D", "IFFT3D")
def ifft(op, c, x: ComplexOrReal):
    return Complex(_along(op, x.pairs, _axes(c), inverse=True))


@read("RFFT", "RFFT2D", "RFFT3D")
def rfft(op, c, x, fft_length: Host):
    return _from_real(op, c, x, fft_length, list(_axes(c)))


@read("IRFFT", "IRFFT2D", "IRFFT3D")
def irfft(op, c, x: ComplexOrReal, fft_length: Host):
    return _to_real(op, c, x, fft_length, list(_axes(c)))


def _from_real(op, c, x, lengths, axes: list[int]) -> Complex:
    """Half of the last axis' spectrum, for the rest is its mirror image; the whole of the others'."""
    x = _fitted_all(op, c, x, lengths, axes)
    half = op.DFT(op.Unsqueeze(x, [-1]), None, np.int64(axes[-1]), onesided=1)
    return Complex(_along(op, half, axes[:-1]))


def _to_real(op, c, x: Complex, lengths, axes: list[int]):
    """The whole spectrum from its half, and back; what is imaginary in the answer is rounding."""
    length, last = entry(op, lengths, len(axes) - 1), axes[-1]
    pairs = _fitted_all(op, c, x.pairs, lengths, axes[:-1])
    pairs = _along(op, pairs, axes[:-1], inverse=True)
    pairs = _fitted(op, pairs, c.rank(0) + 1, last, _half(op, length), c.shape(0)[last])
    middle = (length - 1) // 2 if isinstance(length, np.ndarray) else op.Div(op.Sub(length, 1), 2)
    mirrored = op.Slice(pairs, middle, np.asarray([0]), np.asarray([last]), np.asarray([-1]))
    conjugated = op.Mul(mirrored, op.constant([1, -1], pairs.dtype))
    whole = op.Concat(pairs, conjugated, axis=last)
    return op.Gather(op.DFT(whole, None, np.int64(last), inverse=1), np.int64(0), axis=-1)


def _half(op, length):
    return length // 2 + 1 if isinstance(length, np.ndarray) else op.Add(op.Div(length, 2), 1)


def _along(op, pairs: ir.Value, axes, *, inverse: bool = False) -> ir.Value:
    for axis in axes:
        pairs = op.DFT(pairs, None, np.int64(axis), inverse=int(inverse))
    return pairs


def _fitted_all(op, c, x: ir.Value, lengths, axes: list[int]) -> ir.Value:
    """``x``, real or pairs, with zeros added to or elements cut off the ends of its axes; one length an axis."""
    rank = c.rank(0) + (c.dtype(0).is_complex)
    for index, axis in enumerate(axes):
        x = _fitted(op, x, rank, axis, entry(op, lengths, index), c.shape(0)[axis])
    return x


def _fitted(op, x: ir.Value, rank: int, axis: int, length, size) -> ir.Value:
    if isinstance(length, np.ndarray) and isinstance(size, int):
        missing = length - size
        if not missing.any():
            return x
        if missing < 0:
            return op.Slice(x, np.asarray([0]), length, np.asarray([axis]))
    else:
        held = op.Shape(x, start=axis, end=axis + 1)
        missing = op.Max(op.Sub(length, held), 0)
        x = op.Slice(x, np.asarray([0]), op.Min(length, LAST), np.asarray([axis]))
    before, after = np.zeros(rank + axis, np.int64), np.zeros(rank - axis - 1, np.int64)
    return op.Pad(x, op.Concat(before, missing, after, axis=0))
