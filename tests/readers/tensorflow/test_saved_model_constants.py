"""Weights that an inference SavedModel of Isthmus' own holds as constants come back under their names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("torch")

import torch
from onnx import numpy_helper
from torch import nn

import isthmus
from isthmus.types import Options

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]

RECORD = "assets.extra/isthmus.json"


class Net(nn.Module):
    """Weights of every sort: scalars, buffers, integers, halves, large ones, one in two orders, folded ones."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.twice = nn.Parameter(torch.randn(4, 4))
        self.low = nn.Parameter(torch.randn(4).half())
        self.register_buffer("mean", torch.randn(4))
        self.register_buffer("mask", torch.ones(4, 4).tril().bool())
        self.register_buffer("rows", torch.tensor([2, 0, 1, 3]))
        self.register_buffer("order", torch.tensor([3, 0, 2, 1]))
        self.places = nn.Embedding(4, 4)
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.wide = nn.Conv2d(2, 40, (3, 5), padding=(1, 2), groups=2)
        self.norm = nn.LayerNorm(4)
        self.frozen = nn.Linear(4, 4)
        self.frozen.requires_grad_(False)
        self.rnn = nn.RNN(4, 4, batch_first=True)

    def forward(self, x):
        x = (x - self.mean)[:, self.rows] * self.scale
        x = x[:, self.order] + self.places(self.order)
        x = x @ self.twice + x @ self.twice.T
        x = torch.where(self.mask, x, 0.0)
        x = self.wide(self.conv(x[:, None])).mean(1)
        x = self.rnn(self.frozen(self.norm(x)))[0]
        return (x.half() * self.low).float()


FOLDED = {"order", "places.weight", "rnn.bias_ih_l0", "rnn.bias_hh_l0"}
"""What the graph holds in another form: indices of rows, the rows that they choose, and biases side by side."""


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture(scope="module")
def folder(net: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(net, tmp_path_factory.mktemp("constants") / "net", trainable=False)


def saved(net: nn.Module, folder: Path, *, trainable: bool) -> Path:
    options = Options(verify=False, trainable=trainable)
    isthmus.convert(net, folder, inputs=(torch.randn(2, 4, 4),), dynamic_shapes=({0: "batch"},), options=options)
    return folder


def test_every_weight_comes_back_under_its_key(net: nn.Module, folder: Path) -> None:
    back = isthmus.convert(folder, to="torch", options=Options(verify=False)).model
    before, after = net.state_dict(), back.state_dict()
    assert set(after) == set(before) - FOLDED
    for key, value in after.items():
        assert value.dtype == before[key].dtype and torch.equal(value, before[key]), key
    assert {key for key, _ in back.named_parameters()} == {key for key, _ in net.named_parameters()} - FOLDED
    assert {key for key, _ in back.named_buffers()} >= {key for key, _ in net.named_buffers()} - FOLDED
    x = torch.randn(3, 4, 4)
    with torch.no_grad():
        assert torch.allclose(back(x), net(x), atol=1e-3)


def test_one_in_two_orders_is_one_weight(folder: Path) -> None:
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    copies = [name for name, told in record["weights"].items() if told.get("copy_of") == "twice"]
    assert len(copies) == 1 and record["weights"][copies[0]]["perm"] == [1, 0]
    back = isthmus.convert(folder, to="torch", options=Options(verify=False)).model
    assert sum(parameter.shape == (4, 4) for parameter in back.parameters()) == 4  # frozen, rnn's two, and this


def test_so_do_an_onnx_files_initializers(net: nn.Module, folder: Path, tmp_path: Path) -> None:
    isthmus.convert(folder, tmp_path / "net.onnx", to="onnx")
    held = {one.name: numpy_helper.to_array(one) for one in onnx.load(tmp_path / "net.onnx").graph.initializer}
    for key, value in net.state_dict().items():
        if key not in FOLDED | {"rows"}:  # TensorFlow's graph has these as indices along every axis
            assert held[key].dtype == value.numpy().dtype and np.array_equal(held[key], value.numpy()), key


def test_the_record_tells_weights_from_other_constants(folder: Path) -> None:
    told = json.loads((folder / RECORD).read_text(encoding="utf-8"))["weights"]
    assert told["scale"]["role"] == told["low"]["role"] == "parameter"
    assert told["mean"]["role"] == told["mask"]["role"] == "buffer"
    assert {one["role"] for name, one in told.items() if name.startswith("val_")} == {"constant"}


def test_a_trainable_one_keeps_what_its_graph_does_not_hold(net: nn.Module, tmp_path: Path) -> None:
    folder = saved(net, tmp_path / "net", trainable=True)
    told = json.loads((folder / RECORD).read_text(encoding="utf-8"))["weights"]
    assert len(told["mask"]["nodes"]) == 2  # of no type that trains, so it is a constant of both signatures
    back = isthmus.convert(folder, to="torch", options=Options(verify=False)).model
    before, after = net.state_dict(), back.state_dict()
    assert set(before) == set(after)
    assert all(before[key].dtype == after[key].dtype and torch.equal(before[key], after[key]) for key in before)
    trained = {key: value.requires_grad for key, value in net.named_parameters()}
    assert {key: value.requires_grad for key, value in back.named_parameters()} == trained
    assert {key for key, _ in back.named_buffers()} >= {key for key, _ in net.named_buffers()}


class Named(nn.Module):
    """A weight that is called as the input is, in two orders of axes."""

    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.randn(4, 4))

    def forward(self, x):
        return torch.tanh(x @ self.x.T) @ self.x


@pytest.mark.parametrize("trainable", [False, True])
def test_a_weight_that_stepped_aside_has_its_key_again(tmp_path: Path, trainable: bool) -> None:
    net = Named().eval()
    folder = saved(net, tmp_path / "net", trainable=trainable)
    back = isthmus.convert(folder, to="torch", options=Options(verify=False)).model
    assert list(back.state_dict()) == ["x"] and torch.equal(back.state_dict()["x"], net.x)
