"""``inspect`` tells of SavedModels what opening them would, without loading them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras
import tensorflow as tf

from isthmus.cli.main import main

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras' own, where it saves
]


def told(capsys: pytest.CaptureFixture[str], *line: str) -> dict[str, Any]:
    assert main(["inspect", *line, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def shapes(summary: dict[str, Any], side: str) -> dict[str, list[Any]]:
    return {spec["name"]: spec["shape"] for spec in summary["signature"][side]}


@pytest.fixture
def net() -> Any:
    image = keras.Input((None, None, 3), name="image")
    pooled = keras.layers.GlobalMaxPooling2D()(keras.layers.Conv2D(4, 3, name="conv")(image))
    return keras.Model(image, keras.layers.Dense(2, name="head")(pooled))


def test_a_model_of_keras_by_every_file(net: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net.save(tmp_path / "net.keras")
    net.export(tmp_path / "net", verbose=False)
    archive = told(capsys, str(tmp_path / "net.keras"))
    folder = told(capsys, str(tmp_path / "net"))
    assert archive["producer"] == f"keras {keras.__version__}"
    assert folder["producer"] == f"tensorflow {tf.__version__}"
    for summary in (archive, folder):
        assert summary["parameters"] == net.count_params()
        assert summary["bytes"] == 4 * net.count_params()
        assert shapes(summary, "inputs") == {"image": ["batch", "height", "width", 3]}
    assert archive["ops"]["Conv2D"] == folder["ops"]["Conv2D"] == 1
    assert folder["signatures"] == ["serve", "serving_default"]


def test_only_what_the_signature_needs_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = tf.Module()
    module.used = tf.Variable(np.ones((3, 2), np.float32))
    module.other = tf.Variable(np.ones((5, 7), np.float32))
    spec = tf.TensorSpec((None, 3), tf.float32, name="x")
    module.score = tf.function(lambda x: {"y": x @ module.used}, input_signature=[spec])
    module.rest = tf.function(lambda x: tf.nn.relu(x) + tf.reduce_sum(module.other), input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path / "two"), signatures={"score": module.score, "rest": module.rest})
    tf.saved_model.save(module, str(tmp_path / "none"), signatures={})
    score = told(capsys, str(tmp_path / "two"), "--signature", "score")
    assert score["parameters"] == 6
    assert score["ops"]["MatMul"] == 1 and "Relu" not in score["ops"]
    assert (shapes(score, "inputs"), shapes(score, "outputs")) == ({"x": ["batch", 3]}, {"y": [None, 2]})
    undecided = told(capsys, str(tmp_path / "two"))
    assert undecided["signature"] == {"inputs": [], "outputs": []}
    assert (undecided["parameters"], undecided["signatures"]) == (41, ["rest", "score"])
    bare = told(capsys, str(tmp_path / "none"))
    assert (bare["parameters"], bare["signatures"]) == (41, ["rest", "score"])
    function = told(capsys, str(tmp_path / "none"), "--signature", "score")
    assert shapes(function, "inputs") == {"x": ["batch", 3]}
    assert function["parameters"] == 6


def test_nothing_is_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = tf.Module()
    module.weight = tf.Variable(np.ones((3, 2), np.float32))
    module.score = tf.function(
        lambda x: x @ module.weight, input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x")]
    )
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=module.score)
    for path in (tmp_path / "model" / "variables").iterdir():
        path.unlink()
    assert told(capsys, str(tmp_path / "model"))["parameters"] == 6
