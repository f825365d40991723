"""Language and sequence architectures by hand, at their smallest: what transformers is made of."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from net_blocks import Block, SelfAttention
from torch import Tensor, nn


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
