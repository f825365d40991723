"""Resizing in all combinations of attributes; crops, transforms, colors and boxes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from reading import agree

from isthmus.errors import Unsupported

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 7, 5, 3)).astype(np.float32)
OTHER = RNG.normal(size=(1, 4, 9, 3)).astype(np.float32)
FREE = {0: [0, 1, 2]}
SIZES = [(14, 10), (3, 2), (7, 5), (1, 1), (11, 4), (13, 17)]
COORDINATES = [(False, False), (True, False), (False, True)]
LOOSE = {"rtol": 1e-4, "atol": 2e-5}
RESIZES = [tf.raw_ops.ResizeBilinear, tf.raw_ops.ResizeNearestNeighbor, tf.raw_ops.ResizeBicubic]


def resized(op, x, size, coordinates):
    return op(images=x, size=size, align_corners=coordinates[0], half_pixel_centers=coordinates[1])


@pytest.mark.parametrize("op", RESIZES, ids=lambda op: op.__name__)
@pytest.mark.parametrize("coordinates", COORDINATES, ids=["asymmetric", "corners", "halves"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_resize(op, coordinates, size):
    agree(lambda x: resized(op, x, size, coordinates), X, **LOOSE)


@pytest.mark.parametrize("op", RESIZES, ids=lambda op: op.__name__)
@pytest.mark.parametrize("coordinates", COORDINATES, ids=["asymmetric", "corners", "halves"])
def test_resize_of_free_sizes(op, coordinates):
    agree(lambda x: resized(op, x, (6, 8), coordinates), X, free=FREE, more=[[OTHER]], **LOOSE)
    agree(lambda x: resized(op, x, tf.shape(x)[1:3] * [2, 3], coordinates), X, free=FREE, more=[[OTHER]], **LOOSE)
    sizes = np.array([5, 9], np.int32)
    agree(lambda x, s: resized(op, x, s, coordinates), X, sizes, free=FREE, more=[[OTHER, sizes + 3]], **LOOSE)


@pytest.mark.parametrize("coordinates", COORDINATES, ids=["asymmetric", "corners", "halves"])
def test_nearest_takes_the_same_pixels_whatever_the_sizes(coordinates):
    for given in (1, 2, 3, 7, 10, 23, 41):
        x = np.arange(given, dtype=np.float32).reshape(1, given, 1, 1)
        made = [(given * k, 1) for k in (1, 2, 3, 7)] + [(n, 1) for n in (1, 2, 5, 29, 41, 50)]
        agree(
            lambda x, made=made: tuple(resized(tf.raw_ops.ResizeNearestNeighbor, x, m, coordinates) for m in made), x
        )
        lengths = np.array([5, 29, 41, 50], np.int32)
        agree(
            lambda x, n: tuple(
                resized(tf.raw_ops.ResizeNearestNeighbor, x, tf.stack([n[i], 1]), coordinates) for i in range(4)
            ),
            x,
            lengths,
        )


@pytest.mark.parametrize("op", RESIZES, ids=lambda op: op.__name__)
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float64, np.float16])
def test_resize_of_other_types(op, dtype):
    x = RNG.integers(0, 200, (1, 4, 5, 2)).astype(dtype)
    agree(lambda x: resized(op, x, (7, 3), (False, True)), x, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_area(align, size):
    agree(lambda x: tf.raw_ops.ResizeArea(images=x, size=size, align_corners=align), X, **LOOSE)
    agree(
        lambda x: tf.raw_ops.ResizeArea(images=x, size=size, align_corners=align),
        X,
        free=FREE,
        more=[[OTHER]],
        **LOOSE,
    )


def test_the_part_of_one_pixel_has_its_value():
    x = np.arange(1, 401, dtype=np.float32).reshape(1, 20, 20, 1)
    agree(lambda x: tf.raw_ops.ResizeArea(images=x, size=(40, 40), align_corners=True), x, rtol=3e-7, atol=0)


def test_a_size_of_no_known_length():
    size = np.array([7, 3], np.int32)
    agree(lambda x, size: tf.image.resize(x, size), X, size, free={0: [1, 2], 1: [0]})


METHODS = ["lanczos3", "lanczos5", "bicubic", "gaussian", "mitchellcubic", "bilinear", "nearest", "area"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("antialias", [False, True])
def test_every_method(method, antialias):
    agree(lambda x: tf.image.resize(x, (4, 11), method, antialias=antialias), X, free=FREE, more=[[OTHER]], **LOOSE)


@pytest.mark.parametrize("kernel", ["lanczos1", "lanczos3", "lanczos5", "gaussian", "box", "triangle", "keyscubic"])
@pytest.mark.parametrize("antialias", [False, True])
def test_scaled_and_moved(kernel, antialias):
    def function(x, scale, translation):
        return tf.raw_ops.ScaleAndTranslate(
            images=x, size=(6, 9), scale=scale, translation=translation, kernel_type=kernel, antialias=antialias
        )

    for scale, moved in (([0.5, 2.0], [1.0, -2.5]), ([1.3, 0.7], [0.0, 6.0])):
        agree(function, X, np.float32(scale), np.float32(moved), free=FREE, **LOOSE)


@pytest.mark.parametrize("method", ["bilinear", "nearest"])
@pytest.mark.parametrize("size", [(3, 4), (1, 1), (1, 5), (6, 2)])
def test_crops(method, size):
    boxes = np.float32([[0, 0, 1, 1], [0.1, 0.3, 0.7, 0.9], [0.8, 0.9, 0.2, 0.1], [-0.5, -0.2, 1.3, 1.1]])
    which = np.array([0, 1, 1, 0], np.int32)

    def function(x, b, w):
        return tf.image.crop_and_resize(x, b, w, size, method, extrapolation_value=-2.0)

    agree(function, X, boxes, which, free={**FREE, 1: [0], 2: [0]}, more=[[OTHER, boxes[:2], which[:2] * 0]], **LOOSE)


TRANSFORMS = np.float32([[1.1, 0.2, -1, -0.1, 0.9, 0.5, 0, 0], [0.8, -0.6, 2, 0.6, 0.8, -1, 0.01, 0.02]])


@pytest.mark.parametrize("interpolation", ["NEAREST", "BILINEAR"])
@pytest.mark.parametrize("fill_mode", ["CONSTANT", "REFLECT", "WRAP", "NEAREST"])
def test_transforms(interpolation, fill_mode):
    def function(x, t):
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=x,
            transforms=t,
            output_shape=(9, 8),
            fill_value=0.5,
            interpolation=interpolation,
            fill_mode=fill_mode,
        )

    agree(function, X, TRANSFORMS, free=FREE, more=[[np.concatenate([OTHER] * 2), TRANSFORMS]], **LOOSE)
    agree(function, X, TRANSFORMS[:1] * np.float32(3), **LOOSE)


def test_transforms_as_they_were():
    agree(
        lambda x: tf.raw_ops.ImageProjectiveTransformV2(
            images=x, transforms=TRANSFORMS, output_shape=(4, 4), interpolation="BILINEAR"
        ),
        X,
        **LOOSE,
    )


COLORS = np.concatenate([RNG.uniform(size=(2, 5, 6, 3)), np.zeros((2, 1, 6, 3)), np.full((2, 1, 6, 3), 0.4)], 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_colors(dtype):
    agree(lambda x: tf.image.rgb_to_hsv(x), COLORS.astype(dtype), free=FREE, **LOOSE)
    agree(lambda x: tf.image.hsv_to_rgb(x), COLORS.astype(dtype), free=FREE, **LOOSE)


def test_adjusted_colors():
    x = COLORS.astype(np.float32)
    for amount in (-0.3, 0.0, 0.2, 0.9):
        agree(lambda x, a=amount: tf.raw_ops.AdjustHue(images=x, delta=a), x, **LOOSE)
    for amount in (0.0, 0.5, 3.0):
        agree(lambda x, a=amount: tf.raw_ops.AdjustSaturation(images=x, scale=a), x, **LOOSE)
        agree(lambda x, a=amount: tf.raw_ops.AdjustContrastv2(images=x, contrast_factor=a), x, free=FREE, **LOOSE)


CORNERS = RNG.uniform(0, 1, (12, 2)).astype(np.float32)
BOXES = np.concatenate([CORNERS, CORNERS + RNG.uniform(0.1, 0.6, (12, 2)).astype(np.float32)], 1)
SCORES = np.round(RNG.uniform(0, 1, 12), 1).astype(np.float32)


@pytest.mark.parametrize("most", [3, 20])
@pytest.mark.parametrize("overlap", [0.1, 0.5])
def test_the_best_boxes(most, overlap):
    free = {0: [0], 1: [0]}
    agree(
        lambda b, s: tf.raw_ops.NonMaxSuppression(boxes=b, scores=s, max_output_size=most, iou_threshold=overlap),
        BOXES,
        SCORES,
        free=free,
    )
    v2 = tf.raw_ops.NonMaxSuppressionV2
    agree(lambda b, s: v2(boxes=b, scores=s, max_output_size=most, iou_threshold=overlap), BOXES, SCORES, free=free)
    agree(lambda b, s: tf.image.non_max_suppression(b, s, most, overlap, 0.3), BOXES, SCORES, free=free)
    for padded in (False, True):
        for op, more in (
            (tf.raw_ops.NonMaxSuppressionV4, {}),
            (tf.raw_ops.NonMaxSuppressionV5, {"soft_nms_sigma": 0.0}),
        ):
            agree(
                lambda b, s, op=op, more=more, padded=padded: tuple(
                    op(
                        boxes=b,
                        scores=s,
                        max_output_size=most,
                        iou_threshold=overlap,
                        score_threshold=0.3,
                        pad_to_max_output_size=padded,
                        **more,
                    )
                ),
                BOXES,
                SCORES,
                free=free,
            )


def test_lowered_scores_are_refused():
    with pytest.raises(Unsupported, match="soft_nms_sigma"):
        agree(lambda b, s: tf.image.non_max_suppression_with_scores(b, s, 3, soft_nms_sigma=0.5), BOXES, SCORES)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("total", [4, 30])
def test_the_best_boxes_of_all_classes(shared, padded, total):
    boxes = np.stack([BOXES, BOXES[::-1]])[:, :, None]
    boxes = boxes if shared else np.concatenate([boxes, boxes * np.float32(0.9), boxes + np.float32(0.1)], 2)
    scores = RNG.permutation(72).reshape(2, 12, 3).astype(np.float32) / 72

    def function(b, s):
        return tuple(tf.image.combined_non_max_suppression(b, s, 5, total, 0.4, 0.2, pad_per_class=padded))

    agree(function, boxes, scores, free={0: [0, 1], 1: [0, 1]}, more=[[boxes[:1, :7], scores[:1, :7]]])
    agree(function, boxes, scores, free={0: [1, 2], 1: [1, 2]})


def test_drawing_and_decoding_are_refused():
    with pytest.raises(Unsupported, match="draws"):
        agree(lambda x: tf.raw_ops.DrawBoundingBoxes(images=x, boxes=np.zeros((2, 1, 4), np.float32)), X)
    with pytest.raises(Unsupported, match="DecodeJpeg"):
        agree(lambda x: tf.io.decode_jpeg(x, channels=3), np.array(b"no picture", object))
