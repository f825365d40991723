"""The trainable build: variables by the source's names, training mode, gradients after loading."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

tf = pytest.importorskip("tensorflow")

from isthmus.hub.model import Hub  # noqa: E402
from isthmus.readers.onnx import read_onnx  # noqa: E402
from isthmus.types import Options  # noqa: E402
from isthmus.writers.tensorflow import parameters, write_saved_model  # noqa: E402
from isthmus.writers.tensorflow.saved_model import RECORD  # noqa: E402

pytestmark = pytest.mark.tensorflow

MOMENTUM, EPSILON = 0.8, 1e-3


def weights() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0).standard_normal
    return {
        "conv.weight": draw((4, 3, 3, 3)).astype(np.float32) / 5,
        "conv.bias": draw(4).astype(np.float32),
        "bn.weight": np.abs(draw(4)).astype(np.float32),
        "bn.bias": draw(4).astype(np.float32),
        "bn.running_mean": draw(4).astype(np.float32) / 10,
        "bn.running_var": np.abs(draw(4)).astype(np.float32) + 1,
        "fc.weight": draw((4, 2)).astype(np.float32),
    }


def network(*, dropout: float = 0.0) -> Hub:
    """Conv, BatchNormalization, Relu, pooling, Dropout, MatMul: x float32[batch, 3, 6, 6] → y float32[batch, 2]."""
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight", "conv.bias"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node(
            "BatchNormalization",
            ["c", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"],
            ["n"],
            momentum=MOMENTUM,
            epsilon=EPSILON,
        ),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Dropout", ["f", "ratio"], ["d"]),
        helper.make_node("MatMul", ["d", "fc.weight"], ["y"]),
    ]
    held = [numpy_helper.from_array(array, name) for name, array in weights().items()]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])],
        [*held, numpy_helper.from_array(np.float32(dropout), "ratio")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return read_onnx(model)


def loaded(hub: Hub, folder: Path) -> Any:
    write_saved_model(hub, folder, options=Options(trainable=True))
    return tf.saved_model.load(str(folder))


def state_dict(model: Any, folder: Path) -> Mapping[str, np.ndarray]:
    """The source's weights, out of the loaded variables and the record beside them."""
    record = json.loads((folder / RECORD).read_text())["weights"]
    state = {}
    for name, stored in record.items():
        if "variable" in stored:
            array = model.parameters[name].numpy()
            state[name] = array.transpose(np.argsort(stored["perm"])) if "perm" in stored else array
    return state


X = np.random.default_rng(1).standard_normal((8, 3, 6, 6)).astype(np.float32)


def test_weights_come_back_bit_for_bit(tmp_path: Path) -> None:
    model = loaded(network(), tmp_path / "m")
    state = state_dict(model, tmp_path / "m")
    assert state.keys() == weights().keys()
    for name, array in weights().items():
        assert state[name].tobytes() == array.tobytes(), name
    keys = {key for key, _ in tf.train.list_variables(str(tmp_path / "m/variables/variables"))}
    assert "parameters/fc..weight/.ATTRIBUTES/VARIABLE_VALUE" in keys  # TensorFlow doubles a dot
    assert {v.name for v in model.variables} == {f"{name}:0" for name in weights()}


def test_statistics_are_not_trained(tmp_path: Path) -> None:
    model = loaded(network(), tmp_path / "m")
    trained = {v.name.removesuffix(":0") for v in model.trainable_variables}
    assert trained == weights().keys() - {"bn.running_mean", "bn.running_var"}
    assert {v.name for v in model.non_trainable_variables} == {"bn.running_mean:0", "bn.running_var:0"}


def test_training_normalizes_by_the_batch_and_updates_the_statistics(tmp_path: Path) -> None:
    model = loaded(network(), tmp_path / "m")
    held = weights()
    convolved = _convolved(X, held)
    mean, variance = convolved.mean((0, 2, 3)), convolved.var((0, 2, 3))
    expected = _head(convolved, mean, variance, held)
    np.testing.assert_allclose(model(tf.constant(X), training=True)["y"].numpy(), expected, rtol=1e-4, atol=1e-5)
    for name, batch in (("bn.running_mean", mean), ("bn.running_var", variance)):
        fresh = held[name] * MOMENTUM + batch * (1 - MOMENTUM)
        np.testing.assert_allclose(model.parameters[name].numpy(), fresh, rtol=1e-5, atol=1e-6)
        held[name] = fresh
    expected = _head(convolved, held["bn.running_mean"], held["bn.running_var"], held)
    for made in (model(tf.constant(X)), model.signatures["serving_default"](x=tf.constant(X))):
        np.testing.assert_allclose(made["y"].numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_torch_source_keeps_its_unbiased_variance(tmp_path: Path) -> None:
    model = loaded(network().with_(source_kind="torch"), tmp_path / "m")
    model.signatures["training"](x=tf.constant(X))
    variance = _convolved(X, weights()).var((0, 2, 3), ddof=1)
    fresh = weights()["bn.running_var"] * MOMENTUM + variance * (1 - MOMENTUM)
    np.testing.assert_allclose(model.parameters["bn.running_var"].numpy(), fresh, rtol=1e-5)


def _convolved(x: np.ndarray, held: Mapping[str, np.ndarray]) -> np.ndarray:
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
    return np.einsum("nchwij,ocij->nohw", windows, held["conv.weight"]) + held["conv.bias"][:, None, None]


def _head(x: np.ndarray, mean: np.ndarray, variance: np.ndarray, held: Mapping[str, np.ndarray]) -> np.ndarray:
    factor = held["bn.weight"] / np.sqrt(variance + EPSILON)
    normal = (x - mean[:, None, None]) * factor[:, None, None] + held["bn.bias"][:, None, None]
    return np.maximum(normal, 0).mean((2, 3)) @ held["fc.weight"]


def test_dropout_drops_only_while_training(tmp_path: Path) -> None:
    model = loaded(network(dropout=0.5), tmp_path / "m")
    still = [model(tf.constant(X))["y"].numpy() for _ in range(2)]
    np.testing.assert_array_equal(*still)
    moved = [model(tf.constant(X), training=True)["y"].numpy() for _ in range(2)]
    assert np.abs(moved[0] - moved[1]).max() > 1e-3


def test_training_after_loading_lowers_the_loss(tmp_path: Path) -> None:
    model = loaded(network(dropout=0.1), tmp_path / "m")
    wanted = tf.constant(np.eye(2, dtype=np.float32)[np.arange(8) % 2])

    def loss(training: bool) -> tf.Tensor:
        logits = model(tf.constant(X), training=training)["y"]
        return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(wanted, logits))

    for _ in range(20):  # the running statistics settle first: what is compared is inference, which has no dropout
        loss(training=True)
    before = float(loss(training=False))
    for _ in range(80):
        with tf.GradientTape() as tape:
            lost = loss(training=True)
        gradients = tape.gradient(lost, model.trainable_variables)
        assert all(gradient is not None for gradient in gradients)
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
            variable.assign_sub(0.1 * gradient)
    assert float(loss(training=False)) < 0.9 * before


def test_the_live_module_trains_too() -> None:
    module = write_saved_model(network(), None, options=Options(trainable=True))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(module(X, training=True)["y"] ** 2)
    gradients = tape.gradient(loss, module.trainable_variables)
    assert len(gradients) == 5 and all(g is not None for g in gradients)
    np.testing.assert_allclose(
        module(X)["y"].numpy(), module.eager({"x": tf.constant(X)})["y"].numpy(), rtol=1e-5, atol=1e-6
    )


def test_large_constants_of_a_trainable_model_are_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no weight, here integers, is a constant in both modes, or a variable that is not trained."""
    monkeypatch.setattr(parameters, "INLINE_LIMIT", 0)
    table = np.arange(4096, dtype=np.int32)
    nodes = [
        helper.make_node("Gather", ["table", "x"], ["t"]),
        helper.make_node("Cast", ["t"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["c", "w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.float32([0.5]), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    for limit, variables in ((1 << 20, {"w"}), (0, {"w", "table"})):
        monkeypatch.setattr(parameters, "FREEZE_LIMIT", limit)
        got = loaded(read_onnx(model), tmp_path / str(limit))
        assert set(got.parameters) == variables and [v.name for v in got.trainable_variables] == ["w:0"]
        for training in (False, True):
            assert got(tf.constant([7, 4095], tf.int64), training=training)["y"].numpy().tolist() == [3.5, 2047.5]
