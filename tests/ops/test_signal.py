"""Fourier transforms of any axis and length, windows, mel filters; against numpy and ONNX Runtime."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matrix import FORMS, Form, Node, agrees
from onnx import TensorProto

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

RNG = np.random.default_rng(23)


def real(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def parts(x: np.ndarray) -> np.ndarray:
    return np.stack([x.real, x.imag], -1).astype(np.float32)


def as_complex(x: np.ndarray) -> np.ndarray:
    return x[..., 0] + 1j * x[..., 1] if x.shape[-1] == 2 else x[..., 0].astype(np.complex128)


TRANSFORMS = [  # half of a spectrum is made of something real, and something real is made of half a spectrum
    (components, *rest, inverse, onesided)
    for components, *rest, inverse, onesided in itertools.product((1, 2), (1, 2, -2), (None, 4, 6, 9), (0, 1), (0, 1))
    if not onesided or components == 1 + inverse
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("components, axis, length, inverse, onesided", TRANSFORMS)
def test_dft(components: int, axis: int, length: int | None, inverse: int, onesided: int, form: Form) -> None:
    x = real(2, 6, 5, components)
    signal, at = as_complex(x), axis if axis >= 0 else axis + x.ndim
    if inverse and onesided:
        size = length or 2 * (x.shape[at] - 1)
        expected = np.fft.irfft(signal, size, at)[..., None].astype(np.float32)
    else:
        full = (np.fft.ifft if inverse else np.fft.fft)(signal, length, at)
        kept = np.arange(full.shape[at] // 2 + 1) if onesided else np.arange(full.shape[at])
        expected = parts(np.take(full, kept, at))
    given = [x, None if length is None else np.int64(length), np.int64(axis)]
    agrees(
        Node("DFT", given, {"inverse": inverse, "onesided": onesided}),
        form,
        expected=[expected],
        rtol=1e-4,
        atol=1e-4,
    )


STFTS = {
    "window": [real(2, 32, 1), np.int64(4), np.hanning(16).astype(np.float32)],
    "length": [real(2, 32, 1), np.int64(8), None, np.int64(16)],
    "both": [real(1, 30, 1), np.int64(5), np.hamming(8).astype(np.float32), np.int64(8)],
    "complex": [real(2, 32, 2), np.int64(4), np.hanning(16).astype(np.float32), np.int64(16)],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("onesided", [0, 1])
@pytest.mark.parametrize("name", STFTS)
def test_stft(name: str, onesided: int, form: Form) -> None:
    signal, step, window, *length = STFTS[name]
    size = int(length[0]) if length else len(window)
    starts = range(0, signal.shape[1] - size + 1, int(step))
    frames = np.stack([as_complex(signal)[:, s : s + size] for s in starts], 1)
    full = np.fft.fft(frames * (1 if window is None else window))
    expected = parts(full[..., : size // 2 + 1] if onesided else full)
    node = Node("STFT", STFTS[name], {"onesided": onesided})
    agrees(node, form, expected=[expected], rtol=1e-4, atol=1e-4)


WINDOWS = {
    f"{op}_{periodic}_{kind}": Node(op, [np.int64(10)], {"periodic": periodic, "output_datatype": kind})
    for op in ("HannWindow", "HammingWindow", "BlackmanWindow")
    for periodic in (0, 1)
    for kind in (TensorProto.FLOAT, TensorProto.DOUBLE)
}
MEL = [np.int64(8), np.int64(64), np.int64(16000), np.float32(0), np.float32(8000)]
WINDOWS["Mel"] = Node("MelWeightMatrix", MEL)
WINDOWS["Mel_narrow"] = Node(
    "MelWeightMatrix", [np.int64(40), np.int64(128), *MEL[2:3], np.float32(80), np.float32(7600)]
)


@pytest.mark.parametrize("form", ["plain", "frozen"])
@pytest.mark.parametrize("name", WINDOWS)
def test_windows(name: str, form: Form) -> None:
    agrees(WINDOWS[name], form, rtol=1e-5, atol=1e-6)
