"""Fake quantization and its like: every level must be the same, so the numbers are those of TensorFlow's kernels."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from reading import agree

X = np.linspace(-9, 9, 241, dtype=np.float32).reshape(-1, 1) * np.asarray([1, 0.37, 0.01], np.float32)
FREE = {0: [0]}


@pytest.mark.parametrize(("low", "high"), [(-6.0, 6.0), (0.0, 6.0), (-1.3, 4.1), (1.0, 3.0), (-3.0, -1.0)])
@pytest.mark.parametrize(("bits", "narrow"), [(8, False), (8, True), (4, False), (16, True)])
def test_range_in_attributes(low, high, bits, narrow):
    agree(lambda x: tf.quantization.fake_quant_with_min_max_args(x, low, high, bits, narrow), X, free=FREE)


@pytest.mark.parametrize(("low", "high"), [(-6.0, 6.0), (-1.3, 4.1), (0.0, 0.0)])
@pytest.mark.parametrize("narrow", [False, True])
def test_range_in_tensors(low, high, narrow):
    def quantized(x, a, b):
        return tf.quantization.fake_quant_with_min_max_vars(x, a, b, narrow_range=narrow)

    agree(quantized, X, np.float32(low), np.float32(high), free=FREE)


def test_range_of_every_channel():
    low, high = np.asarray([-6, -1.5, 0], np.float32), np.asarray([6, 0.3, 0], np.float32)
    agree(tf.quantization.fake_quant_with_min_max_vars_per_channel, X, low, high, free=FREE)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("mode", ["HALF_TO_EVEN", "HALF_UP"])
@pytest.mark.parametrize("narrow", [False, True])
def test_there_and_back(signed, given, mode, narrow):
    x = X if signed else np.abs(X)

    def quantized(x, low, high):
        return tf.quantization.quantize_and_dequantize_v2(
            x, low, high, signed_input=signed, range_given=given, round_mode=mode, narrow_range=narrow
        )

    agree(quantized, x, np.float32(-2.5 if signed else 0), np.float32(4.5), free=FREE)


def test_there_and_back_of_every_channel():
    agree(lambda x: tf.quantization.quantize_and_dequantize_v2(x, [0.0] * 3, [0.0] * 3, axis=1), X, free=FREE)


@pytest.mark.parametrize("bits", [4, 8])
def test_bits_as_an_input(bits):
    def quantized(x):
        return tf.raw_ops.QuantizeAndDequantizeV3(
            input=x, input_min=0.0, input_max=0.0, num_bits=bits, range_given=False
        )

    agree(quantized, X, free=FREE)
