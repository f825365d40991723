"""The nets that are measured: ResNet-50, an encoder of BERT-base's size, and 2.3 GB of linear layers."""

from __future__ import annotations

import torch
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
