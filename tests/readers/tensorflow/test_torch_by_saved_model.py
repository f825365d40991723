"""PyTorch → SavedModel → PyTorch: a trainable one gives the state dict back, an inference one computes the same."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("torch")

import torch
from torch import nn

import isthmus
from isthmus.types import Options

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]


class Block(nn.Module):
    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 2 * channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(2 * channels)
        self.conv2 = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2)
        self.bn2 = nn.BatchNorm2d(2 * channels)
        self.downsample = nn.Sequential(
            nn.Conv2d(channels, 2 * channels, 1, stride=stride), nn.BatchNorm2d(2 * channels)
        )

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.layers = nn.Sequential(Block(4, 2), Block(8, 1))
        self.up = nn.ConvTranspose2d(16, 4, 2, stride=2)
        self.fc = nn.Linear(4, 5)

    def forward(self, x):
        return self.fc(self.up(self.layers(self.stem(x))).mean((2, 3)))


class Text(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.place = nn.Parameter(torch.randn(6, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens):
        return self.head(self.encoder(self.embed(tokens) + self.place))


class Speech(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 6, 3, padding=1)
        self.lstm = nn.LSTM(6, 5, num_layers=2, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(10, 4, batch_first=True)
        self.norm = nn.LayerNorm(4)
        self.act = nn.PReLU(4)

    def forward(self, x):
        y, _ = self.gru(self.lstm(self.conv(x).transpose(1, 2))[0])
        return self.act(self.norm(y).transpose(1, 2))


NETS = {
    "resnet": (ResNet, lambda: torch.randn(2, 3, 8, 8)),
    "transformer": (Text, lambda: torch.randint(0, 20, (2, 6))),
    "recurrent": (Speech, lambda: torch.randn(2, 4, 7)),
}


def made(name: str) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    make, inputs = NETS[name]
    net = make().eval()
    with torch.no_grad():
        for part in net.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 1.5)
                part.weight.uniform_(0.5, 1.5)
                part.bias.normal_()
    return net, inputs()


def round_trip(net: nn.Module, x: torch.Tensor, folder: Path, *, trainable: bool) -> nn.Module:
    options = Options(verify=False, trainable=trainable)
    isthmus.convert(net, folder, to="saved_model", inputs=(x,), dynamic_shapes=({0: "batch"},), options=options)
    return isthmus.convert(folder, to="torch", options=Options(verify=False)).model


@pytest.mark.parametrize("name", ["resnet"])
def test_a_trainable_one_gives_the_state_dict_back(name: str, tmp_path: Path) -> None:
    net, x = made(name)
    back = round_trip(net, x, tmp_path / "net", trainable=True)
    before, after = net.state_dict(), back.state_dict()
    assert set(before) == set(after)
    assert all(before[key].dtype == after[key].dtype and torch.equal(before[key], after[key]) for key in before)
    weighted = {path for path, part in net.named_modules() if any(True for _ in part.parameters())}
    assert weighted <= {path for path, _ in back.named_modules()}
    assert {k for k, _ in net.named_parameters()} == {k for k, p in back.named_parameters() if p.requires_grad}
    with torch.no_grad():
        assert torch.allclose(back(x), net(x), atol=1e-5)


FOLDED = {
    "resnet": ("stem", *(f"layers.{i}.{part}" for i in (0, 1) for part in ("conv", "bn", "downsample"))),
    "transformer": (),
    "recurrent": ("lstm", "gru"),
}
"""How the keys begin of what a SavedModel for inference holds in another form: batch norms are multiplied into the
convolutions before them, the gates of recurrent layers stand in another order, and their biases are added up."""


@pytest.mark.parametrize("name", NETS)
def test_an_inference_one_comes_back_right(name: str, tmp_path: Path) -> None:
    net, x = made(name)
    back = round_trip(net, x, tmp_path / "net", trainable=False)
    before, after = net.state_dict(), back.state_dict()
    assert set(after) <= set(before)
    held = {key for key in before if not key.startswith(FOLDED[name])}
    assert len(held) == {"resnet": 4, "transformer": 27, "recurrent": 5}[name]
    for key in held:
        assert before[key].dtype == after[key].dtype and torch.equal(before[key], after[key]), key
    assert {key for key, _ in net.named_parameters() if key in held} <= {key for key, _ in back.named_parameters()}
    folded = {key for key, value in before.items() if value.ndim == 4}
    assert all(after[key].shape == before[key].shape for key in folded)  # theirs is the name of the convolution's
    turned = {key for key in before if ".weight_ih_l" in key or ".weight_hh_l" in key}
    assert all(torch.equal(before[key], after[key]) for key in turned)  # of biases, only their sum is left
    with torch.no_grad():
        assert torch.allclose(back(x), net(x), atol=1e-5)
        other = torch.cat([x, x, x])
        assert torch.allclose(back(other), net(other), atol=1e-5)
