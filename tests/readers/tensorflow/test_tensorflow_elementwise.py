"""One tensor in, one out; two in, broadcast."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from reading import agree

X = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)


@pytest.mark.parametrize("function", [tf.nn.relu, tf.sigmoid, tf.tanh, tf.exp, tf.abs, tf.negative, tf.nn.softmax])
def test_one_tensor(function):
    agree(lambda x: function(x), X, free={0: [0]}, more=[[X[:1]]])


@pytest.mark.parametrize("function", [tf.add, tf.subtract, tf.multiply, tf.divide, tf.less, tf.greater_equal])
def test_two_tensors_are_broadcast(function):
    agree(lambda x, y: function(x, y), X, X[0] + 0.5)
