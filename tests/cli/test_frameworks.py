"""Machines that have only some of the frameworks: what works there, and what a missing one is called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A SavedModel of one product."""
    module = tf.Module()
    module.weight = tf.Variable(np.ones((3, 2), np.float32), name="weight")
    module.score = tf.function(
        lambda x: {"y": tf.nn.relu(x @ module.weight)},
        input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x")],
    )
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=module.score)
    return tmp_path / "model"


@pytest.mark.onnxruntime
def test_tensorflow_to_onnx_without_torch(saved: Path, tmp_path: Path, run_isthmus) -> None:
    done = run_isthmus("convert", saved, "out.onnx", without=("torch", "onnxscript", "tf_keras"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.onnx").is_file()
    done = run_isthmus("convert", saved, "out.py", without=("torch",))
    assert done.returncode == 5
    assert "torch" in done.stderr and "pip install" in done.stderr


@pytest.mark.torch
def test_tensorflow_to_torch_without_onnxruntime(saved: Path, tmp_path: Path, run_isthmus) -> None:
    done = run_isthmus("convert", saved, "out.py", without=("onnxruntime", "onnxscript", "tf_keras"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.safetensors").is_file()


@pytest.mark.torch
@pytest.mark.onnxruntime
def test_onnx_to_torch_without_tensorflow(linear: Path, tmp_path: Path, run_isthmus) -> None:
    hidden = ("tensorflow", "keras", "tf_keras", "h5py")
    done = run_isthmus("convert", linear, "out.py", without=hidden)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.py").is_file()


@pytest.mark.parametrize(
    "line", [("inspect", "net.keras"), ("convert", "net.h5", "out.onnx"), ("verify", "net.pb", "net.meta")]
)
def test_tensorflow_is_missing(line: tuple[str, ...], tmp_path: Path, run_isthmus) -> None:
    for name in ("net.keras", "net.h5", "net.pb", "net.meta"):
        (tmp_path / name).write_bytes(b"something")
    done = run_isthmus(*line, without=("tensorflow", "keras"))
    assert done.returncode == 5, done.stderr
    assert "tensorflow" in done.stderr and "pip install" in done.stderr
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_file_of_keras_2_without_tf_keras(tmp_path: Path, run_isthmus) -> None:
    tf_keras = pytest.importorskip("tf_keras")
    tf_keras.Sequential([tf_keras.layers.InputLayer((3,)), tf_keras.layers.Dense(2)]).save(tmp_path / "net.h5")
    done = run_isthmus("convert", "net.h5", "out.onnx", "--no-verify", without=("tf_keras",))
    assert done.returncode == 5, done.stderr
    assert "Keras 2" in done.stderr and "isthmus[keras2]" in done.stderr
