"""The usual architectures by hand, at their smallest: what timm and transformers are made of."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
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


class SelfAttention(nn.Module):
    """Heads by reshape; optionally causal, with an added bias, or with fewer key heads."""

    def __init__(self, width: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, bias: Tensor | None = None, causal: bool = False) -> Tensor:
        batch, time, width = x.shape
        q, k, v = self.qkv(x).view(batch, time, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, is_causal=causal)
        return self.out(y.transpose(1, 2).reshape(batch, time, width))


class Block(nn.Module):
    """A transformer block with the norms in front."""

    def __init__(self, width: int = 8, causal: bool = False) -> None:
        super().__init__()
        self.causal, self.attention = causal, SelfAttention(width)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 16), nn.GELU(approximate="tanh"), nn.Dropout(0.1), nn.Linear(16, width)
        )

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        x = x + self.attention(self.first(x), bias, self.causal)
        return x + self.mlp(self.second(x))


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


class Bert(nn.Module):
    """Word, place and kind embeddings, blocks with the norm behind, a padding mask from the tokens, a pooler."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places, self.kinds = nn.Embedding(50, 8, 0), nn.Embedding(32, 8), nn.Embedding(2, 8)
        self.norm, self.attention, self.after = nn.LayerNorm(8, eps=1e-12), SelfAttention(), nn.LayerNorm(8)
        self.up, self.down, self.pooler = nn.Linear(8, 16), nn.Linear(16, 8), nn.Linear(8, 8)

    def forward(self, input_ids: Tensor) -> dict[str, Tensor]:
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        x = self.words(input_ids) + self.places(places) + self.kinds(torch.zeros_like(input_ids))
        mask = (1.0 - (input_ids != 0)[:, None, None, :].to(x.dtype)) * torch.finfo(x.dtype).min
        x = self.norm(x)
        x = self.after(x + self.attention(x, mask))
        x = self.norm(x + self.down(F.gelu(self.up(x))))
        return {"last_hidden_state": x, "pooler_output": torch.tanh(self.pooler(x[:, 0]))}


class Gpt(nn.Module):
    """Causal blocks and tied logits."""

    def __init__(self) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(50, 8), nn.Embedding(32, 8)
        self.h, self.norm = nn.ModuleList([Block(causal=True), Block(causal=True)]), nn.LayerNorm(8)
        self.lm_head = nn.Linear(8, 50, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, input_ids: Tensor) -> Tensor:
        x = self.wte(input_ids) + self.wpe(torch.arange(input_ids.shape[1]))
        for block in self.h:
            x = block(x)
        return self.lm_head(self.norm(x))


class T5(nn.Module):
    """Relative position buckets as an attention bias, RMS norms, gated GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.bias = nn.Embedding(50, 8), nn.Embedding(8, 2)
        self.attention, self.norm = SelfAttention(), nn.RMSNorm(8)
        self.gate, self.up, self.down = (nn.Linear(8, 16, False), nn.Linear(8, 16, False), nn.Linear(16, 8, False))

    def buckets(self, length: int) -> Tensor:
        place = torch.arange(length)
        distance = place[None] - place[:, None]
        side = (distance > 0).long() * 4
        distance = distance.abs()
        far = 2 + (torch.log(distance.float().clamp(min=1) / 2) / math.log(8) * 2).long()
        return side + torch.where(distance < 2, distance, far.clamp(max=3))

    def forward(self, input_ids: Tensor) -> Tensor:
        x = self.shared(input_ids)
        bias = self.bias(self.buckets(input_ids.shape[1])).permute(2, 0, 1)[None]
        x = x + self.attention(self.norm(x), bias)
        y = self.norm(x)
        return x + self.down(F.gelu(self.gate(y), approximate="tanh") * self.up(y))


class Llama(nn.Module):
    """Rotary positions, grouped key heads, RMS norm written out, SwiGLU."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.weight = nn.Embedding(50, 16), nn.Parameter(torch.ones(16))
        self.q, self.k, self.v = nn.Linear(16, 16, False), nn.Linear(16, 8, False), nn.Linear(16, 8, False)
        self.gate, self.up, self.down = nn.Linear(16, 24, False), nn.Linear(16, 24, False), nn.Linear(24, 16, False)
        self.register_buffer("frequencies", 1e4 ** (-torch.arange(0, 4, 2) / 4), persistent=False)

    def norm(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))

    def turned(self, x: Tensor, angles: Tensor) -> Tensor:
        half = torch.cat([-x[..., 2:], x[..., :2]], -1)
        return x * angles.cos() + half * angles.sin()

    def forward(self, input_ids: Tensor) -> Tensor:
        x = self.embed(input_ids)
        batch, time, _ = x.shape
        angles = torch.arange(time, dtype=torch.float32)[:, None] * self.frequencies
        angles = torch.cat([angles, angles], -1)
        y = self.norm(x)
        q, k, v = (layer(y).view(batch, time, -1, 4).transpose(1, 2) for layer in (self.q, self.k, self.v))
        q, k = self.turned(q, angles), self.turned(k, angles)
        k, v = (part[:, :, None].expand(-1, -1, 2, -1, -1).reshape(batch, 4, time, 4) for part in (k, v))
        mask = torch.full((time, time), torch.finfo(x.dtype).min).triu(1)
        weights = torch.softmax(q @ k.transpose(2, 3) / 2 + mask, -1, dtype=torch.float32).to(x.dtype)
        x = x + (weights @ v).transpose(1, 2).reshape(batch, time, 16)
        y = self.norm(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Whisper(nn.Module):
    """Two convolutions over a spectrogram [b, t, 8] made [b, 8, t], then a block."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.block = nn.Conv1d(8, 8, 3, padding=1), nn.Conv1d(8, 8, 3, 2, 1), Block()

    def forward(self, x: Tensor) -> Tensor:
        y = F.gelu(self.b(F.gelu(self.a(x.transpose(1, 2)))))
        return self.block(y.transpose(1, 2))


class Clip(nn.Module):
    """Text features at the last token, normalised, against fixed image features."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.block, self.project = nn.Embedding(50, 8), Block(causal=True), nn.Linear(8, 6, bias=False)
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.register_buffer("images", torch.randn(4, 6))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.block(self.embed(tokens))
        last = x[torch.arange(x.shape[0]), tokens.argmax(-1)]
        text = self.project(last)
        text = text / text.norm(dim=-1, keepdim=True)
        return self.scale.exp() * text @ F.normalize(self.images, dim=-1).T


class Mamba(nn.Module):
    """A selective scan in closed form: decays as differences of running sums."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.step, self.depth = nn.Linear(8, 16), nn.Linear(8, 8), nn.Conv1d(8, 8, 3, padding=2, groups=8)
        self.out = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        time = x.shape[1]
        value, gate = self.into(x).chunk(2, -1)
        value = F.silu(self.depth(value.transpose(1, 2))[..., :time].transpose(1, 2))
        decay = -F.softplus(self.step(x)).cumsum(1)
        weights = decay[:, :, None] - decay[:, None]
        seen = torch.ones(time, time, dtype=torch.bool).tril()[None, :, :, None]
        scanned = (torch.where(seen, weights, -torch.inf).exp() * value[:, None]).sum(2)
        return self.out(scanned * F.silu(gate))


class Wavenet(nn.Module):
    """Dilated causal convolutions with gates."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv1d(8, 16, 2, dilation=2**i) for i in range(3))

    def forward(self, x: Tensor) -> Tensor:
        y = x.transpose(1, 2)
        for i, layer in enumerate(self.layers):
            a, b = layer(F.pad(y, (2**i, 0))).chunk(2, 1)
            y = y + torch.tanh(a) * torch.sigmoid(b)
        return y


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


ARCHITECTURES: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "resnet_basic": ("image", lambda: nn.Sequential(conv(3, 4), nn.MaxPool2d(3, 2, 1), Basic(4, 8, 2), Head(8))),
    "resnet_bottleneck": ("image", lambda: nn.Sequential(conv(3, 4, 3, 2), Bottleneck(4), Head(4))),
    "regnet": ("image", lambda: nn.Sequential(conv(3, 4), Bottleneck(4, 2), Head(4))),
    "mobilenet": ("image", lambda: nn.Sequential(conv(3, 4, 3, 2), Inverted(4, False), Head(4))),
    "efficientnet": ("image", lambda: nn.Sequential(conv(3, 4), Inverted(4, True), Head(4))),
    "convnext": ("image", lambda: nn.Sequential(nn.Conv2d(3, 6, 4, 4), ConvNeXtBlock(6), Head(6))),
    "densenet": ("image", Dense),
    "unet": ("image", UNet),
    "inception": ("image", Inception),
    "pyramid": ("image", Pyramid),
    "autoencoder": ("image", AutoEncoder),
    "vit": ("fixed image", ViT),
    "swin": ("image", Swin),
    "mixer": ("fixed image", Mixer),
    "bert": ("tokens", Bert),
    "gpt": ("tokens", Gpt),
    "t5": ("tokens", T5),
    "llama": ("tokens", Llama),
    "clip": ("tokens", Clip),
    "whisper": ("series", Whisper),
    "mamba": ("series", Mamba),
    "wavenet": ("series", Wavenet),
}
