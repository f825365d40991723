"""Reading images between their pixels: weighted sums over the neighbours of floating coordinates."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import tensorflow as tf

from isthmus.lower.windows import Size


@dataclass(frozen=True)
class Tap:
    """One neighbour along one axis: its index, and its weight, which is 0 where it does not count."""

    index: tf.Tensor
    weight: tf.Tensor


Place = Callable[[tf.Tensor, int], tuple[tf.Tensor, tf.Tensor | None]]
"""What becomes of a neighbour's floating index along an axis: where it is read, and whether it counts."""


def taps_at(x: tf.Tensor, axis: int, length: Size, offsets: Sequence[int], weights, place: Place) -> list[Tap]:
    """The neighbours of the coordinates ``x`` at ``offsets`` from their floor, weighed by ``weights(fraction)``."""
    floor = tf.floor(x)
    taps = []
    for offset, weight in zip(offsets, weights(x - floor), strict=True):
        at, counts = place(floor + offset, axis)
        index = tf.clip_by_value(tf.cast(at, tf.int32), 0, length - 1)
        taps.append(Tap(index, weight if counts is None else tf.where(counts, weight, tf.zeros_like(weight))))
    return taps


def blended(flat: tf.Tensor, sizes: Sequence[Size], taps: Sequence[Sequence[Tap]]) -> tf.Tensor:
    """The sums over all neighbours.

    flat: (batch…, channels, product of sizes); the taps of each axis: (batch…, points).
    Result: (batch…, channels, points).
    """
    total = None
    for corner in itertools.product(*taps):
        index, weight = corner[0].index, corner[0].weight
        for tap, size in zip(corner[1:], sizes[1:], strict=True):
            index, weight = index * size + tap.index, weight * tap.weight
        value = tf.gather(flat, index, axis=flat.shape.rank - 1, batch_dims=flat.shape.rank - 2)
        value = value * tf.expand_dims(tf.cast(weight, flat.dtype), -2)
        total = value if total is None else total + value
    return total


def linear_weights(t: tf.Tensor) -> list[tf.Tensor]:
    """Weights of the neighbours at 0 and 1 from the floor."""
    return [1 - t, t]


def cubic_weights(t: tf.Tensor) -> list[tf.Tensor]:
    """Weights of the neighbours at -1, 0, 1 and 2 from the floor: cubic convolution with a = -0.75."""
    a = -0.75

    def near(x: tf.Tensor) -> tf.Tensor:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: tf.Tensor) -> tf.Tensor:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]
