"""The nets that are measured: two of images, two encoders of BERT-base's size, a tagger, 2.3 GB of linear layers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 with a residual (He et al. 2015)."""

    def __init__(self, cin: int, width: int, stride: int) -> None:
        super().__init__()
        cout = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(cin, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, cout, 1, bias=False), nn.BatchNorm2d(cout)
        same = cin == cout and stride == 1
        self.downsample = (
            None if same else nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + (x if self.downsample is None else self.downsample(x)))


class ResNet50(nn.Module):
    """25.6 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        blocks, cin = [], 64
        for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            for i in range(count):
                blocks.append(Bottleneck(cin, width, stride if i == 0 else 1))
                cin = 4 * width
        self.layers = nn.Sequential(*blocks)
        self.fc = nn.Linear(cin, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        return self.fc(self.layers(x).mean((2, 3)))


class Encoder(nn.Module):
    """Twelve layers of width 768 over 30 522 token ids: BERT-base's size."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(30522, 768), nn.Embedding(512, 768)
        self.norm = nn.LayerNorm(768)
        layer = nn.TransformerEncoderLayer(768, 12, 3072, activation="gelu", batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 12, enable_nested_tensor=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        places = torch.arange(ids.shape[1], device=ids.device)
        return self.layers(self.norm(self.tokens(ids) + self.positions(places)))


class BertLayer(nn.Module):
    """Self-attention and a feed-forward net, each added to its input and normalized (Devlin et al. 2018)."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.output, self.attended = nn.Linear(width, width), nn.LayerNorm(width, eps=1e-12)
        self.intermediate, self.contracted = nn.Linear(width, inner), nn.Linear(inner, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)
        x = self.attended(self.output(y) + x)
        return self.norm(self.contracted(F.gelu(self.intermediate(x))) + x)


class Bert(nn.Module):
    """BERT-base: ids and a mask of what is no padding."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.positions, self.types = (
            nn.Embedding(30522, 768),
            nn.Embedding(512, 768),
            nn.Embedding(2, 768),
        )
        self.norm = nn.LayerNorm(768, eps=1e-12)
        self.layers = nn.ModuleList(BertLayer(768, 12, 3072) for _ in range(12))
        self.pooler = nn.Linear(768, 768)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.norm(self.words(ids) + self.positions(places) + self.types(torch.zeros_like(ids)))
        seen = mask[:, None, None, :].bool()
        for layer in self.layers:
            x = layer(x, seen)
        return torch.tanh(self.pooler(x[:, 0]))


class Inverted(nn.Module):
    """Expand, filter each channel by itself, contract (Sandler et al. 2018)."""

    def __init__(self, cin: int, cout: int, stride: int, factor: int) -> None:
        super().__init__()
        inner = cin * factor
        expand = [nn.Conv2d(cin, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU6()] if factor > 1 else []
        self.conv = nn.Sequential(
            *expand,
            *(nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False), nn.BatchNorm2d(inner), nn.ReLU6()),
            *(nn.Conv2d(inner, cout, 1, bias=False), nn.BatchNorm2d(cout)),
        )
        self.same = stride == 1 and cin == cout

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x) if self.same else self.conv(x)


def mobilenet() -> nn.Module:
    """MobileNetV2: 3.5 M parameters."""
    layers: list[nn.Module] = [nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6()]
    cin = 32
    rows = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for factor, cout, count, stride in rows:
        for i in range(count):
            layers.append(Inverted(cin, cout, stride if i == 0 else 1, factor))
            cin = cout
    layers += [nn.Conv2d(cin, 1280, 1, bias=False), nn.BatchNorm2d(1280), nn.ReLU6()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(1280, 1000))


class Tagger(nn.Module):
    """A label for each word: an embedding, two layers of an LSTM in both directions, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20000, 128)
        self.rnn = nn.LSTM(128, 256, num_layers=2, bidirectional=True, batch_first=True)
        self.labels = nn.Linear(512, 20)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.labels(self.rnn(self.words(ids))[0])


def bert() -> nn.Module:
    return Bert()


def tagger() -> nn.Module:
    return Tagger()


def big() -> nn.Module:
    """36 linear layers of 4096 × 4096: 2.4 GB of float32."""
    layers: list[nn.Module] = []
    for _ in range(36):
        layers += [nn.Linear(4096, 4096), nn.ReLU()]
    return nn.Sequential(*layers)


def resnet50() -> nn.Module:
    return ResNet50()


def encoder() -> nn.Module:
    return Encoder()


EXAMPLES = {
    "resnet50": ((2, 3, 224, 224), "float32", {0: "batch"}),
    "encoder": ((2, 16), "int64", {0: "batch", 1: "sequence"}),
    "big": ((2, 4096), "float32", {0: "batch"}),
}
"""Shape and dtype of the one input of each net, and its free axes."""
