"""Small nets: every layer kind of torch.nn and the usual architectures, with random weights and free axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from net_architectures import ARCHITECTURES
from torch import Tensor, nn

Sizes = Mapping[str, int]


@dataclass(frozen=True)
class NetCase:
    """A net, inputs for given sizes of its free dimensions, and where these stand.

    ``shapes`` names the dimensions as ``dynamic_shapes`` wants them; ``sizes`` are those to export at, ``others``
    further ones to judge at.
    """

    name: str
    factory: Callable[[], nn.Module]
    make: Callable[..., tuple[Any, ...]]
    shapes: tuple[dict[int, str] | None, ...]
    sizes: Sizes
    others: tuple[Sizes, ...]
    tolerance: float = 1e-4
    tags: tuple[str, ...] = field(default=())

    def module(self) -> nn.Module:
        """The net in evaluation mode, with seeded weights and busy running statistics."""
        torch.manual_seed(0)
        module = self.factory().eval()
        with torch.no_grad():
            for name, buffer in module.named_buffers():
                if name.endswith("running_mean"):
                    buffer.uniform_(-0.5, 0.5)
                elif name.endswith("running_var"):
                    buffer.uniform_(0.5, 1.5)
        return module

    def inputs(self, sizes: Sizes | None = None) -> tuple[Any, ...]:
        """Seeded inputs at ``sizes``."""
        torch.manual_seed(1)
        return self.make(**(sizes or self.sizes))


def _image(channels: int = 3, height: int = 12, width: int = 12) -> Callable[..., tuple[Tensor, ...]]:
    return lambda batch: (torch.randn(batch, channels, height, width),)


def _free_image(channels: int = 3) -> Callable[..., tuple[Tensor, ...]]:
    return lambda batch, height, width: (torch.randn(batch, channels, height, width),)


def _vector(features: int = 6) -> Callable[..., tuple[Tensor, ...]]:
    return lambda batch: (torch.randn(batch, features),)


def _tokens(high: int = 50) -> Callable[..., tuple[Tensor, ...]]:
    return lambda batch, time: (torch.randint(0, high, (batch, time)),)


def _series(features: int = 6) -> Callable[..., tuple[Tensor, ...]]:
    return lambda batch, time: (torch.randn(batch, time, features),)


def _time_first(features: int = 6) -> Callable[..., tuple[Tensor, ...]]:
    return lambda batch, time: (torch.randn(time, batch, features),)


_B, _B2 = {"batch": 3}, ({"batch": 2}, {"batch": 5})
_BT, _BT2 = {"batch": 3, "time": 7}, ({"batch": 2, "time": 4}, {"batch": 4, "time": 9})
_BHW = {"batch": 2, "height": 16, "width": 12}
_BHW2 = ({"batch": 3, "height": 24, "width": 20}, {"batch": 2, "height": 8, "width": 16})


def _case(name: str, factory: Callable[[], nn.Module], make: Callable[..., tuple[Any, ...]]) -> NetCase:
    """Free batch axis."""
    return NetCase(name, factory, make, ({0: "batch"},), _B, _B2)


def _spatial(name: str, factory: Callable[[], nn.Module], channels: int = 3) -> NetCase:
    """Free batch, height and width."""
    free = {0: "batch", 2: "height", 3: "width"}
    return NetCase(name, factory, _free_image(channels), (free,), _BHW, _BHW2)


def _sequence(
    name: str, factory: Callable[[], nn.Module], make: Callable[..., tuple[Any, ...]], first: bool = True
) -> NetCase:
    """Free batch and time; ``first`` says whether the batch comes first."""
    free = {0: "batch", 1: "time"} if first else {0: "time", 1: "batch"}
    return NetCase(name, factory, make, (free,), _BT, _BT2)


class Recurrent(nn.Module):
    """A recurrent layer without given states, with every output."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y, last = self.layer(x)
        lasts = last if isinstance(last, tuple) else (last,)
        return {"y": y, **{f"last_{i}": value for i, value in enumerate(lasts)}}


class Stateful(nn.Module):
    """An LSTM that is given its states."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(6, 5, batch_first=True)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        return self.layer(x, (h, c))


class Cells(nn.Module):
    """One step of each cell."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.gru, self.rnn = nn.LSTMCell(6, 6), nn.GRUCell(6, 6), nn.RNNCell(6, 6)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        h, c = self.lstm(x)
        return h, c, self.gru(x, h), self.rnn(x, c)


class Attention(nn.Module):
    """nn.MultiheadAttention with weights and a padding mask."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor, padded: Tensor) -> tuple[Tensor, Tensor]:
        return self.attention(x, x, x, key_padding_mask=padded)


class Encoder(nn.Module):
    """nn.TransformerEncoder with a padding mask."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu", norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x: Tensor, padded: Tensor) -> Tensor:
        return self.encoder(x, src_key_padding_mask=padded)


class Translator(nn.Module):
    """nn.Transformer with a causal mask on its target."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Transformer(8, 2, 1, 1, 16, batch_first=True)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        length = target.shape[1]
        mask = torch.full((length, length), -torch.inf).triu(1)
        return self.net(source, target, tgt_mask=mask)


class Bags(nn.Module):
    """Embeddings and bags of them, with weights of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Embedding(20, 4, padding_idx=0)
        self.sum = nn.EmbeddingBag(20, 4, mode="sum", padding_idx=1)
        self.mean = nn.EmbeddingBag(20, 4)
        self.max = nn.EmbeddingBag(20, 4, mode="max")

    def forward(self, tokens: Tensor) -> tuple[Tensor, ...]:
        weights = tokens.float() / 20
        bag = self.sum(tokens, per_sample_weights=weights)
        return self.one(tokens), bag, self.mean(tokens), self.max(tokens)


class Unpool(nn.Module):
    """A pool that remembers where its maxima were, and its inverse."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        y, indices = self.pool(x)
        return self.unpool(y * 2, indices)


class Positions(nn.Module):
    """Sines and cosines added to a sequence of any length."""

    def __init__(self) -> None:
        super().__init__()
        place, step = torch.arange(64)[:, None], torch.exp(torch.arange(0, 6, 2) * (-math.log(1e4) / 6))
        table = torch.stack([torch.sin(place * step), torch.cos(place * step)], 2).flatten(1)
        self.register_buffer("table", table, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.table[: x.shape[1]]


class Tied(nn.Module):
    """One matrix as embedding and as output layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(30, 6), nn.Linear(6, 30, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.tanh(self.embed(tokens)))


class Experts(nn.Module):
    """A dense mixture of experts."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(6, 3)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(6, 8), nn.SiLU(), nn.Linear(8, 6)) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        weights, chosen = self.gate(x).softmax(-1).topk(2, -1)
        shares = torch.zeros_like(self.gate(x)).scatter(-1, chosen, weights)
        return sum(shares[..., i : i + 1] * expert(x) for i, expert in enumerate(self.experts))


def _padded(batch: int, time: int) -> tuple[Tensor, Tensor]:
    mask = torch.zeros(batch, time, dtype=torch.bool)
    mask[0, time // 2 :] = True
    return torch.randn(batch, time, 8), mask


def _two(first: dict[int, str], second: dict[int, str]) -> tuple[dict[int, str], dict[int, str]]:
    return first, second


_BT_AXES = {0: "batch", 1: "time"}


class Chain(nn.Module):
    """Every activation in one go, side by side."""

    def __init__(self, layers: Callable[[], list[nn.Module]]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers())

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([layer(x) for layer in self.layers])


def _activations() -> list[nn.Module]:
    kinds = "ELU Hardshrink Hardsigmoid Hardtanh Hardswish LeakyReLU LogSigmoid PReLU ReLU ReLU6 RReLU SELU CELU GELU"
    kinds += " Sigmoid SiLU Mish Softplus Softshrink Softsign Tanh Tanhshrink Softmin Softmax LogSoftmax"
    made = [getattr(nn, kind)(**({"dim": -1} if "ax" in kind or kind == "Softmin" else {})) for kind in kinds.split()]
    return [*made, nn.Threshold(0.1, 2.0), nn.Dropout(0.3), nn.AlphaDropout(0.3), nn.Identity()]


LAYERS: tuple[NetCase, ...] = (
    _case("linear", lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3, bias=False)), _vector()),
    _case("activations", lambda: Chain(_activations), _vector()),
    _case("glu", lambda: nn.GLU(), _vector()),
    _case(
        "conv1d",
        lambda: nn.Conv1d(3, 4, 3, 2, 1, padding_mode="circular"),
        lambda batch: (torch.randn(batch, 3, 10),),
    ),
    _spatial("conv2d_reflect", lambda: nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")),
    _spatial("conv2d_same", lambda: nn.Conv2d(3, 6, (3, 4), padding="same", dilation=2, groups=3)),
    _case("conv3d", lambda: nn.Conv3d(2, 4, 3, padding=1), lambda batch: (torch.randn(batch, 2, 5, 6, 7),)),
    _spatial("conv_transpose2d", lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2), 4),
    _case("conv_transpose1d", lambda: nn.ConvTranspose1d(3, 4, 4, 2, 1), lambda batch: (torch.randn(batch, 3, 7),)),
    _case(
        "conv_transpose3d", lambda: nn.ConvTranspose3d(2, 3, 2, 2), lambda batch: (torch.randn(batch, 2, 3, 4, 3),)
    ),
    _spatial("max_pool", lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=True)),
    _spatial("avg_pool", lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False)),
    _spatial("avg_pool_divisor", lambda: nn.AvgPool2d(3, 2, 1, divisor_override=5)),
    _spatial("lp_pool", lambda: nn.LPPool2d(2, 3, 2)),
    _case("adaptive_avg", lambda: nn.AdaptiveAvgPool2d((5, 7)), _image()),
    _spatial("adaptive_avg_free", lambda: nn.AdaptiveAvgPool2d((5, 7))),
    _spatial("adaptive_avg_one", lambda: nn.AdaptiveAvgPool2d(1)),
    _case("adaptive_max", lambda: nn.AdaptiveMaxPool2d((5, 4)), _image()),
    _case("unpool", Unpool, _image()),
    _spatial("batch_norm", lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())),
    _spatial("instance_norm", lambda: nn.InstanceNorm2d(3, affine=True, track_running_stats=True)),
    _spatial("instance_norm_live", lambda: nn.InstanceNorm2d(3, affine=True)),
    _spatial("group_norm", lambda: nn.GroupNorm(2, 4), 4),
    _case("layer_norm", lambda: nn.LayerNorm((12, 12), elementwise_affine=True), _image()),
    _sequence("rms_norm", lambda: nn.RMSNorm(6), _series()),
    _spatial("local_response_norm", lambda: nn.LocalResponseNorm(2), 4),
    _spatial("pixel_shuffle", lambda: nn.PixelShuffle(2), 4),
    _spatial("pixel_unshuffle", lambda: nn.PixelUnshuffle(2)),
    _spatial("channel_shuffle", lambda: nn.ChannelShuffle(2), 4),
    _spatial("upsample_nearest", lambda: nn.Upsample(scale_factor=2)),
    _spatial("upsample_bilinear", lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)),
    _case("upsample_bicubic", lambda: nn.Upsample((9, 17), mode="bicubic"), _image()),
    _case("fold", lambda: nn.Sequential(nn.Unfold(3, padding=1), nn.Fold((12, 12), 3, padding=1)), _image()),
    _spatial(
        "pads", lambda: nn.Sequential(nn.ReflectionPad2d(1), nn.ReplicationPad2d(2), nn.ZeroPad2d((1, 0, 2, 0)))
    ),
    _spatial("zero_and_constant_pad", lambda: nn.Sequential(nn.ConstantPad2d(1, 3.0), nn.CircularPad2d(2))),
    _sequence("embedding_bags", Bags, _tokens(20)),
    _case("bilinear", lambda: _Pair(nn.Bilinear(6, 6, 4)), _vector()),
    _case("distances", lambda: _Pair(nn.PairwiseDistance()), _vector()),
    _case("flatten", lambda: nn.Sequential(nn.Flatten(), nn.Unflatten(1, (12, 36))), _image()),
    _case("cells", Cells, _vector()),
    _sequence("lstm", lambda: Recurrent(nn.LSTM(6, 5, 2, batch_first=True, bidirectional=True)), _series()),
    _sequence("lstm_time_first", lambda: Recurrent(nn.LSTM(6, 5)), _time_first(), False),
    _sequence("lstm_no_bias", lambda: Recurrent(nn.LSTM(6, 5, bias=False)), _time_first(), False),
    _sequence(
        "lstm_projected", lambda: Recurrent(nn.LSTM(6, 5, 2, proj_size=3, bidirectional=True)), _time_first(), False
    ),
    NetCase(
        "lstm_stateful",
        Stateful,
        lambda batch, time: (torch.randn(batch, time, 6), torch.randn(1, batch, 5), torch.randn(1, batch, 5)),
        (_BT_AXES, {1: "batch"}, {1: "batch"}),
        _BT,
        _BT2,
    ),
    _sequence("gru", lambda: Recurrent(nn.GRU(6, 5, 2, batch_first=True, bidirectional=True)), _series()),
    _sequence("gru_time_first", lambda: Recurrent(nn.GRU(6, 5, bias=False)), _time_first(), False),
    _sequence("rnn", lambda: Recurrent(nn.RNN(6, 5, 2)), _time_first(), False),
    _sequence("rnn_relu", lambda: Recurrent(nn.RNN(6, 5, nonlinearity="relu", batch_first=True)), _series()),
    NetCase("multihead_attention", Attention, _padded, _two(_BT_AXES, _BT_AXES), _BT, _BT2),
    NetCase("transformer_encoder", Encoder, _padded, _two(_BT_AXES, _BT_AXES), _BT, _BT2),
    NetCase(
        "transformer",
        Translator,
        lambda batch, time: (torch.randn(batch, 6, 8), torch.randn(batch, time, 8)),
        ({0: "batch"}, _BT_AXES),
        _BT,
        _BT2,
    ),
    _sequence("positions", Positions, _series()),
    _sequence("tied", Tied, _tokens(30)),
    _sequence("experts", Experts, _series()),
)


class _Pair(nn.Module):
    """A layer of two inputs, fed twice."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x, F.relu(x) - 0.5)


_KINDS: dict[str, Callable[[str, Callable[[], nn.Module]], NetCase]] = {
    "image": lambda name, factory: _spatial(name, factory),
    "fixed image": lambda name, factory: _case(name, factory, _image(3, 16, 16)),
    "tokens": lambda name, factory: _sequence(name, factory, _tokens()),
    "series": lambda name, factory: _sequence(name, factory, _series(8)),
}


def all_nets() -> list[NetCase]:
    """Every net."""
    return [*LAYERS, *(_KINDS[kind](name, factory) for name, (kind, factory) in ARCHITECTURES.items())]
