"""Fourier transforms, windows and mel filter banks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from isthmus.lower.contract import Host, Lowerings
from isthmus.lower.walk import Context
from isthmus.writers.tensorflow.ops._common import convert, dim, dims, permuted, restored, scalar
from isthmus.writers.tensorflow.ops.cast import target_type

table = Lowerings()
lower, alias = table.lower, table.alias


@lower("DFT")
def dft(x, length: Host = None, axis: Host = None, *, inverse, onesided):
    """Input and output end with an axis of size 1 (real) or 2 (real and imaginary part)."""
    along = -2 if axis is None else scalar(axis)
    if not isinstance(along, int):
        return _dft_of_any_axis(x, length, along, inverse, onesided)
    # Forward in float64: in float32, frequencies that are not there come out as noise instead of zeros. The inverse
    # stays in the input's precision, as in ONNX's reference: rounding noise of a spectrum is part of it.
    wide = tf.float64 if x.dtype == tf.float64 or not inverse else tf.float32
    signal, back = permuted(convert(x, wide), along, -2)
    default = 2 * (dim(signal, -2) - 1) if inverse and onesided else dim(signal, -2)
    size = default if length is None else scalar(length)
    y = _inverse(signal, size, onesided) if inverse else _forward(signal, size, onesided)
    return convert(restored(y, back), x.dtype)


@lower("STFT")
def stft(signal, frame_step: Host, window=None, frame_length: Host = None, *, onesided):
    """Frames of a signal (B, L, 1 or 2), each transformed: B, frames, bins, 2."""
    step = scalar(frame_step)
    longest = dim(signal, 1) if window is None else dim(window, 0)
    size = longest if frame_length is None else scalar(frame_length)
    count = 1 + (dim(signal, 1) - size) // step
    wide = convert(signal, tf.float64)
    starts = tf.range(count) * step
    frames = tf.gather(wide, starts[:, None] + tf.range(size)[None, :], axis=1)
    if window is not None:
        frames = frames * tf.cast(window, wide.dtype)[:, None]
    return convert(_forward(frames, size, onesided), signal.dtype)


@lower("HannWindow")
def hann_window(c, size: Host, *, output_datatype, periodic):
    return _window(c, size, (0.5, 0.5, 0.0), output_datatype, periodic)


@lower("HammingWindow")
def hamming_window(c, size: Host, *, output_datatype, periodic):
    return _window(c, size, (25 / 46, 1 - 25 / 46, 0.0), output_datatype, periodic)


@lower("BlackmanWindow")
def blackman_window(c, size: Host, *, output_datatype, periodic):
    return _window(c, size, (0.42, 0.5, 0.08), output_datatype, periodic)


@lower("MelWeightMatrix")
def mel_weight_matrix(c, bins: Host, dft_length: Host, rate: Host, low: Host, high: Host, *, output_datatype):
    """Triangular filters from spectrogram bins (rows) to mel bins (columns); peaks fall on whole rows."""
    count, length = scalar(bins), scalar(dft_length)
    bottom, top = (_mel(tf.cast(scalar(hertz, tf.float64), tf.float64)) for hertz in (low, high))
    points = tf.cast(tf.range(count + 2), tf.float64) * (top - bottom) / tf.cast(count + 2, tf.float64) + bottom
    hertz = 700 * (tf.pow(tf.constant(10, tf.float64), points / 2595) - 1)
    rows = tf.floor(tf.cast(length + 1, tf.float64) * hertz / tf.cast(scalar(rate), tf.float64))
    left, peak, right = rows[None, :-2], rows[None, 1:-1], rows[None, 2:]
    row = tf.cast(tf.range(length // 2 + 1), tf.float64)[:, None]
    rising = tf.where(peak == left, tf.ones_like(row), tf.math.divide_no_nan(row - left, peak - left))
    falling = tf.math.divide_no_nan(right - row, right - peak)
    zero = tf.zeros([], tf.float64)
    filters = tf.where((row >= left) & (row <= peak), rising, zero)
    filters = tf.where((row >= peak) & (row < right), falling, filters)
    return convert(filters, target_type(c, output_datatype))


def _forward(x: tf.Tensor, size: Any, onesided: int) -> tf.Tensor:
    """The transform of the axis before the last, cut or padded with zeros to ``size``."""
    if x.shape[-1] == 1 and onesided:
        return _parts(tf.signal.rfft(_fitted(x[..., 0], size), _length(size)))
    y = tf.signal.fft(_fitted(_complex(x), size))
    return _parts(y[..., : size // 2 + 1] if onesided else y)


def _inverse(x: tf.Tensor, size: Any, onesided: int) -> tf.Tensor:
    if onesided:  # half of a spectrum of something real
        half = _fitted(_complex(x), size // 2 + 1)
        return tf.signal.irfft(half, _length(size))[..., None]
    return _parts(tf.signal.ifft(_fitted(_complex(x), size)))


def _dft_of_any_axis(x: tf.Tensor, length: Any, axis: tf.Tensor, inverse: int, onesided: int) -> tf.Tensor:
    """The axis is known at run time only: turn it to its place and back."""
    rank = x.shape.rank
    front = tf.where(axis < 0, axis + rank, axis)
    order = tf.range(rank)
    others = tf.boolean_mask(order[:-1], order[:-1] != front)
    turn = tf.concat([others, [front], [rank - 1]], 0)
    turned = tf.transpose(x, turn)
    turned.set_shape([*[None] * (rank - 1), x.shape[-1]])
    y = dft(turned, length, np.array(-2), inverse=inverse, onesided=onesided)
    back = tf.transpose(y, tf.math.invert_permutation(turn))
    back.set_shape([None] * rank)
    return back


def _complex(x: tf.Tensor) -> tf.Tensor:
    real = x[..., 0]
    if x.shape[-1] is None:  # one component or two: after this, two at least
        x = tf.concat([x, tf.zeros_like(x)], -1)
    return tf.complex(real, tf.zeros_like(real) if x.shape[-1] == 1 else x[..., 1])


def _parts(x: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.math.real(x), tf.math.imag(x)], -1)


def _fitted(x: tf.Tensor, size: Any) -> tf.Tensor:
    """The last axis cut or padded with zeros to ``size``."""
    have = dim(x, -1)
    if isinstance(have, int) and isinstance(size, int) and have == size:
        return x
    cut = x[..., : tf.minimum(have, size)]
    missing = tf.maximum(size - have, 0)
    padded = tf.concat([cut, tf.zeros([*dims(cut)[:-1], missing], x.dtype)], -1)
    return tf.ensure_shape(padded, [*x.shape[:-1], size if isinstance(size, int) else None])


def _length(size: Any) -> tf.Tensor:
    return tf.reshape(tf.convert_to_tensor(size, tf.int32), [1])


def _window(
    c: Context, size: Any, weights: tuple[float, float, float], output_datatype: int, periodic: int
) -> tf.Tensor:
    """a0 - a1 cos(2πn/N) + a2 cos(4πn/N), with N one less where the window is symmetric."""
    count = scalar(size)
    period = tf.cast(count if periodic else count - 1, tf.float64)
    angle = tf.cast(tf.range(count), tf.float64) * tf.constant(2 * math.pi, tf.float64) / period
    a0, a1, a2 = weights
    return convert(a0 - a1 * tf.cos(angle) + a2 * tf.cos(2 * angle), target_type(c, output_datatype))


def _mel(hertz: tf.Tensor) -> tf.Tensor:
    return 2595 * tf.math.log1p(hertz / 700) / math.log(10)
