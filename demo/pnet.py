"""P-Net of the MTCNN face detector: pictures in, a box regression and a face probability per place out."""

from __future__ import annotations

import torch
from torch import nn


class PNet(nn.Module):
    """``x``: float32[batch, 3, height, width] in [-1, 1] → boxes [batch, 4, h, w], probabilities [batch, 2, h, w]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.pool1 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        return {"boxes": self.conv4_2(x), "probabilities": torch.softmax(self.conv4_1(x), dim=1)}


def build() -> nn.Module:
    """The net with fresh weights; the command line loads the pretrained ones."""
    return PNet().eval()
