"""Fourier transforms of one to three axes, forth and back, whole and half, cut and padded."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from reading import agree

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 4, 5, 6)).astype(np.float32)
Y = RNG.standard_normal((2, 4, 5, 6)).astype(np.float32)
FREE = {0: [0, 2, 3], 1: [0, 2, 3]}
TWO = [[X[:1, :, :3, :5], Y[:1, :, :3, :5]]]


def parts(z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.math.real(z), tf.math.imag(z)


@pytest.mark.parametrize("function", ["fft", "fft2d", "fft3d", "ifft", "ifft2d", "ifft3d"])
def test_complex_to_complex(function):
    agree(lambda x, y: parts(getattr(tf.signal, function)(tf.complex(x, y))), X, Y, free=FREE, more=TWO, atol=1e-4)


@pytest.mark.parametrize("function", ["rfft", "rfft2d", "rfft3d"])
def test_real_to_half_a_spectrum(function):
    agree(lambda x: parts(getattr(tf.signal, function)(x)), X, free={0: [0]}, more=[[X[:1]]], atol=2e-5)


@pytest.mark.parametrize("length", [3, 6, 9])
def test_a_length_cuts_or_pads(length):
    agree(lambda x: parts(tf.signal.rfft(x, [length])), X, free={0: [0, 3]}, more=[[X[..., :2]]], atol=2e-5)


@pytest.mark.parametrize("lengths", [(4, 7), (6, 6)])
def test_lengths_of_two_axes(lengths):
    agree(lambda x: parts(tf.signal.rfft2d(x, lengths)), X, atol=2e-5)


@pytest.mark.parametrize("function", ["irfft", "irfft2d", "irfft3d"])
def test_half_a_spectrum_to_real(function):
    agree(lambda x, y: getattr(tf.signal, function)(tf.complex(x, y)), X, Y, free={0: [0], 1: [0]}, atol=2e-5)


@pytest.mark.parametrize("length", [1, 2, 7, 8])
def test_back_to_a_length(length):
    agree(lambda x, y: tf.signal.irfft(tf.complex(x, y), [length]), X, Y, atol=2e-5)


def test_back_to_a_length_that_is_computed():
    agree(lambda x, y: tf.signal.irfft(tf.complex(x, y)), X, Y, free=FREE, more=TWO, atol=2e-5)


def test_double():
    agree(lambda x: parts(tf.signal.rfft(x)), X.astype(np.float64), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("pad_end", [False, True])
def test_short_time(pad_end):
    def spectrogram(x):
        return tf.abs(tf.signal.stft(x, 64, 16, pad_end=pad_end))

    signal = RNG.standard_normal((2, 400)).astype(np.float32)
    agree(spectrogram, signal, free={0: [0, 1]}, more=[[signal[:1, :300]]], atol=1e-4)
