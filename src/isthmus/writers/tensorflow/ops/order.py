"""Order among elements: the largest, the distinct, the boxes that win."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from isthmus.lower.contract import Host, Lowerings
from isthmus.writers.tensorflow.ops._dims import dim, dims, from_front, is_known, shape_of, with_rank

table = Lowerings()
lower, alias = table.lower, table.alias


@lower("TopK", ignore=("sorted",))  # any order is allowed without it, so the sorted one is
def top_k(c, x, k: Host, *, largest, axis):
    """Of equal elements the one of the lower index comes first."""
    rank = c.rank()
    last = from_front(axis, rank) == rank - 1
    order = [i for i in range(rank) if i != from_front(axis, rank)] + [from_front(axis, rank)]
    x = x if last else tf.transpose(x, order)
    count = int(k.reshape(())) if is_known(k) else tf.cast(tf.reshape(k, []), tf.int32)
    values, indices = tf.math.top_k(x if largest else _reversed_order(x), count)
    values = values if largest else _reversed_order(values)
    indices = tf.cast(indices, tf.int64)
    if last:
        return values, indices
    back = [order.index(i) for i in range(rank)]
    return tf.transpose(values, back), tf.transpose(indices, back)


def _reversed_order(x: tf.Tensor) -> tf.Tensor:
    """Elements that compare the other way round, exactly: an integer's complement cannot overflow."""
    return tf.bitwise.invert(x) if x.dtype.is_integer else -x


@lower("ArgMax")
def arg_max(c, x, *, axis, keepdims, select_last_index):
    return _arg(c, tf.argmax, x, axis, keepdims, select_last_index)


@lower("ArgMin")
def arg_min(c, x, *, axis, keepdims, select_last_index):
    return _arg(c, tf.argmin, x, axis, keepdims, select_last_index)


def _arg(c: Any, find: Any, x: tf.Tensor, axis: int, keepdims: int, last: int) -> tf.Tensor:
    axis = from_front(axis, c.rank())
    found = find(tf.reverse(x, [axis]) if last else x, axis=axis, output_type=tf.int64)
    if last:
        found = tf.cast(dim(x, axis), tf.int64) - 1 - found
    return tf.expand_dims(found, axis) if keepdims else found


@lower("Unique")
def unique(c, x, *, axis, sorted):
    x = tf.reshape(x, [-1]) if axis is None else with_rank(x, c.rank())
    along = 0 if axis is None else from_front(axis, c.rank())
    found = tf.raw_ops.UniqueWithCountsV2(x=x, axis=[along], out_idx=tf.int64)
    size = tf.size(found.count)
    places = tf.range(tf.size(found.idx, tf.int64))
    first = tf.math.unsorted_segment_min(places, found.idx, size)
    values, inverse, counts = found.y, found.idx, found.count
    if sorted:
        order = lexicographic(_rows(values, along))
        values, first, counts = (
            tf.gather(values, order, axis=along),
            tf.gather(first, order),
            tf.gather(counts, order),
        )
        inverse = tf.gather(tf.math.invert_permutation(tf.cast(order, tf.int64)), inverse)
    return (values, first, inverse, counts)[: c.outputs]


def _rows(x: tf.Tensor, axis: int) -> tf.Tensor:
    """The slices of ``x`` along ``axis`` as the rows of a matrix that sorts as they do."""
    order = [axis, *(i for i in range(x.shape.rank) if i != axis)]
    rows = tf.transpose(x, order)
    sizes = dims(rows)
    if rows.dtype == tf.string:
        rows = _bytes(rows)
        return tf.reshape(rows, tf.concat([shape_of(sizes[:1]), [-1]], 0)) if len(sizes) > 1 else rows
    rows = tf.cast(rows, tf.int8) if rows.dtype == tf.bool else rows
    width = 1
    for size in sizes[1:]:
        width = width * size
    return tf.reshape(rows, shape_of([sizes[0], width]))


def _bytes(text: tf.Tensor) -> tf.Tensor:
    """Strings as one more axis of their UTF-8 bytes, 1 to 256, and 0 beyond their end: ordered as the strings are."""
    lengths = tf.strings.length(text)
    longest = tf.maximum(tf.reduce_max(tf.reshape(lengths, [-1])), 1)
    letters = tf.cast(tf.io.decode_raw(text, tf.uint8, fixed_length=longest), tf.int32)
    return tf.where(tf.range(longest) < lengths[..., None], letters + 1, 0)


def lexicographic(rows: tf.Tensor) -> tf.Tensor:
    """The stable order of a matrix' rows, by the first column, then the second; int32."""
    width = dim(rows, 1)
    if isinstance(width, int) and width == 1:
        return tf.argsort(rows[:, 0], stable=True)

    def by_column(left: tf.Tensor, order: tf.Tensor) -> tf.Tensor:
        column = tf.gather(rows[:, left - 1], order)
        return left - 1, tf.gather(order, tf.argsort(column, stable=True))

    start = (tf.cast(width, tf.int32), tf.range(tf.shape(rows)[0]))
    return tf.while_loop(lambda left, _: left > 0, by_column, start)[1]


@lower("NonMaxSuppression")
def non_max_suppression(
    c, boxes, scores, most: Host = None, iou_threshold=None, score_threshold=None, *, center_point_box
):
    """One row (batch, class, box) a kept box. A score equal to its threshold loses, an equal overlap does not.

    Of equal scores the lower index wins, in TensorFlow's kernel as in ONNX Runtime.
    """
    if center_point_box:
        x, y, w, h = (boxes[..., i] for i in range(4))
        boxes = tf.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], axis=-1)
    boxes, scores = with_rank(boxes, 3), with_rank(scores, 3)
    classes = tf.cast(dim(scores, 1), tf.int64)
    each = tf.reshape(scores, shape_of([_times(dim(scores, 0), dim(scores, 1)), dim(scores, 2)]))
    count = tf.cast(dim(scores, 2), tf.int64)
    limit = tf.constant(0, tf.int64) if most is None else tf.cast(tf.reshape(most, []), tf.int64)
    limit = tf.cast(tf.clip_by_value(limit, 0, count), tf.int32)
    overlap = tf.constant(0.0) if iou_threshold is None else tf.reshape(iou_threshold, [])
    least = tf.constant(float("-inf")) if score_threshold is None else tf.reshape(score_threshold, [])

    def of_class(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        kept = tf.raw_ops.NonMaxSuppressionV4(
            boxes=boxes[number // classes],
            scores=each[number],
            max_output_size=limit,
            iou_threshold=overlap,
            score_threshold=least,
            pad_to_max_output_size=True,
        )
        return kept.selected_indices, kept.valid_outputs

    signature = (tf.TensorSpec([None], tf.int32), tf.TensorSpec([], tf.int32))
    numbers = tf.range(tf.cast(tf.shape(each)[0], tf.int64))
    chosen, valid = tf.map_fn(of_class, numbers, fn_output_signature=signature)
    kept = tf.where(tf.range(limit) < valid[:, None])
    box = tf.cast(tf.gather_nd(chosen, kept), tf.int64)
    return tf.stack([kept[:, 0] // classes, kept[:, 0] % classes, box], axis=1)


def _times(a: Any, b: Any) -> Any:
    return a * b if isinstance(a, int) == isinstance(b, int) else tf.cast(a, tf.int64) * tf.cast(b, tf.int64)
