"""Keras' layers over one axis are PyTorch's own over one axis, however TensorFlow computes them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("torch")

import keras
import torch
import torch.nn.functional as F
from keras import layers

import isthmus
from isthmus.types import Options

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]


@pytest.mark.parametrize(
    ("layer", "kind", "weight"),
    [
        (lambda: layers.Conv1D(5, 3, padding="same", name="layer"), "Conv1d", (5, 4, 3)),
        (lambda: layers.Conv1D(6, 3, strides=2, groups=2, name="layer"), "Conv1d", (6, 2, 3)),
        (lambda: layers.Conv1D(6, 2, padding="causal", name="layer"), "Conv1d", (6, 4, 2)),
        (lambda: layers.DepthwiseConv1D(3, padding="same", name="layer"), "Conv1d", (4, 1, 3)),
        (lambda: layers.Conv1DTranspose(5, 4, strides=2, name="layer"), "ConvTranspose1d", (4, 5, 4)),
    ],
    ids=["same", "groups", "causal", "depthwise", "transposed"],
)
@pytest.mark.parametrize("length", [12, None])
def test_convolutions(layer, kind: str, weight: tuple[int, ...], length: int | None) -> None:
    net = keras.Sequential([keras.Input((length, 4)), layer()])
    back = isthmus.convert(net, to="torch", options=Options(verify=False)).model
    (made,) = (part for part in back.modules() if type(part).__name__ == kind)
    assert tuple(made.weight.shape) == weight
    x = np.random.default_rng(0).normal(size=(3, 12, 4)).astype(np.float32)
    with torch.no_grad():
        assert np.allclose(back(torch.from_numpy(x)).numpy(), net(x).numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("pool", "function"),
    [(layers.MaxPool1D, F.max_pool1d), (layers.AveragePooling1D, F.avg_pool1d)],
    ids=["max", "average"],
)
def test_pools(pool, function) -> None:
    net = keras.Sequential([keras.Input((12, 4)), pool(3, strides=2)])
    back = isthmus.convert(net, to="torch", options=Options(verify=False)).model
    x = np.random.default_rng(0).normal(size=(3, 12, 4)).astype(np.float32)
    with torch.no_grad():
        assert np.allclose(back(torch.from_numpy(x)).numpy(), net(x).numpy(), atol=1e-6)
    called = [node.target for node in back.graph.nodes if node.op == "call_function"]
    assert called == [function]


def test_the_way_back_from_a_saved_model(tmp_path) -> None:
    net = torch.nn.Sequential(torch.nn.Conv1d(4, 6, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv1d(6, 2, 1)).eval()
    x = torch.randn(2, 4, 9)
    options = Options(verify=False, trainable=True)
    isthmus.convert(net, tmp_path / "net", inputs=(x,), dynamic_shapes=({0: "batch"},), options=options)
    back = isthmus.convert(tmp_path / "net", to="torch", options=options).model
    before, after = net.state_dict(), back.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[key], after[key]) for key in before)
