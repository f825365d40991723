"""What a SavedModel of Isthmus' own keeps of the PyTorch model that it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("torch")

import torch
from torch import nn

import isthmus
from isthmus.errors import InvalidModel
from isthmus.types import Options

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]

RECORD = "assets.extra/isthmus.json"


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(self.norm(self.conv(x)) + x)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Hardswish())
        self.blocks = nn.ModuleList([Block(), Block()])
        self.drop = nn.Dropout(0.25)
        self.head = nn.Linear(4, 4)
        self.also = nn.Linear(4, 4)
        self.also.weight = self.head.weight
        self.unused = nn.Linear(2, 2)
        self.register_buffer("steps", torch.tensor(12))
        self.stem[0].bias.requires_grad_(False)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        x = self.drop(x.mean((2, 3)))
        return {"first": self.head(x), "second": self.also(x)}


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    net = Net()
    for _ in range(3):  # so that statistics have moved, and batches were counted
        net(torch.randn(2, 3, 5, 5))
    return net.eval()


@pytest.fixture(scope="module")
def folder(net: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("record") / "net"
    options = Options(verify=False, trainable=True)
    shapes = {"x": {0: "batch"}}
    isthmus.convert(net, folder, inputs=(torch.randn(2, 3, 5, 5),), dynamic_shapes=shapes, options=options)
    return folder


def test_the_state_dict_comes_back_whole(net: nn.Module, folder: Path) -> None:
    back = isthmus.convert(folder, to="torch", options=Options(verify=False, trainable=True)).model
    before, after = net.state_dict(), back.state_dict()
    assert set(before) == set(after)
    assert all(before[key].dtype == after[key].dtype and torch.equal(before[key], after[key]) for key in before)
    assert int(after["blocks.1.norm.num_batches_tracked"]) == 3
    trained = {key: value.requires_grad for key, value in net.named_parameters()}
    assert {key: value.requires_grad for key, value in back.named_parameters()} == trained
    assert back.also.weight is back.head.weight


def test_so_does_the_tree(net: nn.Module, folder: Path) -> None:
    back = isthmus.convert(folder, to="torch", options=Options(verify=False, trainable=True)).model
    before = {path: type(module).__name__ for path, module in net.named_modules() if path}
    after = {path: type(module).__name__ for path, module in back.named_modules() if path}
    assert list(before) == list(after)
    inert = {"drop", "unused"}  # what serving does not compute has its name, and no more
    assert {path: kind for path, kind in before.items() if after[path] != kind}.keys() <= inert
    x = torch.randn(3, 3, 5, 5)
    with torch.no_grad():
        expected, made = net(x), back(x)
    assert list(made) == ["first", "second"]
    assert all(torch.allclose(made[key], expected[key], atol=1e-5) for key in expected)


def test_the_operations_stand_in_their_modules_scopes(folder: Path) -> None:
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    assert record["scopes"]["blocks/1/norm"] == "blocks.1.norm"
    assert record["classes"]["blocks.1.norm"].endswith(".BatchNorm2d")


def test_a_damaged_state_is_an_error(folder: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "net"
    shutil.copytree(folder, copy)
    record = json.loads((copy / RECORD).read_text(encoding="utf-8"))
    (copy / RECORD).write_text(json.dumps(record | {"state": '{"kept": 3}'}), encoding="utf-8")
    with pytest.raises(InvalidModel, match="damaged"):
        isthmus.convert(copy, to="torch", options=Options(verify=False))
