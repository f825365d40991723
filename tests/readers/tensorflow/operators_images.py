"""Convolutions, pools, blocks, resizing, crops, boxes, colors, normalization, losses, quantization, counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from operator_cases import REAL, Spec, fixed, given, image, known, sized, spec, x

BOTH = ["SAME", "VALID"]
EXPLICIT = {"padding": ["EXPLICIT"], "explicit_paddings": [[0, 0, 2, 1, 0, 3, 0, 0]]}
FLAT = ([1, 1, 1, 1], [1, 2, 2, 1], [1, 3, 1, 1])
IMAGE = image(2, 7, 6, 4)
LOOSE = {"rtol": 1e-4, "atol": 1e-5}


def _of_sizes(successor: Callable[..., Any]) -> Callable[..., Any]:
    """What took the place of an operator that is given a tensor of the shape it shall make."""
    return lambda like, filters, made, **settings: successor(
        input_sizes=tf.shape(like), filter=filters, out_backprop=made, **settings
    )


CONVOLUTIONS = (
    spec("Conv2D", IMAGE, fixed(3, 2, 4, 5), strides=FLAT, padding=BOTH, **LOOSE),
    spec(
        "Conv2D",
        IMAGE,
        fixed(3, 2, 4, 5),
        strides=FLAT[:1],
        padding=BOTH,
        dilations=[[1, 2, 1, 1], [1, 2, 3, 1]],
        **LOOSE,
    ),
    spec("Conv2D", IMAGE, fixed(3, 2, 2, 6), strides=FLAT[1:], padding=BOTH, **LOOSE),
    spec("Conv2D", IMAGE, fixed(3, 2, 4, 5), strides=FLAT[:2], **EXPLICIT, **LOOSE),
    spec("Conv2D", IMAGE, fixed(1, 1, 4, 5), strides=FLAT[1:2], padding=BOTH, **LOOSE),
    spec("Conv2D", IMAGE, fixed(1, 1, 4, 5), strides=[[1, 3, 3, 1]], padding=BOTH, **LOOSE),
    spec("Conv2D", IMAGE, fixed(3, 2, 4, 5), strides=FLAT[1:2], padding=BOTH, sizes=["free"], **LOOSE),
    spec(
        "Conv3D",
        image(2, 4, 5, 4, 3),
        fixed(2, 3, 2, 3, 4),
        strides=[[1, 1, 1, 1, 1], [1, 2, 1, 2, 1]],
        padding=BOTH,
        **LOOSE,
    ),
    spec("Conv", IMAGE, fixed(3, 2, 4, 5), strides=FLAT[:2], padding=BOTH, **LOOSE),
    spec("Conv", image(2, 4, 5, 4, 3), fixed(2, 3, 2, 3, 4), strides=[[1, 1, 2, 1, 1]], padding=BOTH, **LOOSE),
    spec("DepthwiseConv2dNative", IMAGE, fixed(3, 2, 4, 2), strides=[FLAT[0], FLAT[1]], padding=BOTH, **LOOSE),
    spec(
        "DepthwiseConv2dNative",
        IMAGE,
        fixed(3, 2, 4, 1),
        strides=[FLAT[0]],
        padding=BOTH,
        dilations=[[1, 2, 2, 1]],
        **LOOSE,
    ),
    spec("DepthwiseConv2dNative", IMAGE, fixed(3, 2, 4, 2), strides=FLAT[:2], **EXPLICIT, **LOOSE),
    spec(
        "FusedPadConv2D",
        image(1, 7, 6, 4),
        known([[0, 0], [1, 2], [2, 0], [0, 0]]),
        fixed(3, 2, 4, 5),
        mode=["REFLECT", "SYMMETRIC"],
        strides=FLAT[:2],
        padding=["VALID", "SAME"],
        **LOOSE,
    ),
    *(
        spec(
            "Conv2DBackpropInput",
            sizes,
            fixed(3, 2, 5, 4),
            image(2, *made, 4),
            strides=[strides],
            padding=[padding],
            **LOOSE,
        )
        for made, strides, padding, asked in (
            ((4, 3), [1, 2, 2, 1], "SAME", [2, 8, 6, 5]),
            ((4, 3), [1, 2, 2, 1], "SAME", [2, 7, 5, 5]),
            ((4, 3), [1, 2, 2, 1], "VALID", [2, 10, 6, 5]),
            ((4, 3), [1, 1, 1, 1], "SAME", [2, 4, 3, 5]),
            ((4, 3), [1, 3, 3, 1], "SAME", [2, 12, 7, 5]),
            ((4, 3), [1, 3, 3, 1], "VALID", [2, 14, 9, 5]),
        )
        for sizes in (known(asked), sized(asked))
    ),
    spec(
        "Conv2DBackpropInput",
        known([2, 7, 6, 4]),
        fixed(3, 2, 4, 5),
        image(2, 8, 8, 5),
        strides=FLAT[:1],
        **EXPLICIT,
        **LOOSE,
    ),
    spec(
        "Conv2DBackpropInputV2",
        image(2, 8, 6, 5),
        fixed(3, 2, 5, 4),
        image(2, 4, 3, 4),
        strides=FLAT[1:2],
        padding=["SAME"],
        reference=_of_sizes(tf.raw_ops.Conv2DBackpropInput),
        **LOOSE,
    ),
    spec(
        "Conv3DBackpropInputV2",
        known([2, 4, 6, 4, 3]),
        fixed(2, 3, 2, 3, 4),
        image(2, 2, 3, 2, 4),
        strides=[[1, 2, 2, 2, 1]],
        padding=["SAME"],
        **LOOSE,
    ),
    spec("Dilation2D", IMAGE, fixed(3, 2, 4), strides=FLAT[:2], rates=[[1, 1, 1, 1], [1, 2, 1, 1]], padding=BOTH),
    spec(
        "ExtractImagePatches",
        IMAGE,
        ksizes=[[1, 3, 2, 1]],
        strides=FLAT,
        rates=[[1, 1, 1, 1], [1, 2, 2, 1]],
        padding=BOTH,
    ),
    spec(
        "ExtractVolumePatches",
        image(2, 4, 5, 4, 3),
        ksizes=[[1, 2, 3, 2, 1]],
        strides=[[1, 1, 2, 1, 1]],
        padding=BOTH,
    ),
)

SPECIAL = given(np.resize([-np.inf, 1.0, 2.5, -3.0, np.inf, 0.0, -0.0], (1, 6, 7, 3)))
POOLS = (
    *(
        spec(op, IMAGE, ksize=[[1, 3, 2, 1], [1, 1, 1, 1], [1, 2, 2, 1]], strides=[*FLAT, [1, 4, 4, 1]], padding=BOTH)
        for op in ("MaxPool", "AvgPool", "MaxPoolWithArgmax")
    ),
    spec(
        "MaxPoolWithArgmax",
        IMAGE,
        ksize=[[1, 3, 2, 1]],
        strides=FLAT[1:2],
        padding=BOTH,
        include_batch_in_index=[True],
    ),
    spec("MaxPool", SPECIAL, ksize=[[1, 3, 2, 1]], strides=FLAT[1:2], padding=BOTH, types={"T": REAL}),
    spec("AvgPool", SPECIAL, ksize=[[1, 3, 2, 1]], strides=FLAT[1:2], padding=BOTH, types={"T": REAL}),
    spec("MaxPool", IMAGE, ksize=[[1, 1, 1, 2]], strides=[[1, 1, 1, 2]], padding=["VALID"]),
    spec(
        "MaxPool",
        IMAGE,
        ksize=[[1, 3, 2, 1]],
        strides=FLAT[1:2],
        padding=["EXPLICIT"],
        explicit_paddings=[[0, 0, 1, 0, 1, 1, 0, 0]],
    ),
    spec("MaxPoolV2", IMAGE, known([1, 3, 2, 1]), known([1, 2, 2, 1]), padding=BOTH),
    *(
        spec(
            op,
            image(2, 4, 5, 4, 3),
            ksize=[[1, 2, 3, 2, 1]],
            strides=[[1, 1, 2, 1, 1], [1, 3, 4, 3, 1]],
            padding=BOTH,
        )
        for op in ("MaxPool3D", "AvgPool3D")
    ),
    *(spec(op, IMAGE, pooling_ratio=[[1.0, 1.4, 1.4, 1.0]]) for op in ("FractionalMaxPool", "FractionalAvgPool")),
)

BLOCKS = (
    spec("DepthToSpace", image(2, 2, 3, 8), block_size=[2]),
    spec("SpaceToDepth", image(2, 4, 6, 3), block_size=[2]),
    spec("SpaceToBatchND", image(2, 4, 5, 3), known([2, 3]), known([[0, 2], [1, 0]])),
    spec("SpaceToBatchND", x(2, 4, 5), known([2]), sized([[1, 1]])),
    spec("SpaceToBatch", image(2, 4, 4, 3), known([[0, 0], [1, 1]]), block_size=[2]),
    spec("BatchToSpaceND", x(12, 2, 3, 2), known([2, 3]), known([[0, 1], [1, 0]])),
    spec("BatchToSpaceND", x(4, 3, 2), known([2]), sized([[1, 0]])),
    spec("BatchToSpace", image(8, 2, 3, 2), known([[0, 1], [1, 0]]), block_size=[2]),
)

CENTERS = {"align_corners": [False, True], "half_pixel_centers": [False]}
HALVES = {"align_corners": [False], "half_pixel_centers": [True]}
SIZES = ([9, 4], [10, 12], [3, 3], [1, 1], [5, 6])
RESIZES = (
    *(
        spec(op, image(2, 5, 6, 3, low=0, high=200), known(size), **modes, rtol=1e-3, atol=2e-3)
        for op in ("ResizeBilinear", "ResizeBicubic", "ResizeNearestNeighbor")
        for size in SIZES
        for modes in (CENTERS, HALVES)
    ),
    *(
        spec(op, image(2, 5, 6, 3, low=0, high=200), sized([7, 9]), **HALVES, rtol=1e-3, atol=2e-3)
        for op in ("ResizeBilinear", "ResizeBicubic", "ResizeNearestNeighbor")
    ),
    *(
        spec(
            "ResizeArea",
            image(2, 5, 6, 3, low=0, high=200),
            known(size),
            align_corners=[False, True],
            rtol=1e-4,
            atol=1e-3,
        )
        for size in SIZES
    ),
    spec(
        "ScaleAndTranslate",
        image(2, 5, 6, 3),
        known([7, 4]),
        given([1.4, 0.6]),
        given([0.5, -0.25]),
        kernel_type=["lanczos3", "lanczos1", "lanczos5", "gaussian", "box", "triangle", "keyscubic", "mitchellcubic"],
        antialias=[True, False],
        rtol=1e-3,
        atol=1e-4,
    ),
)

BOXES = given([[0.1, 0.2, 0.9, 0.7], [0.8, 0.9, 0.1, 0.0], [-0.3, 0.0, 1.4, 1.0]])
CROPS = (
    *(
        spec(
            "CropAndResize",
            image(2, 6, 5, 3, low=0, high=50),
            BOXES,
            given([1, 0, 1]),
            known(size),
            method=["bilinear", "nearest"],
            extrapolation_value=[0.0, 2.5],
            rtol=1e-4,
            atol=1e-3,
        )
        for size in ([4, 3], [1, 1], [7, 1])
    ),
    *(
        spec(
            op,
            image(2, 6, 5, 3, low=0, high=50),
            given([[1.0, 0.1, -0.5, 0.1, 0.9, 0.7, 0.01, 0.0]]),
            known([5, 4]),
            *more,
            interpolation=["BILINEAR", "NEAREST"],
            types={"dtype": REAL},
            fill_mode=["CONSTANT", "NEAREST", "REFLECT", "WRAP"],
            rtol=1e-3,
            atol=1e-3,
        )
        for op, more in (("ImageProjectiveTransformV2", ()), ("ImageProjectiveTransformV3", (given(1.5),)))
    ),
)

CORNERS = given(
    [[0, 0, 1, 1], [0, 0.1, 1, 1.1], [0, -0.1, 1, 0.9], [0, 10, 1, 11], [0, 10.1, 1, 11.1], [0, 100, 1, 101]]
)
SCORES = given([0.9, 0.75, 0.6, 0.95, 0.5, 0.3])
SUPPRESSIONS = (
    spec("NonMaxSuppression", CORNERS, SCORES, given(3), iou_threshold=[0.5, 0.9]),
    spec("NonMaxSuppressionV2", CORNERS, SCORES, given(3), given(0.5)),
    spec("NonMaxSuppressionV3", CORNERS, SCORES, given(6), given(0.5), given(0.4)),
    spec(
        "NonMaxSuppressionV4", CORNERS, SCORES, given(5), given(0.5), given(0.4), pad_to_max_output_size=[False, True]
    ),
    spec(
        "NonMaxSuppressionV5",
        CORNERS,
        SCORES,
        given(5),
        given(0.5),
        given(0.4),
        known(0.0),
        pad_to_max_output_size=[False, True],
    ),
    spec("NonMaxSuppressionV5", CORNERS, SCORES, given(5), given(0.5), given(0.0), known(0.5)),
    *(
        spec(
            "CombinedNonMaxSuppression",
            x(2, 6, q, 4, low=0, high=1),
            x(2, 6, 3, low=0, high=1),
            known(3),
            known(5),
            given(0.5),
            given(0.2),
            pad_per_class=[False, True],
            clip_boxes=[True, False],
            sizes=["fixed"],
        )
        for q in (1, 3)
    ),
    spec("DrawBoundingBoxes", image(1, 4, 4, 3), x(1, 2, 4)),
    spec("DrawBoundingBoxesV2", image(1, 4, 4, 3), x(1, 2, 4), x(2, 3)),
)

COLORS = (
    spec("RGBToHSV", x(2, 4, 3, low=0, high=1), atol=1e-5),
    spec("HSVToRGB", x(2, 4, 3, low=0, high=1), atol=1e-5),
    spec("AdjustHue", image(2, 3, 4, 3, low=0, high=1), given(0.3), atol=1e-4),
    spec("AdjustSaturation", image(2, 3, 4, 3, low=0, high=1), given(1.7), atol=1e-4),
    spec("AdjustContrastv2", image(2, 3, 4, 3, low=0, high=1), given(1.7), atol=1e-4),
)

STATISTICS = (x(4), x(4), x(4), x(4, low=0.5))
STATISTIC = {"T": ("float32",)}  # of halves TensorFlow leaves its statistics unwritten
NORMS = (
    spec("BiasAdd", x(2, 3, 4), x(4)),
    spec("BiasAdd", image(2, 3, 4, 5), x(3), data_format=["NCHW"]),
    spec("BiasAddV1", x(2, 3, 4), x(4)),
    *(
        spec(
            op,
            IMAGE,
            *STATISTICS,
            is_training=[False, True],
            epsilon=[1e-3, 1e-1],
            types=STATISTIC,
            outputs=5,
            rtol=1e-4,
            atol=1e-4,
        )
        for op in ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
    ),
    spec(
        "FusedBatchNormV3",
        IMAGE,
        *STATISTICS,
        is_training=[True],
        exponential_avg_factor=[0.3],
        outputs=5,
        rtol=1e-4,
        atol=1e-4,
    ),
    spec(
        "LRN", image(2, 3, 4, 9), depth_radius=[5, 2], bias=[1.0, 2.0], alpha=[1.0, 0.3], beta=[0.5, 0.75], rtol=1e-4
    ),
    spec("SoftmaxCrossEntropyWithLogits", x(3, 5), x(3, 5, low=0, high=1), rtol=1e-4, atol=1e-5),
    spec("SoftmaxCrossEntropyWithLogits", x(3, 5), x(1, 5, low=0, high=1), rtol=1e-4, atol=1e-5),
    spec("SparseSoftmaxCrossEntropyWithLogits", x(3, 5), given([0, 4, 2]), rtol=1e-4, atol=1e-5),
)

BITS = {"num_bits": [8, 4], "narrow_range": [False, True]}
ONE = (given(-1.5), given(2.25))
QUANTIZED = (
    spec("FakeQuantWithMinMaxArgs", x(40, low=-8, high=8), min=[-6.0, 0.0], max=[6.0, 3.0], **BITS),
    spec("FakeQuantWithMinMaxVars", x(40), *ONE, **BITS),
    spec("FakeQuantWithMinMaxVarsPerChannel", x(5, 3), given([-1.0, -2.0, 0.0]), given([1.0, 3.0, 2.0]), **BITS),
    *(
        spec(op, x(40), *ONE, signed_input=[True, False], range_given=[True, False], **BITS)
        for op in ("QuantizeAndDequantizeV2", "QuantizeAndDequantizeV4")
    ),
    spec("QuantizeAndDequantizeV2", x(40), *ONE, round_mode=["HALF_UP", "HALF_TO_EVEN"], range_given=[True]),
    spec(
        "QuantizeAndDequantizeV2",
        x(5, 3),
        given([-1.0, -2.0, -0.5]),
        given([1.0, 3.0, 2.0]),
        axis=[1],
        range_given=[True],
    ),
    spec("QuantizeAndDequantizeV3", x(40), *ONE, known(8), signed_input=[True, False], range_given=[True, False]),
)

COUNTS = (
    spec("Bincount", given([0, 1, 1, 4, 9]), given(5), known(np.zeros(0))),
    spec("Bincount", given([0, 1, 1, 4, 9]), given(5), x(5), sizes=["fixed"]),
    spec(
        "DenseBincount",
        given([[0, 1, 1], [4, 2, 9]]),
        given(5),
        known(np.zeros(0)),
        binary_output=[False, True],
        sizes=["fixed"],
    ),
    spec("DenseBincount", given([[0, 1, 1], [4, 2, 9]]), given(5), x(2, 3)),
    spec("HistogramFixedWidth", x(30), given([-2, 2]), given(5)),
)

SPECS: tuple[Spec, ...] = (
    *CONVOLUTIONS,
    *POOLS,
    *BLOCKS,
    *RESIZES,
    *CROPS,
    *SUPPRESSIONS,
    *COLORS,
    *NORMS,
    *QUANTIZED,
    *COUNTS,
)
