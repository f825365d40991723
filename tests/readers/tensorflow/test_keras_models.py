"""Models of Keras 3 of every build: the same names, order and numbers live, from a file and from a SavedModel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")
pytest.importorskip("torch")

import keras
import tensorflow as tf
from keras import layers
from keras_agreement import assert_near
from reading import run_hub

from isthmus.errors import UnsafeInput, UsageError
from isthmus.hub.model import Hub
from isthmus.readers.tensorflow import read_tensorflow

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras, when it saves
]

RNG = np.random.default_rng(8)


def _normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


X, Y = _normal(3, 4), _normal(3, 4)


def told(hub: Hub) -> tuple[list[str], list[str]]:
    """What goes in and what comes out, by name."""
    return [spec.name for spec in hub.signature.inputs], [spec.name for spec in hub.signature.outputs]


def agrees(source: Any, arrays: Sequence[np.ndarray], result: Any) -> Hub:
    """The hub, which gives what Keras gave; ``arrays`` are in the order of its inputs."""
    hub = read_tensorflow(source)
    assert_near(run_hub(hub, *arrays), [np.asarray(tensor) for tensor in tf.nest.flatten(result)])
    return hub


def test_nested_outputs_and_inputs_by_key(tmp_path: Path) -> None:
    first, second = keras.Input((4,), name="p"), keras.Input((4,), name="q")
    x = layers.Dense(3, name="d")(layers.Concatenate()([second, first]))
    model = keras.Model({"p": first, "q": second}, {"r": x, "s": [x * 2, {"t": x + 1}]})
    model.save(tmp_path / "net.keras")
    for source in (model, tmp_path / "net.keras"):
        hub = agrees(source, [X, Y], model({"p": X, "q": Y}))
        assert told(hub) == (["p", "q"], ["r", "s.0", "s.1.t"])


def test_shared_layers_and_models_stand_once(tmp_path: Path) -> None:
    first, second = keras.Input((4,), name="zeta"), keras.Input((4,), name="alpha")
    shared = layers.Dense(4, name="d")
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="k")], name="inner")
    model = keras.Model([first, second], [inner(shared(first)), inner(shared(second)), first])
    hub = agrees(model, [X, Y], model([X, Y]))
    assert told(hub) == (["zeta", "alpha"], ["inner", "inner_1", "zeta_1"])
    assert {"d/kernel", "d/bias", "inner/k/kernel", "inner/k/bias"} <= set(hub.graph.initializers)
    assert sum(node.op_type == "MatMul" for node in hub.graph) == 4
    model.export(tmp_path / "net", verbose=False)
    hub = agrees(tmp_path / "net", [Y, X], model([X, Y]))
    assert told(hub) == (["alpha", "zeta"], ["output_0", "output_1", "output_2"])


def test_layers_of_one_name_in_several_models(tmp_path: Path) -> None:
    def inner(name: str) -> Any:
        return keras.Sequential([keras.Input((4,)), layers.Dense(4, name="same")], name=name)

    x = keras.Input((4,), name="x")
    model = keras.Model(x, layers.Dense(2, name="same")(inner("two")(inner("one")(x))))
    model.save(tmp_path / "net.keras")
    hub = agrees(model, [X], model(X))
    assert {"one/same/kernel", "two/same/kernel", "same/kernel"} <= set(hub.graph.initializers)
    hub = agrees(tmp_path / "net.keras", [X], model(X))
    assert sum(name.endswith("kernel") for name in hub.graph.initializers) == 3


def test_a_sequential_that_was_told_no_input_takes_any_batch(tmp_path: Path) -> None:
    model = keras.Sequential([layers.Dense(3, activation="relu"), layers.Dense(2, name="last")])
    with pytest.raises(UsageError, match="never called"):
        read_tensorflow(model)
    model(X[:2])
    model.save(tmp_path / "net.keras")
    for source in (model, tmp_path / "net.keras"):
        hub = agrees(source, [X], model(X))
        assert [str(spec) for spec in hub.signature.outputs] == ["last: float32[batch, 2]"]
        assert hub.signature.inputs[0].name.startswith("input_layer")


class Subclassed(keras.Model):
    """What only exists when it is called."""

    def __init__(self) -> None:
        super().__init__(name="net")
        self.dense = layers.Dense(3, name="dense")
        self.drop = layers.Dropout(0.5)
        self.norm = layers.BatchNormalization(name="norm")

    def call(self, x: Any, training: Any = None, mask: Any = None) -> Any:
        return self.norm(self.drop(self.dense(x), training=training), training=training)


def test_a_subclassed_model_with_training_and_mask() -> None:
    import torch

    from isthmus.writers.torch.record import record

    model = Subclassed()
    model(X)
    hub = agrees(model, [X], model(X, training=False))
    assert told(hub) == (["x"], ["output_0"])
    module = record(hub).module
    assert set(dict(module.named_parameters())) == {
        f"net.{name}" for name in ("dense.weight", "dense.bias", "norm.weight", "norm.bias")
    }
    with torch.no_grad():
        assert_near([module(torch.from_numpy(X)).numpy()], [np.asarray(model(X, training=False))])


class TwoArguments(keras.Model):
    def call(self, first: Any, second: Any, scale: float = 2.0) -> Any:
        return first * scale + second


def test_arguments_whose_shape_nobody_knows_are_asked_for() -> None:
    model = TwoArguments()
    model(X, Y)
    with pytest.raises(UsageError, match="the shape of second is not known"):
        read_tensorflow(model)
    hub = read_tensorflow(model, inputs={"first": X, "second": Y})
    assert told(hub)[0] == ["first", "second"]
    assert_near(run_hub(hub, X, Y), [np.asarray(model(X, Y))])


def test_states_are_inputs_and_outputs_in_a_steady_order() -> None:
    model = keras.Sequential(
        [keras.Input(batch_shape=(2, 5, 4), name="x"), layers.LSTM(3, stateful=True, name="lstm")]
    )
    inputs, outputs = told(read_tensorflow(model))
    assert inputs[0] == "x"
    assert outputs == ["lstm", *(f"{name}_next" for name in inputs[1:])]
    assert [name.rpartition("/")[2] for name in inputs[1:]] == ["rnn_state", "rnn_state_1"]


@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have a `quantize` method")
def test_quantized_layers_keep_their_bytes() -> None:
    x = keras.Input((4,), name="x")
    model = keras.Model(x, layers.Dense(3, name="b")(layers.Dense(8, name="a")(x)))
    model(X)
    model.quantize("int8")
    hub = agrees(model, [X], model(X))
    assert sum(node.op_type == "MatMulInteger" for node in hub.graph) == 2
    assert {str(hub.graph.initializers[f"{name}/kernel"].dtype) for name in "ab"} == {"INT8"}


def test_a_saved_model_as_a_layer(tmp_path: Path) -> None:
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    inner.export(tmp_path / "inner", verbose=False)
    x = keras.Input((4,), name="x")
    model = keras.Model(x, layers.TFSMLayer(str(tmp_path / "inner"), call_endpoint="serving_default")(x))
    agrees(model, [X], model(X))
    model.save(tmp_path / "net.keras")
    with pytest.raises(UnsafeInput, match="SavedModels of files elsewhere"):
        read_tensorflow(tmp_path / "net.keras")


def test_half_precision_between_layers() -> None:
    x = keras.Input((4,), name="x")
    half = layers.Dense(4, activation="relu", dtype="mixed_float16")(x)
    model = keras.Model(x, layers.Dense(3, dtype="float32")(half))
    hub = read_tensorflow(model)
    np.testing.assert_allclose(run_hub(hub, X)[0], np.asarray(model(X)), atol=5e-3)


class Deciding(keras.Model):
    """Python that looks at a tensor, which Keras runs eagerly and cannot make a graph of by itself."""

    def call(self, x: Any) -> Any:
        if tf.reduce_sum(x) > 0:
            return x * 2
        return x - 1


def test_what_python_decides_is_decided_in_the_graph() -> None:
    model = Deciding()
    hub = read_tensorflow(model, inputs={"x": X})
    assert "If" in {node.op_type for node in hub.graph}
    for x in (np.abs(X), -np.abs(X)):
        assert_near(run_hub(hub, x), [np.asarray(model(x))])
