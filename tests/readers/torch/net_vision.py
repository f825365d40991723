"""Vision architectures by hand, at their smallest: what timm is made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from net_blocks import Block
from torch import Tensor, nn


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Head(nn.Module):
    """Mean over the image, then classes."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.classes = nn.Linear(features, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.classes(x.mean((2, 3)))


class Basic(nn.Module):
    """ResNet's basic block."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.a, self.b = conv(inputs, outputs, 3, stride), nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm, self.down = nn.BatchNorm2d(outputs), nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.b(self.a(x))) + self.down(x))


class Bottleneck(nn.Module):
    """ResNet's and (grouped) RegNet's bottleneck."""

    def __init__(self, features: int, groups: int = 1) -> None:
        super().__init__()
        self.path = nn.Sequential(conv(features, 8, 1), conv(8, 8, 3, 1, groups), nn.Conv2d(8, features, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.path(x))


class Excite(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(features, 4, 1), nn.Conv2d(4, features, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.adaptive_avg_pool2d(x, 1)
        return x * torch.sigmoid(self.expand(F.silu(self.reduce(pooled))))


class Inverted(nn.Module):
    """MobileNetV2's inverted residual; with excitation, EfficientNet's block."""

    def __init__(self, features: int, excite: bool) -> None:
        super().__init__()
        wide = features * 3
        parts = [conv(features, wide, 1), conv(wide, wide, 3, 1, wide)] + [Excite(wide)] * excite
        self.path = nn.Sequential(*parts, nn.Conv2d(wide, features, 1, bias=False), nn.BatchNorm2d(features))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.path(x)


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution, channels-last norm and MLP, layer scale."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.depth = nn.Conv2d(features, features, 7, padding=3, groups=features)
        self.norm, self.up, self.down = nn.LayerNorm(features), nn.Linear(features, 16), nn.Linear(16, features)
        self.gamma = nn.Parameter(torch.full((features,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depth(x).permute(0, 2, 3, 1))
        return x + (self.gamma * self.down(F.gelu(self.up(y)))).permute(0, 3, 1, 2)


class Dense(nn.Module):
    """DenseNet: every layer sees all before it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(3 + 4 * i), nn.ReLU(), nn.Conv2d(3 + 4 * i, 4, 3, 1, 1)) for i in range(3)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return F.avg_pool2d(x, 2)


class UNet(nn.Module):
    """Down, up, and a bridge."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.up, self.out = conv(3, 4), conv(4, 8), nn.ConvTranspose2d(8, 4, 2, 2), nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        return self.out(torch.cat([a, self.up(self.b(F.max_pool2d(a, 2)))], 1))


class Inception(nn.Module):
    """Branches of several kernels, joined."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.three, self.pooled = conv(3, 4, 1), conv(3, 4, 3), conv(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.three(x), self.pooled(F.avg_pool2d(x, 3, 1, 1))], 1)


class Pyramid(nn.Module):
    """A feature pyramid: coarse maps brought to the size of finer ones."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse, self.side = conv(3, 4), conv(4, 4, 3, 2), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        fine = self.fine(x)
        coarse = self.coarse(fine)
        return {"fine": self.side(fine) + F.interpolate(coarse, size=fine.shape[-2:]), "coarse": coarse}


class ViT(nn.Module):
    """Patches, a class token, positions."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, 4)
        self.token, self.places = nn.Parameter(torch.randn(1, 1, 8)), nn.Parameter(torch.randn(1, 17, 8))
        self.blocks, self.norm, self.head = nn.Sequential(Block(), Block()), nn.LayerNorm(8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.patch(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.token.expand(y.shape[0], -1, -1), y], 1) + self.places
        return self.head(self.norm(self.blocks(y))[:, 0])


class Swin(nn.Module):
    """Attention in shifted windows of an image whose sides are multiples of four."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.block, self.merge = nn.Conv2d(3, 8, 1), Block(), nn.Linear(32, 16)

    def forward(self, x: Tensor) -> Tensor:
        y = self.embed(x).permute(0, 2, 3, 1)
        batch, height, width, features = y.shape
        y = torch.roll(y, (-2, -2), (1, 2)).view(batch, height // 4, 4, width // 4, 4, features)
        windows = self.block(y.permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, features))
        y = windows.view(batch, height // 4, width // 4, 4, 4, features).permute(0, 1, 3, 2, 4, 5)
        y = torch.roll(y.reshape(batch, height, width, features), (2, 2), (1, 2))
        return self.merge(torch.cat([y[:, 0::2, 0::2], y[:, 1::2, 0::2], y[:, 0::2, 1::2], y[:, 1::2, 1::2]], -1))


class Mixer(nn.Module):
    """MLP-Mixer: tokens, then channels."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.tokens, self.channels = nn.Conv2d(3, 8, 4, 4), nn.Linear(16, 16), nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.patch(x).flatten(2).transpose(1, 2)
        y = y + F.gelu(self.tokens(self.norm(y).transpose(1, 2))).transpose(1, 2)
        return (y + F.gelu(self.channels(self.norm(y)))).mean(1)


class AutoEncoder(nn.Module):
    """A variational autoencoder at its mean."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.mean, self.spread = conv(3, 4, 3, 2), nn.Conv2d(4, 2, 1), nn.Conv2d(4, 2, 1)
        self.decode = nn.Sequential(
            nn.ConvTranspose2d(2, 4, 4, 2, 1), nn.GroupNorm(2, 4), nn.SiLU(), nn.Conv2d(4, 3, 1)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y = self.encode(x)
        mean, spread = self.mean(y), self.spread(y).clamp(-30, 20)
        return self.decode(mean), mean, spread
