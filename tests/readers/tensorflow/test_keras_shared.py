"""A layer that a model calls twice is one layer in PyTorch, and has its parameters once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("torch")

import keras
import torch
from keras import layers

import isthmus
from isthmus.types import Options

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]

SEQUENCE = (5, 4)
SHARED: dict[str, tuple[Callable[[], keras.Layer], tuple[int, ...]]] = {
    "dense": (lambda: layers.Dense(3, name="shared"), (4,)),
    "conv": (lambda: layers.Conv1D(3, 2, name="shared"), SEQUENCE),
    "norm": (lambda: layers.LayerNormalization(name="shared"), SEQUENCE),
    "batch_norm": (lambda: layers.BatchNormalization(name="shared"), SEQUENCE),
    "prelu": (lambda: layers.PReLU(shared_axes=[1], name="shared"), SEQUENCE),
    "rnn": (lambda: layers.SimpleRNN(3, name="shared"), SEQUENCE),
    "lstm": (lambda: layers.LSTM(3, return_sequences=True, name="shared"), SEQUENCE),
    "lstm_without_bias": (lambda: layers.LSTM(3, use_bias=False, name="shared"), SEQUENCE),
    "gru": (lambda: layers.GRU(3, name="shared"), SEQUENCE),
    "both_ways": (lambda: layers.Bidirectional(layers.LSTM(3), name="shared"), SEQUENCE),
    "two_lstms": (
        lambda: keras.Sequential(
            [keras.Input(SEQUENCE), layers.LSTM(3, return_sequences=True), layers.LSTM(3)], name="shared"
        ),
        SEQUENCE,
    ),
}


@pytest.mark.parametrize("case", SHARED)
def test_one_layer_for_both_calls(case: str) -> None:
    make, shape = SHARED[case]
    keras.utils.set_random_seed(0)
    shared = make()
    one, other = keras.Input(shape, name="one"), keras.Input(shape, name="other")
    made = layers.Flatten()(layers.Subtract()([shared(one), layers.Activation("tanh")(shared(other))]))
    net = keras.Model([one, other], layers.Dense(2, name="head")(made))
    module = isthmus.convert(net, to="torch", options=Options(verify=False)).model
    trained = sum(p.numel() for p in module.parameters() if p.requires_grad)
    assert trained == sum(int(weight.numpy().size) for weight in net.trainable_weights)
    x, y = np.random.default_rng(0).normal(size=(2, 3, *shape)).astype(np.float32)
    with torch.no_grad():
        assert np.allclose(module(torch.from_numpy(x), torch.from_numpy(y)), net([x, y]), atol=1e-5)
