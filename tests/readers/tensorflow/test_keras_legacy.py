"""Models of Keras 2: live, from files that tf_keras or older versions wrote, and from SavedModels."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")
pytest.importorskip("tf_keras")

import h5py
import tensorflow as tf
import tf_keras as keras2
from keras_agreement import assert_near
from reading import run_hub
from tf_keras import layers

from isthmus.errors import UnsafeInput, Unsupported, UsageError
from isthmus.hub.model import Hub
from isthmus.readers.tensorflow import read_tensorflow
from isthmus.types import Options

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

RNG = np.random.default_rng(2)


def _normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def _with_functions() -> Any:
    """Functions of TensorFlow between the layers, which Keras 2 keeps as layers."""
    x = keras2.Input((4,), name="x")
    y = tf.nn.relu(x) * 2.0 + tf.reduce_mean(x, axis=-1, keepdims=True)
    return keras2.Model(x, layers.Dense(2, name="d")(tf.concat([y, x[:, 1:3]], -1)))


def _time_major() -> Any:
    x = keras2.Input(batch_shape=(5, 2, 4), name="x")
    return keras2.Model(x, layers.LSTM(3, time_major=True, return_sequences=True, name="lstm")(x))


def _of_layers(shape: tuple[int, ...], *made: Any, dtype: str = "float32") -> Any:
    return keras2.Sequential([keras2.Input(shape, name="x", dtype=dtype), *made])


NETS: Mapping[str, tuple[Callable[[], Any], np.ndarray]] = MappingProxyType(
    {
        "time_major": (_time_major, _normal(5, 2, 4)),
        "functions": (_with_functions, _normal(2, 4)),
        "gru": (
            lambda: _of_layers(
                (5, 4),
                layers.GRU(3, return_sequences=True, reset_after=True),
                layers.GRU(3, reset_after=False, name="g"),
            ),
            _normal(2, 5, 4),
        ),
        "images": (
            lambda: _of_layers(
                (8, 8, 3),
                layers.Conv2D(4, 3, padding="same", activation="swish"),
                layers.BatchNormalization(),
                layers.ReLU(6.0),
                layers.DepthwiseConv2D(3, name="dw"),
                layers.SeparableConv2D(5, 3),
                layers.GlobalAveragePooling2D(),
            ),
            _normal(2, 8, 8, 3),
        ),
        "tokens": (
            lambda: _of_layers(
                (5,),
                layers.Embedding(9, 4, mask_zero=True),
                layers.Bidirectional(layers.LSTM(3)),
                layers.Dense(2, activation="softmax"),
                dtype="int32",
            ),
            np.array([[1, 2, 3, 0, 0], [4, 5, 6, 7, 8]], np.int32),
        ),
    }
)


RECURRENT = ("time_major", "gru", "tokens")
"""Nets whose recurrent weights ONNX has in another order, put together."""


def _nets(*few: str) -> list[Any]:
    """All of them; those not among ``few`` are run by ``make slow``."""
    return [name if name in few else pytest.param(name, marks=pytest.mark.slow) for name in NETS]


def net(name: str) -> tuple[Any, np.ndarray, np.ndarray]:
    """A model whose weights are no ones and zeros, what it is fed, and what it gives."""
    make, array = NETS[name]
    model = make()
    rng = np.random.default_rng(4)
    drawn = [rng.normal(0, 0.4, weight.shape) for weight in model.get_weights()]
    kinds = ["variance" in variable.name for variable in model.weights]
    model.set_weights([np.abs(d) + 0.5 if positive else d for d, positive in zip(drawn, kinds, strict=True)])
    return model, array, np.asarray(model(array, training=False))


def agrees(source: Any, array: np.ndarray, expected: np.ndarray, **settings: Any) -> Hub:
    hub = read_tensorflow(source, **settings)
    assert_near(run_hub(hub, array), [expected])
    return hub


@pytest.mark.parametrize("name", _nets("functions", "images", "time_major"))
def test_a_live_model(name: str) -> None:
    model, array, expected = net(name)
    hub = agrees(model, array, expected)
    assert [spec.name for spec in hub.signature.inputs] == ["x"]
    weights = {variable.name.removesuffix(":0") for variable in model.variables}
    assert name in RECURRENT or weights <= set(hub.graph.initializers)


@pytest.mark.parametrize("suffix", [".h5", ".keras", ""])
@pytest.mark.parametrize("name", _nets("functions"))
def test_a_file(name: str, suffix: str, tmp_path: Path) -> None:
    model, array, expected = net(name)
    path = tmp_path / f"net{suffix}"
    model.save(path, **({} if suffix else {"save_format": "tf"}))
    agrees(path, array, expected)


def described(path: Path, change: Callable[[dict[str, Any]], None], version: str) -> Path:
    """The file with another description of every layer, as ``version`` of Keras wrote it."""
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        for entry in config["config"]["layers"]:
            entry.pop("module", None)
            entry.pop("registered_name", None)
            change(entry)
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = version
    return path


def test_a_file_of_keras_2_2_knows_no_reset_after(tmp_path: Path) -> None:
    model = _of_layers((5, 4), layers.GRU(3, reset_after=False, name="g"))
    array = _normal(2, 5, 4)
    model.save(tmp_path / "net.h5")

    def older(entry: dict[str, Any]) -> None:
        for key in ("reset_after", "time_major"):
            entry["config"].pop(key, None)

    path = described(tmp_path / "net.h5", older, "2.2.4")
    hub = agrees(path, array, np.asarray(model(array)))
    (gru,) = [node for node in hub.graph if node.op_type == "GRU"]
    assert "linear_before_reset" not in gru.attributes


def test_a_depthwise_convolution_that_tells_its_groups(tmp_path: Path) -> None:
    model = _of_layers((8, 8, 3), layers.DepthwiseConv2D(3, name="dw"))
    array = _normal(2, 8, 8, 3)
    model.save(tmp_path / "net.h5")

    def grouped(entry: dict[str, Any]) -> None:
        if entry["class_name"] == "DepthwiseConv2D":
            entry["config"]["groups"] = 1

    agrees(described(tmp_path / "net.h5", grouped, "2.4.0"), array, np.asarray(model(array)))


def test_weights_alone_are_refused(tmp_path: Path) -> None:
    model = _of_layers((4,), layers.Dense(2))
    model.save_weights(tmp_path / "net.h5")
    with pytest.raises(UsageError, match="weights only"):
        read_tensorflow(tmp_path / "net.h5")


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_python_code_must_be_trusted(suffix: str, tmp_path: Path) -> None:
    x = keras2.Input((4,), name="x")
    model = keras2.Model(x, layers.Lambda(lambda t: t * 2, name="twice")(x))
    path = tmp_path / f"net{suffix}"
    model.save(path)
    with pytest.raises(UnsafeInput, match="Lambda layers, which are Python code: twice"):
        read_tensorflow(path)
    array = _normal(2, 4)
    agrees(path, array, 2 * array, options=Options(trust_pickle=True))


class Chosen(keras2.Model):
    """What it is called with decides how many inputs it has, and a size which way it goes."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = layers.Embedding(7, 3, name="rows")

    def call(self, inputs: Any, scale: Any = None, training: bool = False) -> Any:
        ids, weights = (inputs["ids"], inputs["weights"]) if isinstance(inputs, dict) else (inputs, None)
        x = self.rows(ids)
        if tf.shape(ids)[1] > 2:
            x = x[:, 1:]
        x = tf.reduce_sum(x, axis=1)
        x = x if weights is None else x * weights
        return x if scale is None else x * scale


IDS = np.arange(8).reshape(2, 4).astype(np.int32) % 7


@pytest.mark.parametrize(
    ("arguments", "keywords", "names"),
    [
        ((IDS,), {}, ["input_1"]),
        (({"ids": IDS, "weights": _normal(2, 1)},), {}, ["ids", "weights"]),
        ((IDS,), {"scale": _normal(2, 1), "training": False}, ["inputs", "scale"]),
    ],
)
def test_a_subclassed_model_is_what_it_was_first_called_with(
    arguments: tuple[Any, ...], keywords: dict[str, Any], names: list[str]
) -> None:
    model = Chosen()
    expected = model(*arguments, **keywords)
    hub = read_tensorflow(model)
    assert [spec.name for spec in hub.signature.inputs] == names
    assert {(spec.shape or ())[0] for spec in hub.signature.inputs} == {"batch"}
    given = [array for array in tf.nest.flatten((arguments, keywords)) if isinstance(array, np.ndarray)]
    assert_near(run_hub(hub, *given), [expected.numpy()])


def test_an_output_without_a_rank_is_refused() -> None:
    model = keras2.Sequential([layers.Lambda(tf.squeeze, input_shape=[1, 2])])
    with pytest.raises(Unsupported, match="the rank of its result is not known"):
        read_tensorflow(model)


class Block(layers.Layer):
    """As transformers writes its layers: sub-layers, and none of its own weights."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.dense = layers.Dense(4, name="dense")
        self.act = layers.Activation("relu", name="act")
        self.norm = layers.LayerNormalization(name="norm")

    def call(self, x: Any) -> Any:
        return self.norm(x + self.act(self.dense(x)))


class Listed(keras2.Model):
    def __init__(self, pattern: str) -> None:
        super().__init__(name="listed")
        self.blocks = [Block(pattern.format(i)) for i in range(3)]

    def call(self, x: Any) -> Any:
        for block in self.blocks:
            x = block(x)
        return x


@pytest.mark.parametrize("pattern", ["block_._{}", "block.{}"])
def test_lists_of_layers_are_lists_of_modules(pattern: str) -> None:
    torch = pytest.importorskip("torch")
    from isthmus.hub.provenance import where
    from isthmus.writers.torch.record import record

    model, x = Listed(pattern), _normal(3, 4)
    expected = model(x)
    hub = read_tensorflow(model)
    places = {where(node).module for node in hub.graph}
    assert {"listed.block.0", "listed.block.1.dense", "listed.block.2.act", "listed.block.0.norm"} <= places
    module = record(hub).module
    names = ("dense.weight", "dense.bias", "norm.weight", "norm.bias")
    assert list(module.state_dict()) == [f"listed.block.{i}.{name}" for i in range(3) for name in names]
    assert [type(block).__name__ for block in module.get_submodule("listed.block").children()] == ["Block"] * 3
    with torch.no_grad():
        assert_near([module(torch.from_numpy(x)).numpy()], [expected.numpy()])
