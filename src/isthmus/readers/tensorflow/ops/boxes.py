"""Boxes that overlap: the best of them."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from isthmus.readers.tensorflow.contract import Host, Reads
from isthmus.readers.tensorflow.ops._sampling import real
from isthmus.readers.tensorflow.ops._sizes import size, vector

table = Reads()
read = table.read

INT64 = ir.DataType.INT64
INT32 = ir.DataType.INT32


@read("NonMaxSuppression")
def suppressed(op, boxes, scores, max_output_size, *, iou_threshold):
    return op.Cast(_selected(op, boxes, scores, max_output_size, np.float32(iou_threshold)), to=INT32)


@read("NonMaxSuppressionV2")
def suppressed_v2(op, boxes, scores, max_output_size, iou_threshold):
    return op.Cast(_selected(op, boxes, scores, max_output_size, real(op, iou_threshold)), to=INT32)


@read("NonMaxSuppressionV3")
def suppressed_v3(op, boxes, scores, max_output_size, iou_threshold, score_threshold):
    thresholds = real(op, iou_threshold), real(op, score_threshold)
    return op.Cast(_selected(op, boxes, scores, max_output_size, *thresholds), to=INT32)


@read("NonMaxSuppressionV4")
def suppressed_v4(op, boxes, scores, max_output_size, iou_threshold, score_threshold, *, pad_to_max_output_size):
    thresholds = real(op, iou_threshold), real(op, score_threshold)
    found = _selected(op, boxes, scores, max_output_size, *thresholds)
    made = _filled(op, found, max_output_size) if pad_to_max_output_size else found
    return op.Cast(made, to=INT32), op.Cast(op.Size(found), to=INT32)


@read("NonMaxSuppressionV5")
def suppressed_v5(
    op,
    c,
    boxes,
    scores,
    max_output_size,
    iou_threshold,
    score_threshold,
    soft_nms_sigma: Host,
    *,
    pad_to_max_output_size,
):
    if isinstance(soft_nms_sigma, ir.Value) or soft_nms_sigma != 0:
        c.refuse("it lowers the scores of boxes that overlap (soft_nms_sigma), and ONNX only drops them")
    thresholds = real(op, iou_threshold), real(op, score_threshold)
    found = _selected(op, boxes, scores, max_output_size, *thresholds)
    best = op.Gather(scores, found, axis=0)
    count = op.Cast(op.Size(found), to=INT32)
    if pad_to_max_output_size:
        found, best = (_filled(op, value, max_output_size) for value in (found, best))
    return op.Cast(found, to=INT32), best, count


def _selected(op, boxes, scores, most, overlap, score=None):
    """Which boxes, the best first, as int64."""
    rows = op.NonMaxSuppression(
        op.Unsqueeze(real(op, boxes), [0]),
        op.Unsqueeze(real(op, scores), [0, 1]),
        vector(op, most),
        _one(op, overlap),
        None if score is None else _one(op, score),
    )
    return op.Squeeze(op.Slice(rows, [2], [3], [1]), [1])


def _one(op, value):
    return op.Reshape(value, [1]) if isinstance(value, ir.Value) else np.asarray(value, np.float32).reshape(1)


def _filled(op, value, most):
    """A vector with zeros up to the length ``most``."""
    missing = op.Sub(vector(op, most), op.Shape(value))
    return op.Pad(value, op.Concat(op.constant([0]), op.Max(missing, op.constant([0])), axis=0))


@read("CombinedNonMaxSuppression")
def combined(
    op,
    c,
    boxes,
    scores,
    max_output_size_per_class,
    max_total_size,
    iou_threshold,
    score_threshold,
    *,
    pad_per_class,
    clip_boxes,
):
    """Each class by itself, then the best of all classes; with zeros where there are fewer."""
    batch, count, classes = (size(op, scores, axis) for axis in range(3))
    by_class = op.Transpose(scores, perm=[0, 2, 1])
    whose = op.Transpose(boxes, perm=[0, 2, 1, 3])
    own = c.shape(0)[2]
    if not isinstance(own, int) or own != c.shape(1)[2]:  # one box for all classes
        whose = op.Expand(whose, op.Concat(op.constant([1]), classes, op.constant([1, 1]), axis=0))
    flat = op.Reshape(whose, op.Concat(op.constant([-1]), count, op.constant([4]), axis=0))
    alone = op.Reshape(by_class, op.Concat(op.constant([-1, 1]), count, axis=0))
    most = vector(op, max_output_size_per_class)
    rows = op.NonMaxSuppression(flat, alone, most, _one(op, iou_threshold), _one(op, score_threshold))
    group, _, box = op.Split(rows, axis=1, num_outputs=3, outputs=3)
    kept = _marked(op, by_class, batch, count, classes, op.Add(op.Mul(group, count), box))
    total = vector(op, max_total_size)
    if pad_per_class:
        total = op.Min(op.Mul(most, classes), total)
    return _best(op, kept, whose, count, total, clip=clip_boxes)


def _marked(op, by_class, batch, count, classes, places):
    """Scores (batch, classes · boxes): of what was selected; all else is -inf."""
    flat = op.Reshape(by_class, [-1])
    none = op.Expand(op.constant(np.float32(-math.inf)), op.Shape(flat))
    places = op.Reshape(places, [-1])
    marked = op.ScatterElements(none, places, op.Gather(flat, places, axis=0), axis=0)
    return op.Reshape(marked, op.Concat(batch, op.Mul(count, classes), axis=0), allowzero=1)


def _best(op, kept, boxes, count, total, *, clip):
    missing = op.Max(op.Sub(total, op.Shape(kept, start=1)), op.constant([0]))
    pads = op.Concat(op.constant([0, 0, 0]), missing, axis=0)
    filled = op.Pad(kept, pads, op.constant(np.float32(-math.inf)))
    scores, places = op.TopK(filled, total, axis=1, outputs=2)
    good = op.Greater(scores, -math.inf)
    zero = op.constant(np.float32(0))
    places = op.Where(good, places, op.constant(0, INT64))
    rows = op.Reshape(boxes, op.Concat(op.Shape(boxes, end=1), op.constant([-1, 4]), axis=0))
    index = op.Expand(op.Unsqueeze(places, [2]), op.constant([1, 1, 4]))
    found = op.GatherElements(rows, index, axis=1)
    found = op.Clip(found, 0.0, 1.0) if clip else found
    classes = op.Cast(op.Div(places, count), to=ir.DataType.FLOAT)
    return (
        op.Where(op.Unsqueeze(good, [2]), found, zero),
        op.Where(good, scores, zero),
        op.Where(good, classes, zero),
        op.Cast(op.ReduceSum(op.Cast(good, to=INT64), [1], keepdims=0), to=INT32),
    )


@read("DrawBoundingBoxes")
def draw(op, c, images, boxes):
    c.refuse("it draws into images, for which ONNX has no operator")


@read("DrawBoundingBoxesV2")
def draw_in_colors(op, c, images, boxes, colors):
    c.refuse("it draws into images, for which ONNX has no operator")
