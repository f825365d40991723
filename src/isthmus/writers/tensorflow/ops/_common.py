"""What many rooms need: computing through a wider type, axes, and sizes that may be free."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from isthmus.types import Dim
from isthmus.writers.tensorflow.narrow import (
    NARROW_INTS,
    is_narrow,
    narrow_float,
    narrow_int,
    wide_type,
    widen,
)

FLOATS = frozenset((tf.float32, tf.float64))
"""The floating types that every kernel has."""
HALVES = frozenset((tf.float16, tf.bfloat16))
INTS = frozenset((tf.int32, tf.int64))
"""The integer types that every arithmetic kernel has."""
UNSIGNED = frozenset((tf.uint8, tf.uint16, tf.uint32, tf.uint64))

_WIDER: dict[tf.DType, tuple[tf.DType, ...]] = {
    tf.float16: (tf.float32, tf.float64),
    tf.bfloat16: (tf.float32, tf.float64),
    tf.float32: (tf.float64,),
    tf.bool: (tf.int32, tf.int64),
    tf.int8: (tf.int32, tf.int64),
    tf.uint8: (tf.int32, tf.int64),
    tf.int16: (tf.int32, tf.int64),
    tf.uint16: (tf.int32, tf.int64),
    tf.int32: (tf.int64,),
    tf.uint32: (tf.int64,),
    tf.uint64: (tf.int64,),
}


def in_wider(compute: Callable[..., Any], *tensors: tf.Tensor, supported: Collection[tf.DType]) -> tf.Tensor:
    """``compute(*tensors)`` through the nearest wider type among ``supported``, and back to the first one's type.

    Exact for sums, products and bit operations, wrap-around included. uint64 goes through the bits of int64: right
    modulo 2⁶⁴, not for division, order or conversion to floating point. Raises TypeError where none is wide enough.
    """
    dtype = tensors[0].dtype
    if dtype in supported:
        return compute(*tensors)
    wide = next((t for t in _candidates(dtype) if t in supported), None)
    if wide is None:
        raise TypeError(f"TensorFlow has no kernel for {dtype.name}, nor for a wider type")
    return convert(compute(*(convert(t, wide) for t in tensors)), dtype)


def convert(x: tf.Tensor, dtype: tf.DType, *, saturate: bool = True) -> tf.Tensor:
    """``x`` as another numeric type, narrow ones included; ``saturate`` counts for narrow floats."""
    if x.dtype == dtype:
        return x
    if is_narrow(x.dtype):
        return convert(widen(x), dtype, saturate=saturate)
    if dtype in NARROW_INTS:
        return narrow_int(x if x.dtype.is_integer else tf.cast(x, tf.int32), dtype)
    if is_narrow(dtype):
        return narrow_float(tf.cast(x, tf.float32), dtype, saturate=saturate)
    if {x.dtype, dtype} == {tf.int64, tf.uint64}:
        return tf.bitcast(x, dtype)
    return tf.cast(x, dtype)


def _candidates(dtype: tf.DType) -> tuple[tf.DType, ...]:
    return (wide_type(dtype), *_WIDER.get(wide_type(dtype), ())) if is_narrow(dtype) else _WIDER.get(dtype, ())


def dim(x: tf.Tensor, axis: int) -> Any:
    """The size of an axis: an int where it is known, else a scalar int32 tensor."""
    size = x.shape[axis] if x.shape.rank is not None else None
    return tf.shape(x)[axis] if size is None else size


def dims(x: tf.Tensor) -> list[Any]:
    """The sizes of all axes, each an int where it is known. The rank must be known."""
    if x.shape.is_fully_defined():
        return list(x.shape)
    sizes = tf.shape(x)
    return [sizes[i] if d is None else d for i, d in enumerate(x.shape)]


def positive(axis: int, rank: int) -> int:
    """An axis counted from the front."""
    return axis + rank if axis < 0 else axis


def scalar(value: Any, dtype: tf.DType = tf.int32) -> Any:
    """A Host input of one element, of shape () or (1): a Python number where known, else a 0-d tensor."""
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value).reshape(-1)[0].item()
    return tf.cast(tf.reshape(value, []), dtype)


def permuted(x: tf.Tensor, axis: int, to: int = -1) -> tuple[tf.Tensor, list[int] | None]:
    """Move an axis, and the permutation that moves it back (None where nothing moved)."""
    rank = x.shape.rank
    axis, to = positive(axis, rank), positive(to, rank)
    if axis == to:
        return x, None
    order = [i for i in range(rank) if i != axis]
    order.insert(to, axis)
    return tf.transpose(x, order), [order.index(i) for i in range(rank)]


def restored(x: tf.Tensor, back: list[int] | None) -> tf.Tensor:
    """Undo ``permuted``."""
    return x if back is None else tf.transpose(x, back)


def shaped(x: tf.Tensor, shape: Sequence[Dim] | None) -> tf.Tensor:
    """``x`` with what the hub knows of its shape, where TensorFlow lost it."""
    if shape is not None:
        x.set_shape([d if isinstance(d, int) else None for d in shape]) if not tf.executing_eagerly() else None
    return x
