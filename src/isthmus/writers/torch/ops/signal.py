"""Fourier transforms, windows and mel filter banks."""

from __future__ import annotations

import math
from typing import Any

import onnx_ir as ir
import torch
import torch.nn.functional as F

from isthmus.lower.contract import Host, Lowerings
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import call, dim, dtype_of, host_scalar, positive

table = Lowerings()
lower, alias = table.lower, table.alias

D = ir.DataType


@lower("DFT")
def dft(c, x, length: Host = None, axis: Host = None, *, inverse, onesided):
    """Input and output end with an axis of size 1 (real) or 2 (real and imaginary part)."""
    rank = c.rank()
    # Counted from the front, for the transform itself does not see the last axis.
    along = rank - 2 if axis is None else host_scalar(axis)
    along = positive(along, rank) if isinstance(along, int) else along % rank
    have = dim(c, x, along) if isinstance(along, int) else x.size(along)
    default = 2 * (have - 1) if inverse and onesided else have
    size = default if length is None else host_scalar(length)
    # In float32, frequencies that are not there would come out as noise instead of zeros.
    wide = x.double()
    y = (_inverse if inverse else _forward)(wide, c.shape()[-1], size, along, bool(onesided))
    return y if c.dtype() == D.DOUBLE else y.to(dtype_of(c.dtype()))


@lower("STFT")
def stft(c, signal, frame_step: Host, window=None, frame_length: Host = None, *, onesided):
    """Frames of a signal (B, L, 1 or 2), each transformed: B, frames, bins, 2."""
    longest = dim(c, signal, 1) if window is None else dim(c, window, 0, 2)
    size = longest if frame_length is None else host_scalar(frame_length)
    frames = signal.double().unfold(1, size, host_scalar(frame_step))  # B, frames, parts, size
    frames = frames if window is None else frames * window.double()
    y = _forward(frames.transpose(2, 3), c.shape()[-1], size, 2, bool(onesided))
    return y if c.dtype() == D.DOUBLE else y.to(dtype_of(c.dtype()))


@lower("HannWindow")
def hann_window(size: Host, *, output_datatype, periodic):
    return _window(size, (0.5, 0.5, 0.0), output_datatype, periodic)


@lower("HammingWindow")
def hamming_window(size: Host, *, output_datatype, periodic):
    return _window(size, (25 / 46, 21 / 46, 0.0), output_datatype, periodic)


@lower("BlackmanWindow")
def blackman_window(size: Host, *, output_datatype, periodic):
    return _window(size, (0.42, 0.5, 0.08), output_datatype, periodic)


@lower("MelWeightMatrix")
def mel_weight_matrix(c, bins: Host, dft_length: Host, rate: Host, low: Host, high: Host, *, output_datatype):
    """Triangular filters from spectrogram bins (rows) to mel bins (columns); peaks fall on whole rows."""
    count, length = host_scalar(bins), host_scalar(dft_length)
    bottom, top = (_mel(c, host_scalar(hertz)) for hertz in (low, high))
    points = _range(c, count + 2) * (top - bottom) / (count + 2) + bottom
    hertz = 700 * (10 ** (points / 2595) - 1)
    rows = torch.floor((length + 1) * hertz / host_scalar(rate))
    left, peak, right = rows[:-2], rows[1:-1], rows[2:]
    row = _range(c, length // 2 + 1)[:, None]
    rising = torch.where(peak == left, 1.0, (row - left) / (peak - left))
    falling = (right - row) / (right - peak)
    filters = torch.where((row >= left) & (row <= peak), rising, 0.0)
    filters = torch.where((row >= peak) & (row < right), falling, filters)
    return filters.to(dtype_of(D(output_datatype)))


def _forward(x: Any, parts: Any, size: Any, axis: Any, onesided: bool) -> Any:
    """The transform along an axis, cut or padded with zeros to ``size``."""
    if onesided and parts == 1:
        return _parts(torch.fft.rfft(x[..., 0], size, axis))
    y = torch.fft.fft(_complex(x, parts), size, axis)
    return _parts(torch.narrow(y, axis, 0, size // 2 + 1) if onesided else y)


def _inverse(x: Any, parts: Any, size: Any, axis: Any, onesided: bool) -> Any:
    if onesided:  # half of a spectrum of something real
        return torch.fft.irfft(_complex(x, parts), size, axis).unsqueeze(-1)
    return _parts(torch.fft.ifft(_complex(x, parts), size, axis))


def _complex(x: Any, parts: Any) -> Any:
    """Real and imaginary part as one number; one part alone is the real one."""
    if not isinstance(parts, int):
        x, parts = F.pad(x, [0, 1])[..., :2], 2
    return x[..., 0] if parts == 1 else torch.view_as_complex(x.contiguous())


def _parts(y: Any) -> Any:
    """A complex number as its two parts on a last axis."""
    # of a real signal, half of the spectrum is only marked as conjugate
    return torch.view_as_real(torch.resolve_conj(y))


def _window(size: Any, weights: tuple[float, float, float], output_datatype: int, periodic: int) -> Any:
    """a0 - a1 cos(2πn/N) + a2 cos(4πn/N), with N one less where the window is symmetric."""
    count = host_scalar(size)
    angle = torch.arange(count, dtype=torch.float64) * (2 * math.pi) / (count if periodic else count - 1)
    a0, a1, a2 = weights
    window = a0 - a1 * torch.cos(angle)
    window = window + a2 * torch.cos(2 * angle) if a2 else window
    return window.to(dtype_of(D(output_datatype)))


def _range(c: Context, count: Any) -> Any:
    return call(c, torch.arange, count, dtype=torch.float64)


def _mel(c: Context, hertz: Any) -> Any:
    if isinstance(hertz, float | int):
        return 2595 * math.log10(1 + hertz / 700)
    return 2595 * torch.log10(1 + call(c, torch.scalar_tensor, hertz, dtype=torch.float64) / 700)
