"""Keras models as SavedModels that train: what the judge says of the gradients by their weights."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

import keras
from keras import Input, layers

import isthmus
from isthmus.types import Options

pytestmark = [pytest.mark.tensorflow]


def test_recurrent_weights_are_matched_as_they_are_stored(tmp_path: Path) -> None:
    """ONNX has another order of gates, axes and biases than Keras."""
    keras.utils.set_random_seed(3)
    x = Input((4, 3))
    y = layers.LSTM(5, return_sequences=True)(x)
    y = layers.GRU(4, return_sequences=True)(y)
    y = layers.GRU(3, reset_after=False, return_sequences=True)(y)
    y = layers.Bidirectional(layers.SimpleRNN(2))(y)
    model = keras.Model(x, layers.Dense(2)(y))
    target = tmp_path / "model"
    made = isthmus.convert(model, target, options=Options(trainable=True))
    assert made
    assert {c.output for c in made.verdict.gradients} == {weight.path for weight in model.trainable_weights}
    assert max(c.max_abs for c in made.verdict.gradients) > 0
    assert not [note for note in made.verdict.notes if note.topic == "gradients"]
    back = isthmus.verify(target, model, options=Options(trainable=True))
    assert back and len(back.gradients) == len(made.verdict.gradients)
