"""Histograms, and numbers of quantized types."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from reading import agree

raw = tf.raw_ops
NUMBERS = np.array([[0, 1, 1, 3], [2, 3, 3, 9]], np.int32)
WEIGHTS = np.linspace(0, 2, 8, dtype=np.float32).reshape(2, 4)


def test_counts():
    empty = np.zeros(0, np.float32)
    agree(lambda x: raw.Bincount(arr=x, size=5, weights=empty.astype(np.int32)), NUMBERS, free={0: [0]})
    agree(lambda x, w: raw.Bincount(arr=x, size=5, weights=w), NUMBERS, WEIGHTS)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("binary", [False, True])
def test_counts_of_rows(dtype, binary):
    x = NUMBERS.astype(dtype)
    size = dtype(6)
    none = np.zeros(0, np.float32)
    agree(lambda x: raw.DenseBincount(input=x, size=size, weights=none, binary_output=binary), x, free={0: [0]})
    agree(lambda x: raw.DenseBincount(input=x, size=size, weights=none, binary_output=binary), x[0])
    if not binary:
        agree(lambda x, w: raw.DenseBincount(input=x, size=size, weights=w), x, WEIGHTS)


def test_weights_of_which_there_may_be_none():
    none = np.zeros((0, 4), np.float32)

    def counted(x, w):
        return raw.DenseBincount(input=x, size=np.int32(6), weights=w)

    agree(counted, NUMBERS, WEIGHTS, free={0: [0], 1: [0]}, more=[(NUMBERS, none), (NUMBERS[:1], WEIGHTS[:1])])


def test_histograms():
    x = np.array([-1.0, 0.0, 1.5, 2.0, 5.0, 15.0], np.float32)
    agree(lambda x: tf.histogram_fixed_width(x, [0.0, 5.0], nbins=5), x)
    agree(lambda x: tf.histogram_fixed_width(x, [0.0, 5.0], nbins=3, dtype=tf.int64), x)


@pytest.mark.parametrize("T", [tf.quint8, tf.qint8, tf.qint16, tf.quint16])
@pytest.mark.parametrize("mode", ["MIN_COMBINED", "MIN_FIRST", "SCALED"])
def test_there_and_back(T, mode):
    x = np.linspace(-3, 5, 20, dtype=np.float32)

    def function(x):
        numbers, low, high = raw.QuantizeV2(input=x, min_range=-3.0, max_range=5.0, T=T, mode="SCALED")
        back = raw.Dequantize(input=numbers, min_range=-1.5, max_range=2.5, mode=mode)
        return back, low, high

    agree(function, x, rtol=1e-4, atol=1e-5)
