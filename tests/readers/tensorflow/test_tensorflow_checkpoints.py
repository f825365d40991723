"""Variables of SavedModels that are read from their checkpoint, and those that are restored by TensorFlow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf
from reading import run_hub

from isthmus.errors import InvalidModel
from isthmus.opening.checkpoints import Held
from isthmus.opening.source import open_source
from isthmus.readers.tensorflow import read_tensorflow

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

SPEC = tf.TensorSpec([None, 3], tf.float32, name="x")


class Net(tf.Module):
    """Two variables, one in a list and one that two names have; with ``counted``, a table that grows."""

    def __init__(self, *, counted: bool = False) -> None:
        self.first = [tf.Variable(np.arange(12.0, dtype=np.float32).reshape(3, 4), name="w")]
        self.bias = self.again = tf.Variable(np.ones(4, np.float32), name="w")
        self.table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.float32, 0.0) if counted else None

    @tf.function(input_signature=[SPEC])
    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return x @ self.first[0] + self.bias


def saved(folder: Path, net: Net) -> Path:
    tf.saved_model.save(net, str(folder), signatures={"serving_default": net.__call__})
    return folder


def test_variables_stay_in_the_checkpoint_until_they_are_written(tmp_path: Path) -> None:
    net = Net()
    folder = saved(tmp_path / "net", net)
    for signature in (None, "__call__"):
        opened = open_source(folder, signature=signature, lazily=True)
        variables = list(opened.weights(opened.traced()[0]).values())
        assert len(variables) == 2 and all(isinstance(v.value, Held) for v in variables)
        assert {tuple(v.value.shape) for v in variables} == {(3, 4), (4,)}
    x = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    np.testing.assert_allclose(run_hub(read_tensorflow(folder), x)[0], net(x).numpy(), rtol=1e-6)


def test_what_is_run_has_its_variables(tmp_path: Path) -> None:
    folder = saved(tmp_path / "net", Net())
    opened = open_source(folder)
    assert not any(isinstance(v.value, Held) for v in opened.weights(opened.concrete).values())
    assert np.isfinite(opened.call(tf.ones([1, 3]))["output_0"].numpy()).all()


def test_more_than_variables_is_restored_by_tensorflow(tmp_path: Path) -> None:
    folder = saved(tmp_path / "net", Net(counted=True))
    opened = open_source(folder, lazily=True)
    assert not any(isinstance(v.value, Held) for v in opened.weights(opened.concrete).values())


def test_a_checkpoint_that_is_cut_off_is_no_model(tmp_path: Path) -> None:
    folder = saved(tmp_path / "net", Net())
    data = next((folder / "variables").glob("*.data-*"))
    data.write_bytes(data.read_bytes()[:40])
    with pytest.raises(InvalidModel):
        read_tensorflow(folder).graph.initializers["first/0"].const_value.numpy()
    data.unlink()
    with pytest.raises(InvalidModel):
        read_tensorflow(folder).graph.initializers["first/0"].const_value.numpy()
    next((folder / "variables").glob("*.index")).unlink()
    with pytest.raises(InvalidModel):
        read_tensorflow(folder)
