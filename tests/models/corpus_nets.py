"""Module definitions for the corpus models that ship as bare PyTorch weights; bit-equal to the packages' own."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn


class MtcnnStage(nn.Module):
    """P-, R- and O-Net of the MTCNN face detector."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        ch, ks, pools = {
            "pnet": ((10, 16, 32), (3, 3, 3), (2,)),
            "rnet": ((28, 48, 64), (3, 3, 2), (3, 3)),
            "onet": ((32, 64, 64, 128), (3, 3, 3, 2), (3, 3, 2)),
        }[kind]
        self.n, prev = len(ch), 3
        for i, (c, k) in enumerate(zip(ch, ks, strict=True), 1):
            setattr(self, f"conv{i}", nn.Conv2d(prev, c, k))
            setattr(self, f"prelu{i}", nn.PReLU(c))
            prev = c
        self.pools = nn.ModuleList(nn.MaxPool2d(p, 2, ceil_mode=True) for p in pools)
        if kind == "pnet":
            self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)
        elif kind == "rnet":
            self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
            self.dense5_1, self.dense5_2 = nn.Linear(128, 2), nn.Linear(128, 4)
        else:
            self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
            self.dense6_1, self.dense6_2, self.dense6_3 = (nn.Linear(256, 2), nn.Linear(256, 4), nn.Linear(256, 10))

    def forward(self, x):
        for i in range(self.n):
            x = getattr(self, f"prelu{i + 1}")(getattr(self, f"conv{i + 1}")(x))
            if i < len(self.pools):
                x = self.pools[i](x)
        if self.kind == "pnet":
            return self.conv4_2(x), torch.softmax(self.conv4_1(x), 1)
        x = x.permute(0, 3, 2, 1).flatten(1)
        if self.kind == "rnet":
            x = self.prelu4(self.dense4(x))
            return self.dense5_2(x), torch.softmax(self.dense5_1(x), 1)
        x = self.prelu5(self.dense5(x))
        return self.dense6_2(x), self.dense6_3(x), torch.softmax(self.dense6_1(x), 1)


class Crepe(nn.Module):
    """CREPE pitch tracker: 1024 samples at 16 kHz -> 360 pitch bins."""

    def __init__(self, size):
        super().__init__()
        m = {"tiny": 4, "full": 32}[size]
        chans = [1] + [m * k for k in (32, 4, 4, 4, 8, 16)]
        for i in range(6):
            k, s = (512, 4) if i == 0 else (64, 1)
            setattr(self, f"conv{i + 1}", nn.Conv2d(chans[i], chans[i + 1], (k, 1), (s, 1)))
            setattr(self, f"conv{i + 1}_BN", nn.BatchNorm2d(chans[i + 1], eps=0.0010000000474974513))
        self.classifier = nn.Linear(64 * m, 360)

    def forward(self, x):
        x = x[:, None, :, None]
        for i in range(6):
            x = F.pad(x, (0, 0, 254, 254) if i == 0 else (0, 0, 31, 32))
            x = getattr(self, f"conv{i + 1}_BN")(F.relu(getattr(self, f"conv{i + 1}")(x)))
            x = F.max_pool2d(x, (2, 1), (2, 1))
        x = x.permute(0, 2, 1, 3).reshape(-1, self.classifier.in_features)
        return torch.sigmoid(self.classifier(x))


class _Conv(nn.Module):
    def __init__(self, cin, cout, k, dilation, bn):
        super().__init__()
        self.conv = nn.Conv1d(cin, cout, k, dilation=dilation, padding=k // 2 * dilation)
        if bn:
            self.bn = nn.BatchNorm1d(cout)

    def forward(self, x):
        x = self.conv(x)
        return self.bn(x) if hasattr(self, "bn") else x


class Attacut(nn.Module):
    """Thai word segmentation: characters (and syllables) -> a logit per character."""

    def __init__(self, sd):
        super().__init__()
        self.sc = "sy_embeddings.weight" in sd
        if self.sc:
            a, b = sd["ch_embeddings.weight"].shape, sd["sy_embeddings.weight"].shape
            self.ch_embeddings = nn.Embedding(*a, padding_idx=0)
            self.sy_embeddings = nn.Embedding(*b, padding_idx=0)
            dim = a[1] + b[1]
        else:
            a = sd["embeddings.weight"].shape
            self.embeddings, dim = nn.Embedding(*a, padding_idx=0), a[1]
        f = sd["conv1.conv.weight"].shape[0]
        self.conv1 = _Conv(dim, f, 3, 1, self.sc)
        self.conv2 = _Conv(dim, f, 5, 3, self.sc)
        self.conv3 = _Conv(dim, f, 9, 2, self.sc)
        self.linear1 = nn.Linear(f, sd["linear1.weight"].shape[0])
        self.linear2 = nn.Linear(sd["linear1.weight"].shape[0], 1)

    def forward(self, x):
        if self.sc:
            e = torch.cat((self.ch_embeddings(x[:, 0]), self.sy_embeddings(x[:, 1])), 2)
        else:
            e = self.embeddings(x)
        e = e.permute(0, 2, 1)
        o = torch.stack([c(e).permute(0, 2, 1) for c in (self.conv1, self.conv2, self.conv3)], 3)
        o, _ = torch.max(o, 3)
        return self.linear2(F.relu(self.linear1(o))).view(-1)


def build(entry, path: Path) -> nn.Module:
    """The eval-mode module of one corpus entry, with the shipped weights of ``path`` loaded."""
    arch = entry["loader"]["arch"]
    weights = torch.load(path, map_location="cpu", weights_only=True)
    if arch in ("pnet", "rnet", "onet"):
        model = MtcnnStage(arch)
    elif arch == "crepe-tiny":
        model = Crepe("tiny")
    elif arch == "attacut":
        model = Attacut(weights)
    else:
        raise ValueError(f"no definition for architecture {arch!r}")
    model.load_state_dict(weights, strict=True)
    return model.eval()
