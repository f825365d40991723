"""Images of TensorFlow with their channels first, where the user asks for it: no Transpose is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")
pytest.importorskip("torch")

import keras
import onnx
from keras import layers

import isthmus
from isthmus import Options

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

FIRST = {"input_layouts": {"image": "NCHW"}, "output_layouts": {"map": "nchw"}}


def convolutions() -> Any:
    image = keras.Input((None, None, 3), name="image")
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(6, 3, padding="same")(image)))
    return keras.Model(image, layers.Conv2D(4, 1, name="map")(layers.MaxPool2D()(x)))


@pytest.mark.parametrize("target", ["net.onnx", "net.py", "net"])
def test_every_target_takes_images_as_asked(target: str, tmp_path: Path) -> None:
    made = isthmus.convert(convolutions(), tmp_path / target, options=Options(**FIRST))
    assert made.verdict  # the judge moves the axes, not the values
    image, result = made.artifact.signature.inputs[0], made.artifact.signature.outputs[0]
    assert (image.shape, image.layout) == (("batch", 3, "height", "width"), "NCHW")
    assert (result.shape or ())[:2] == ("batch", 4)
    if target == "net.onnx":
        assert "Transpose" not in {node.op_type for node in onnx.load(tmp_path / target).graph.node}


def test_gradients_are_compared_as_well(tmp_path: Path) -> None:
    made = isthmus.convert(convolutions(), tmp_path / "net", options=Options(trainable=True, **FIRST))
    assert made.verdict and made.verdict.gradients


def test_the_layout_of_the_source_changes_nothing(tmp_path: Path) -> None:
    model = convolutions()
    isthmus.convert(model, tmp_path / "plain.onnx", options=Options(verify=False))
    isthmus.convert(model, tmp_path / "asked.onnx", options=Options(verify=False, input_layouts={"image": "NHWC"}))
    assert (tmp_path / "plain.onnx").read_bytes() == (tmp_path / "asked.onnx").read_bytes()


def test_two_files_are_verified_in_their_layouts(tmp_path: Path) -> None:
    model = convolutions()
    isthmus.convert(model, tmp_path / "net.onnx", options=Options(verify=False, **FIRST))
    model.save(tmp_path / "net.keras")
    assert isthmus.verify(tmp_path / "net.keras", tmp_path / "net.onnx", options=Options(**FIRST))
