"""Small nets that use every kind of layer, each with inputs and free axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations


@dataclass(frozen=True)
class LayerNet:
    """``make`` gives the net; ``free`` are the axes of each input that may change."""

    make: Callable[[], nn.Module]
    inputs: Callable[[], tuple[Tensor, ...]]
    free: tuple[Mapping[int, str], ...] = ({0: "n"},)


def image(channels: int, *sizes: int) -> Callable[[], tuple[Tensor, ...]]:
    return lambda: (torch.randn(2, channels, *sizes),)


def tokens(rows: int = 11) -> Callable[[], tuple[Tensor, ...]]:
    return lambda: (torch.randint(0, rows, (2, 5)),)


TEXT = ({0: "n", 1: "t"},)


class Chain(nn.Module):
    """Layers one after the other, under names."""

    def __init__(self, **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Any:
        for layer in self.children():
            x = layer(x)
            x = x[0] if isinstance(x, tuple) else x
        return x


class Recurrent(nn.Module):
    def __init__(self, kind: str, **options: Any) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.body = getattr(nn, kind)(6, 4, **options)
        self.head = nn.Linear(8 if options.get("bidirectional") else 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.embed(x))[0])


class Tied(nn.Module):
    """One matrix for the words that come in and go out."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.mid = nn.Sequential(nn.Linear(6, 6), nn.GELU(), nn.LayerNorm(6))
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.mid(self.embed(x)))


class TiedBias(nn.Module):
    """A layer's bias is a parameter of the module around it, as in BERT's head for masked words."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.randn(3))
        self.decoder = nn.Linear(6, 3)
        self.decoder.bias = self.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(x)


class Empty(nn.Module):
    """Containers that hold nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.named = nn.ModuleList(), nn.ModuleDict()
        self.shortcut, self.fc = nn.Sequential(), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.shortcut(x))


class Shared(nn.Module):
    """One layer under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.second = self.first

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x)))


class Buffers(nn.Module):
    """Buffers inside and outside of the state dict, parameters that are frozen, scalar or unused."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.randn(6))
        self.register_buffer("hidden", torch.randn(6), persistent=False)
        self.register_buffer("steps", torch.tensor(7))
        self.scale = nn.Parameter(torch.randn(()))
        self.frozen = nn.Parameter(torch.randn(6), requires_grad=False)
        self.unused = nn.Linear(2, 3)
        self.odd = nn.Parameter(torch.randn(6, 4).t())

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.table + self.hidden * self.frozen) * self.scale @ self.odd.t()


class Clash(nn.Module):
    """Weights that are called as inputs and outputs are."""

    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.randn(6))
        self.output = nn.Parameter(torch.randn(6))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.x + self.output


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + self.skip(x))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.blocks = nn.Sequential(Block(4, 6), Block(6, 8))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(8, 5))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.blocks(self.stem(x))))


class Lists(nn.Module):
    """Lists and dicts of modules that forward walks itself, with a branch between."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))
        self.gates = nn.ModuleList(nn.Linear(6, 6, bias=False) for _ in range(3))
        self.heads = nn.ModuleDict({"mean": nn.Linear(6, 2), "spread": nn.Linear(6, 2)})
        self.weights = nn.ParameterList(nn.Parameter(torch.randn(6)) for _ in range(2))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        for layer, gate in zip(self.down, self.gates, strict=True):
            x = x + torch.relu(layer(x)) * torch.sigmoid(gate(x))
        x = x * self.weights[0] + self.weights[1]
        return {"mean": self.heads["mean"](x), "spread": self.heads["spread"](x).exp()}


class Heads(nn.Module):
    def __init__(self, weighted: bool, **options: Any) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, **options)
        self.weighted = weighted

    def forward(self, x: Tensor) -> Any:
        made = self.attention(x, x, x, need_weights=self.weighted)
        return made if self.weighted else made[0]


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16, batch_first=True), 2)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        return self.decoder(x, memory)


class Bilinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Bilinear(6, 6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x, x * 2)


class Tables(nn.Module):
    """Lists and dictionaries of parameters, more than nine of them."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes = nn.ParameterDict({"scale": torch.randn(6), "shift": torch.randn(6)})
        self.steps = nn.ParameterList([torch.randn(6) for _ in range(11)])

    def forward(self, x: Tensor) -> Tensor:
        for step in self.steps:
            x = x * step
        return x * self.shapes["scale"] + self.shapes["shift"]


class Cells(nn.Module):
    """One step of each recurrent cell."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTMCell(6, 5)
        self.gru = nn.GRUCell(5, 4)
        self.rnn = nn.RNNCell(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(self.gru(self.lstm(x)[0]))


class Narrow(nn.Module):
    """Parameters of another type, one without axes; buffers of integers and booleans, an empty one."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6)).to(dtype)
        self.gain = nn.Parameter(torch.tensor(0.5, dtype=dtype))
        self.register_buffer("mask", torch.tensor([True, False] * 3))
        self.register_buffer("count", torch.tensor(3, dtype=torch.int32))
        self.register_buffer("empty", torch.zeros(0))

    def forward(self, x: Tensor) -> Tensor:
        return (self.body(x.to(self.gain.dtype)) * self.gain * self.mask).float()


class Nested(nn.Module):
    """Lists of lists of sequences."""

    def __init__(self) -> None:
        super().__init__()
        blocks = [[nn.Sequential(nn.Linear(6, 6), nn.ReLU()) for _ in range(2)] for _ in range(2)]
        self.stages = nn.ModuleList(nn.ModuleList(stage) for stage in blocks)

    def forward(self, x: Tensor) -> dict[str, Any]:
        for stage in self.stages:
            for block in stage:
                x = x + block(x)
        return {"last": [x], "both": (x, x * 2)}


class Parametrized(nn.Module):
    """Weights that are computed of others."""

    def __init__(self, parametrize: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.first = parametrize(nn.Linear(6, 5))
        self.second = parametrize(nn.Conv1d(1, 2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x)[:, None])


def lazy() -> nn.Module:
    net = nn.Sequential(nn.LazyLinear(5), nn.LazyBatchNorm1d(momentum=None), nn.ReLU())
    net(torch.randn(3, 6))
    return net


def encoder(**options: Any) -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, **options)
    return Chain(encoder=nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(8), enable_nested_tensor=False))


def vectors(width: int = 6) -> Callable[[], tuple[Tensor, ...]]:
    return lambda: (torch.randn(3, width),)


def sequences(width: int = 8) -> Callable[[], tuple[Tensor, ...]]:
    return lambda: (torch.randn(2, 5, width),)


NETS: Mapping[str, LayerNet] = {
    "conv1d": LayerNet(lambda: Chain(a=nn.Conv1d(3, 4, 3, 2, 1), b=nn.BatchNorm1d(4), c=nn.ReLU()), image(3, 9)),
    "conv2d": LayerNet(
        lambda: Chain(a=nn.Conv2d(4, 6, 3, groups=2), b=nn.PReLU(6), c=nn.GroupNorm(3, 6)), image(4, 7, 6)
    ),
    "conv3d": LayerNet(lambda: Chain(a=nn.Conv3d(2, 3, 2), b=nn.BatchNorm3d(3), c=nn.SiLU()), image(2, 4, 5, 4)),
    "conv_transpose1d": LayerNet(lambda: Chain(a=nn.ConvTranspose1d(3, 2, 3, 2, output_padding=1)), image(3, 6)),
    "conv_transpose2d": LayerNet(lambda: Chain(a=nn.ConvTranspose2d(3, 4, 3, 2, 1), b=nn.PReLU()), image(3, 5, 5)),
    "conv_transpose3d": LayerNet(lambda: Chain(a=nn.ConvTranspose3d(2, 2, 2, bias=False)), image(2, 3, 3, 3)),
    "norms": LayerNet(
        lambda: Chain(
            a=nn.InstanceNorm2d(4, affine=True),
            b=nn.InstanceNorm2d(4),
            c=nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
            d=nn.BatchNorm2d(4, affine=False),
            e=nn.GroupNorm(2, 4, affine=False),
        ),
        image(4, 5, 6),
    ),
    "vector_norms": LayerNet(
        lambda: Chain(
            a=nn.LayerNorm(6),
            b=nn.LayerNorm(6, bias=False),
            c=nn.LayerNorm(6, elementwise_affine=False),
            d=nn.RMSNorm(6),
            e=nn.BatchNorm1d(6),
        ),
        vectors(),
    ),
    "bilinear": LayerNet(Bilinear, vectors()),
    "lstm": LayerNet(lambda: Recurrent("LSTM", num_layers=2, batch_first=True, bidirectional=True), tokens(), TEXT),
    "gru": LayerNet(lambda: Recurrent("GRU", num_layers=2, batch_first=True), tokens(), TEXT),
    "rnn": LayerNet(lambda: Recurrent("RNN", bidirectional=True, bias=False), tokens(), TEXT),
    "attention": LayerNet(lambda: Heads(False, batch_first=True), sequences(), TEXT),
    "attention_weights": LayerNet(lambda: Heads(True), sequences(), TEXT),
    "attention_without_bias": LayerNet(lambda: Heads(False, bias=False), sequences(), TEXT),
    "encoder": LayerNet(encoder, sequences(), TEXT),
    "encoder_norm_first": LayerNet(lambda: encoder(norm_first=True, activation="gelu"), sequences(), TEXT),
    "decoder": LayerNet(
        Decoder,
        lambda: (torch.randn(2, 5, 8), torch.randn(2, 4, 8)),
        ({0: "n", 1: "t"}, {0: "n", 1: "s"}),
    ),
    "dropout": LayerNet(
        lambda: nn.Sequential(nn.Linear(6, 4), nn.Dropout(0.1), nn.ReLU(), nn.Linear(4, 2)), vectors()
    ),
    "tied": LayerNet(Tied, tokens(), TEXT),
    "empty": LayerNet(Empty, vectors()),
    "tied_bias": LayerNet(TiedBias, vectors()),
    "shared": LayerNet(Shared, vectors()),
    "buffers": LayerNet(Buffers, vectors()),
    "clash": LayerNet(Clash, vectors()),
    "tables": LayerNet(Tables, vectors()),
    "bag": LayerNet(lambda: Chain(a=nn.EmbeddingBag(11, 6, mode="mean"), b=nn.Linear(6, 2)), tokens(), ({0: "n"},)),
    "projected": LayerNet(
        lambda: Chain(a=nn.LSTM(8, 5, 2, batch_first=True, proj_size=3, bidirectional=True), b=nn.Linear(6, 2)),
        sequences(),
    ),
    "cells": LayerNet(Cells, vectors()),
    "bfloat16": LayerNet(lambda: Narrow(torch.bfloat16), vectors()),
    "float16": LayerNet(lambda: Narrow(torch.float16), vectors()),
    "nested": LayerNet(Nested, vectors()),
    "weight_norm": LayerNet(lambda: Parametrized(parametrizations.weight_norm), vectors()),
    "spectral_norm": LayerNet(lambda: Parametrized(parametrizations.spectral_norm), vectors()),
    "lazy": LayerNet(lazy, vectors()),
    "residual": LayerNet(Residual, image(3, 16, 16)),
    "lists": LayerNet(Lists, vectors()),
    "activations": LayerNet(
        lambda: nn.Sequential(
            *(nn.ELU(), nn.LeakyReLU(0.2), nn.Softplus(), nn.Tanh(), nn.Hardtanh(), nn.Softmax(1), nn.Identity()),
            nn.Linear(6, 2),
        ),
        vectors(),
    ),
}
