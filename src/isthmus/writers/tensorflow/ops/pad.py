"""Pad in every mode, by any amount: negative pads crop, before the others pad."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from isthmus.lower.contract import Host, Lowerings
from isthmus.writers.tensorflow.ops._dims import dim, dims, from_front, is_known, moved, shape_of

table = Lowerings()
lower, alias = table.lower, table.alias

Margin = tuple[Any, Any]
"""How much is added before and after an axis: ints, or scalar int64 tensors."""


@lower("Pad")
def pad(c, x, pads: Host, constant=None, axes: Host = None, *, mode):
    margins = _margins(c, pads, axes)
    if mode == "constant":
        fill = None if constant is None else tf.reshape(constant, [])
        if fill is None:
            return moved(lambda v: _constant(v, margins, tf.zeros([], v.dtype)), x)
        return moved(lambda v, f: _constant(v, margins, f), x, fill)
    return moved(lambda v: _continued(v, margins, mode), x)


def _margins(c: Any, pads: Any, axes: Any) -> list[Margin]:
    """One margin an axis of the input."""
    rank = c.rank()
    if axes is not None and not is_known(axes):
        pairs = tf.reshape(tf.cast(pads, tf.int64), [2, -1])
        where = tf.cast(axes, tf.int64) % rank
        full = tf.scatter_nd(where[:, None], tf.transpose(pairs), np.array([rank, 2], np.int64))
        return [(full[i, 0], full[i, 1]) for i in range(rank)]
    order = range(rank) if axes is None else [from_front(int(a), rank) for a in axes]
    margins: list[Margin] = [(0, 0)] * rank
    for i, axis in enumerate(order):
        before, after = pads[i], pads[i + len(order)]
        margins[axis] = (int(before), int(after)) if is_known(pads) else (before, after)
    return margins


def _constant(x: tf.Tensor, margins: list[Margin], fill: tf.Tensor) -> tf.Tensor:
    added = [(_positive(before), _positive(after)) for before, after in margins]
    cropped = _cropped(x, margins)
    if all(isinstance(m, int) and m == 0 for pair in added for m in pair):
        return cropped
    return tf.pad(cropped, shape_of_pairs(added), constant_values=fill)


def shape_of_pairs(pairs: list[Margin]) -> Any:
    """The [rank, 2] operand of tf.pad."""
    flat = shape_of([m for pair in pairs for m in pair])
    return flat.reshape(-1, 2) if is_known(flat) else tf.reshape(flat, [-1, 2])


def _cropped(x: tf.Tensor, margins: list[Margin]) -> tf.Tensor:
    """``x`` without what negative margins take away."""
    if all(isinstance(m, int) and m >= 0 for pair in margins for m in pair):
        return x
    lengths = dims(x)
    begin = [_positive(-before) for before, _ in margins]
    end = [length - _positive(-after) for length, (_, after) in zip(lengths, margins, strict=True)]
    return tf.strided_slice(x, shape_of(begin), shape_of(end))


def _positive(value: Any) -> Any:
    return max(value, 0) if isinstance(value, int) else tf.maximum(value, 0)


def _continued(x: tf.Tensor, margins: list[Margin], mode: str) -> tf.Tensor:
    """``x`` continued over its margins by its own elements."""
    lengths = x.shape.as_list()
    native = mode == "reflect" and all(
        isinstance(m, int) and length is not None and 0 <= m < length
        for length, pair in zip(lengths, margins, strict=True)
        for m in pair
    )
    if native:
        return tf.pad(x, margins, mode="REFLECT")
    x = _cropped(x, margins)
    for axis, (before, after) in enumerate(margins):
        before, after = _positive(before), _positive(after)
        if not (isinstance(before, int) and isinstance(after, int) and before == after == 0):
            x = tf.gather(x, _sources(dim(x, axis), before, after, mode), axis=axis)
    return x


def _sources(length: Any, before: Any, after: Any, mode: str) -> Any:
    """Which element of an axis stands at each place of the padded axis."""
    if all(isinstance(v, int) for v in (length, before, after)):
        here, lib = np.arange(-before, length + after, dtype=np.int64), np
    else:
        length, before, after = (tf.cast(v, tf.int64) for v in (length, before, after))
        here, lib = tf.range(-before, length + after), tf
    if mode == "edge":
        return lib.minimum(lib.maximum(here, 0), length - 1)
    if mode == "wrap":
        return here % length
    period = lib.maximum(2 * (length - 1), 1)
    folded = here % period
    return lib.minimum(folded, period - folded) if lib is np else tf.minimum(folded, period - folded)
