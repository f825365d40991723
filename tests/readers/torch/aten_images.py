"""Convolutions, pools, resizes, pads and norms."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from aten_inputs import Table, img, r, seq, u, vol, xy

W1, W2, W3 = (torch.linspace(-1, 1, 4 * 4 * 3**k).reshape(4, 4, *[3] * k).sin() for k in (1, 2, 3))
B4 = torch.tensor([0.1, -0.2, 0.3, 0.0])

IMAGES: Table = {
    "conv1d": (lambda a: F.conv1d(a, W1, B4, 2, 1), seq),
    "conv1d_same": (lambda a: F.conv1d(a, W1, padding="same", dilation=2), seq),
    "conv2d": (lambda a: F.conv2d(a, W2, B4, (2, 1), 1), img),
    "conv2d_groups": (lambda a: F.conv2d(a, W2[:, :2], B4, groups=2, dilation=2), img),
    "conv2d_depthwise": (lambda a: F.conv2d(a, W2[:, :1], groups=4, padding="same"), img),
    "conv3d": (lambda a: F.conv3d(a, W3, B4, padding=1), vol),
    "conv_transpose1d": (lambda a: F.conv_transpose1d(a, W1, B4, 2, 1, 1), seq),
    "conv_transpose2d": (lambda a: F.conv_transpose2d(a, W2, B4, 2, 1, 1, dilation=2), img),
    "conv_transpose2d_groups": (lambda a: F.conv_transpose2d(a, W2[:, :2], groups=2, stride=2), img),
    "conv_transpose3d": (lambda a: F.conv_transpose3d(a, W3, B4, 2, 1), vol),
    "conv_tbc": (
        lambda a: torch.conv_tbc(a.permute(2, 0, 1).contiguous(), W1.permute(2, 1, 0).contiguous(), B4, 1),
        seq,
    ),
    "max_pool1d": (lambda a: F.max_pool1d(a, 3, 2, 1), seq),
    "max_pool2d_ceil": (lambda a: F.max_pool2d(a, 3, 2, 1, ceil_mode=True), img),
    "max_pool2d_dilated": (lambda a: F.max_pool2d(a, 2, 2, dilation=2), img),
    "max_pool2d_indices": (lambda a: F.max_pool2d(a, 2, return_indices=True), img),
    "max_pool3d": (lambda a: F.max_pool3d(a, 2), vol),
    "max_unpool2d": (lambda a: F.max_unpool2d(*F.max_pool2d(a, 2, return_indices=True), 2), img),
    "avg_pool1d": (lambda a: F.avg_pool1d(a, 3, 2, 1), seq),
    "avg_pool2d": (lambda a: F.avg_pool2d(a, 3, 2, 1), img),
    "avg_pool2d_no_pad_count": (lambda a: F.avg_pool2d(a, 3, 2, 1, count_include_pad=False), img),
    "avg_pool2d_ceil": (lambda a: F.avg_pool2d(a, 3, 2, 1, ceil_mode=True), img),
    "avg_pool2d_ceil_no_pad_count": (
        lambda a: F.avg_pool2d(a, 3, 2, 1, ceil_mode=True, count_include_pad=False),
        img,
    ),
    "avg_pool2d_divisor": (lambda a: F.avg_pool2d(a, 3, 2, 1, divisor_override=4), img),
    "avg_pool3d_divisor": (lambda a: F.avg_pool3d(a, 2, divisor_override=3), vol),
    "avg_pool3d": (lambda a: F.avg_pool3d(a, 2, 2, 1), vol),
    "lp_pool1d": (lambda a: F.lp_pool1d(a, 2, 3), seq),
    "lp_pool2d": (lambda a: F.lp_pool2d(a.abs(), 3, 2), img),
    "adaptive_avg_pool1d": (lambda a: F.adaptive_avg_pool1d(a, 5), seq),
    "adaptive_avg_pool1d_odd": (lambda a: F.adaptive_avg_pool1d(a, 3), seq),
    "adaptive_avg_pool2d": (lambda a: F.adaptive_avg_pool2d(a, (3, 4)), img),
    "adaptive_avg_pool2d_odd": (lambda a: F.adaptive_avg_pool2d(a, (4, 3)), img),
    "adaptive_avg_pool2d_1": (lambda a: F.adaptive_avg_pool2d(a, 1), img),
    "adaptive_avg_pool3d": (lambda a: F.adaptive_avg_pool3d(a, (2, 3, 4)), vol),
    "adaptive_max_pool1d": (lambda a: F.adaptive_max_pool1d(a, 4), seq),
    "adaptive_max_pool2d": (lambda a: F.adaptive_max_pool2d(a, (3, 4)), img),
    "adaptive_max_pool2d_odd": (lambda a: F.adaptive_max_pool2d(a, (4, 3)), img),
    "adaptive_max_pool3d": (lambda a: F.adaptive_max_pool3d(a, (2, 2, 3)), vol),
    "interpolate_nearest": (lambda a: F.interpolate(a, scale_factor=2.0), img),
    "interpolate_nearest_size": (lambda a: F.interpolate(a, size=(5, 11)), img),
    "interpolate_nearest_exact": (lambda a: F.interpolate(a, size=(5, 11), mode="nearest-exact"), img),
    "interpolate_bilinear": (lambda a: F.interpolate(a, scale_factor=1.5, mode="bilinear"), img),
    "interpolate_bilinear_corners": (
        lambda a: F.interpolate(a, size=(5, 7), mode="bilinear", align_corners=True),
        img,
    ),
    "interpolate_bilinear_antialias": (
        lambda a: F.interpolate(a, size=(5, 4), mode="bilinear", antialias=True),
        img,
    ),
    "interpolate_bicubic": (lambda a: F.interpolate(a, size=(12, 13), mode="bicubic"), img),
    "interpolate_bicubic_antialias": (
        lambda a: F.interpolate(a, size=(5, 4), mode="bicubic", antialias=True),
        img,
    ),
    "interpolate_linear": (lambda a: F.interpolate(a, size=7, mode="linear"), seq),
    "interpolate_trilinear": (lambda a: F.interpolate(a, scale_factor=2.0, mode="trilinear"), vol),
    "interpolate_area": (lambda a: F.interpolate(a, size=(4, 3), mode="area"), img),
    "pixel_shuffle": (lambda a: F.pixel_shuffle(a, 2), img),
    "pixel_unshuffle": (lambda a: F.pixel_unshuffle(a[:, :, :8], 2), img),
    "channel_shuffle": (lambda a: F.channel_shuffle(a, 2), img),
    "pad_reflect": (lambda a: F.pad(a, (1, 2, 3, 0), mode="reflect"), img),
    "pad_replicate": (lambda a: F.pad(a, (1, 2, 3, 0), mode="replicate"), img),
    "pad_circular": (lambda a: F.pad(a, (1, 2, 3, 1), mode="circular"), img),
    "pad_reflect1d": (lambda a: F.pad(a, (2, 3), mode="reflect"), seq),
    "pad_replicate3d": (lambda a: F.pad(a, (1, 1, 2, 0, 0, 1), mode="replicate"), vol),
    "unfold": (lambda a: F.unfold(a, (3, 2), padding=1, stride=2), img),
    "fold": (lambda a: F.fold(F.unfold(a, 3, padding=1), (9, 8), 3, padding=1), img),
    "grid_sample": (lambda a, g: F.grid_sample(a, g, align_corners=False), lambda n: (r(n, 4, 9, 8), r(n, 5, 6, 2))),
    "grid_sample_border": (
        lambda a, g: F.grid_sample(a, g, "nearest", "border", align_corners=True),
        lambda n: (r(n, 4, 9, 8), r(n, 5, 6, 2)),
    ),
    "grid_sample_reflection": (
        lambda a, g: F.grid_sample(a, g, "bicubic", "reflection", align_corners=True),
        lambda n: (r(n, 4, 9, 8), u(n, 5, 6, 2)),
    ),
    "affine_grid": (lambda t: F.affine_grid(t, [t.shape[0], 3, 4, 5], align_corners=False), lambda n: (r(n, 2, 3),)),
    "batch_norm": (lambda a: F.batch_norm(a, B4, B4.abs() + 1, B4 + 1, B4), img),
    "instance_norm": (lambda a: F.instance_norm(a, weight=B4, bias=B4), img),
    "group_norm": (lambda a: F.group_norm(a, 2, B4, B4), img),
    "layer_norm": (lambda a: F.layer_norm(a, (9, 8)), img),
    "rms_norm": (lambda a: F.rms_norm(a, (8,), torch.ones(8) * 2), img),
    "local_response_norm": (lambda a: F.local_response_norm(a, 3), img),
    "prelu": (lambda a: F.prelu(a, B4), img),
    "bilinear": (
        lambda a, c: F.bilinear(a, c, torch.ones(5, 6, 6) * 0.3, torch.ones(5)),
        xy,
    ),
    "fold_blocks": (lambda a: F.fold(a.reshape(a.shape[0], 4, 72)[:, :, :12], (4, 5), 2), img),
}
