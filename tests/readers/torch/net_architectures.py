"""The usual architectures, each with the kind of input it takes."""

from __future__ import annotations

from collections.abc import Callable

from net_language import T5, Bert, Clip, Gpt, Llama, Mamba, Wavenet, Whisper
from net_vision import (
    AutoEncoder,
    Basic,
    Bottleneck,
    ConvNeXtBlock,
    Dense,
    Head,
    Inception,
    Inverted,
    Mixer,
    Pyramid,
    Swin,
    UNet,
    ViT,
    conv,
)
from torch import nn

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
