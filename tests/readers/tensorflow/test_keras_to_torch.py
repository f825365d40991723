"""Keras models trained in PyTorch as in Keras: the same gradients, the same step, and the weights back again."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("tensorflow")

import torch
from training_nets import NETS, built, trained

import isthmus
from isthmus.types import Options, StoredWeight
from isthmus.verify.gradients import arranged

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]

RATE = 0.05
CLOSE = {"rtol": 2e-4, "atol": 2e-5}


def carried(model: Any) -> tuple[torch.nn.Module, dict[str, StoredWeight]]:
    made = isthmus.convert(model, to="torch", options=isthmus.Options(verify=False))
    return made.model, {stored.key: stored for stored in made.report.weights}


def restored(stored: Mapping[str, StoredWeight], state: Mapping[str, torch.Tensor], source: Any) -> np.ndarray:
    """A weight of the source out of the state dict: what ``stored`` tells, undone."""
    found = np.full(source.shape, np.nan, np.float32)
    places = np.arange(found.size).reshape(found.shape)
    for key, told in stored.items():
        if told.source == source.path:
            found.reshape(-1)[np.asarray(arranged(told, places)).reshape(-1)] = state[key].numpy().reshape(-1)
    return found


def test_every_kind_of_arrangement_is_told() -> None:
    """The steps of a weight's arrangement, by hand."""
    array = np.arange(24.0).reshape(2, 12)
    told = StoredWeight("k", "s", index=1, blocks=(2, 0), of=3, shape=(2, 4))
    np.testing.assert_array_equal(arranged(told, array), np.r_[array[1, 8:], array[1, :4]].reshape(2, 4))
    told = StoredWeight("k", "s", blocks=(1, 0), of=2, perm=(1, 0), axis=1)
    np.testing.assert_array_equal(arranged(told, array), np.c_[array[:, 6:], array[:, :6]].T)


@pytest.mark.parametrize("name", NETS)
def test_a_step_of_training(name: str) -> None:
    model, x = built(name)
    module, stored = carried(model)
    parameters = {key: p for key, p in module.named_parameters() if p.requires_grad}
    weights = {weight.path: weight for weight in model.trainable_weights}
    assert {stored[key].source for key in parameters} == set(weights)
    assert sum(p.numel() for p in parameters.values()) == sum(np.prod(w.shape) for w in weights.values())
    given = torch.from_numpy(x)
    with torch.no_grad():
        np.testing.assert_allclose(module(given).numpy(), model(x, training=False).numpy(), **CLOSE)

    cotangent = np.random.default_rng(1).normal(0, 1, model(x).shape).astype(np.float32)
    gradients = trained(model, x, cotangent, RATE)
    module.train()
    (module(given) * torch.from_numpy(cotangent)).sum().backward()
    largest = max(np.abs(gradient).max() for gradient in gradients.values())
    for key, parameter in parameters.items():
        assert parameter.grad is not None
        expected = arranged(stored[key], gradients[stored[key].source])
        np.testing.assert_allclose(parameter.grad.numpy(), expected, rtol=1e-3, atol=1e-5 * largest, err_msg=key)

    torch.optim.SGD(parameters.values(), RATE).step()
    state = {key: tensor.detach() for key, tensor in module.state_dict().items()}
    for weight in model.weights:
        if "variance" not in weight.path:
            np.testing.assert_allclose(restored(stored, state, weight), weight.numpy(), **CLOSE, err_msg=weight.path)


def test_statistics_move_as_in_keras() -> None:
    """With Keras' momentum; the variance is PyTorch's, which divides by one less."""
    model, x = built("batch norm")
    module, stored = carried(model)
    mean, variance = model.layers[1].moving_mean, model.layers[1].moving_variance
    before = variance.numpy()
    model(x, training=True)
    module.train()(torch.from_numpy(x))
    state = module.state_dict()
    np.testing.assert_allclose(restored(stored, state, mean), mean.numpy(), rtol=1e-5)
    count = x.shape[0] * 6 * 6
    moved = (variance.numpy() - 0.8 * before) * count / (count - 1)
    np.testing.assert_allclose(restored(stored, state, variance), 0.8 * before + moved, rtol=1e-5)


def test_frozen_batch_norms_stay_as_they_are() -> None:
    model, x = built("frozen")
    module, _ = carried(model)
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    expected = model(x, training=True).numpy()
    np.testing.assert_allclose(module.train()(torch.from_numpy(x)).detach().numpy(), expected, **CLOSE)
    assert all(torch.equal(tensor, before[key]) for key, tensor in module.state_dict().items())


@pytest.mark.parametrize("name", ["frozen", "batch norm without scale", "lstm", "residual"])
def test_source_is_the_same_module(name: str, tmp_path: Path) -> None:
    """The class that is written trains what the module in memory trains."""
    model, x = built(name)
    module, _ = carried(model)
    isthmus.convert(model, tmp_path / "net.py", options=isthmus.Options(verify=False))
    spec = importlib.util.spec_from_file_location("net", tmp_path / "net.py")
    assert spec is not None and spec.loader is not None
    source = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(source)
    again = source.load_model()
    ours, theirs = dict(again.named_parameters()), dict(module.named_parameters())
    assert {k: p.requires_grad for k, p in ours.items()} == {k: p.requires_grad for k, p in theirs.items()}
    for trains in (False, True):
        made = again.train(trains)(torch.from_numpy(x)).detach().numpy()
        np.testing.assert_array_equal(made, module.train(trains)(torch.from_numpy(x)).detach().numpy())


@pytest.mark.parametrize("name", ["separable", "batch norm", "bidirectional", "gru", "transformer"])
def test_the_state_dict_goes_back_to_keras(name: str) -> None:
    model, x = built(name)
    module, stored = carried(model)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.mul_(1.1).add_(0.01)
        expected = module(torch.from_numpy(x)).numpy()
    state = module.state_dict()
    for weight in model.weights:
        weight.assign(restored(stored, state, weight))
    np.testing.assert_allclose(model(x, training=False).numpy(), expected, **CLOSE)


def test_blocks_of_the_source_are_called_as_keras_calls_them(tmp_path: Path) -> None:
    """Two attentions of one kind are one class; what becomes a layer of PyTorch's own needs none."""
    import keras

    given = keras.Input((None, 8), name="x")
    x = keras.layers.MultiHeadAttention(2, 4, name="first")(given, given)
    x = keras.layers.MultiHeadAttention(2, 4, name="second")(x, x)
    net = keras.Model(given, keras.layers.Dense(3, name="head")(x))
    isthmus.convert(net, tmp_path / "net.py", options=isthmus.Options(verify=False))
    source = (tmp_path / "net.py").read_text()
    classes = [line.split("(")[0].removeprefix("class ") for line in source.splitlines() if line.startswith("class ")]
    assert classes == ["EinsumDense", "EinsumDense2", "MultiHeadAttention", "Model"]
    assert "self.second = MultiHeadAttention()" in source


def test_layers_of_float64_are_pytorchs_own() -> None:
    """ONNX Runtime has none, PyTorch has."""
    layers = importlib.import_module("keras").layers
    x = layers.Input((None, 3), dtype="float64")
    y = layers.Bidirectional(layers.LSTM(4, dtype="float64", return_sequences=True), dtype="float64", name="both")(x)
    net = importlib.import_module("keras").Model(x, layers.GRU(2, dtype="float64", name="last")(y))
    module = isthmus.convert(net, to="torch", options=Options(verify=False)).model
    parts = dict(module.named_modules())
    assert isinstance(parts["both"], torch.nn.LSTM)
    assert isinstance(parts["last"], torch.nn.GRU)
    given = np.random.default_rng(0).standard_normal((2, 5, 3))
    with torch.no_grad():
        np.testing.assert_allclose(module(torch.from_numpy(given)).numpy(), net(given).numpy(), rtol=1e-9, atol=1e-9)


def test_gradients_that_stop_stop_in_every_target(tmp_path: Path) -> None:
    model, _ = built("straight through")
    trainable = Options(trainable=True)
    onward = isthmus.convert(model, tmp_path / "net", options=trainable)
    back = isthmus.convert(tmp_path / "net", tmp_path / "net.py", options=trainable)
    assert onward.verdict and back.verdict  # the judge has compared every gradient
    assert (tmp_path / "net.py").read_text().count(".detach()") == 2
    isthmus.convert(model, tmp_path / "net.onnx")
    assert isthmus.convert(tmp_path / "net.onnx", tmp_path / "again.py")
    assert (tmp_path / "again.py").read_text().count(".detach()") == 2
