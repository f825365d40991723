"""Finding values among keys known at conversion, by constants alone: a table would be a resource to restore."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

_BUCKETS = np.iinfo(np.int64).max


def index_of(x: tf.Tensor, keys: np.ndarray) -> tf.Tensor:
    """For each element of ``x`` the index of the first equal key, or -1; int64. ``keys`` is 1-D, NaN equals NaN.

    ``x`` and the keys are both strings, or both numbers; the keys are rounded to the type of ``x``.
    """
    if len(keys) == 0:
        return tf.fill(tf.shape(x), tf.constant(-1, tf.int64))
    if x.dtype == tf.string:
        return _of_strings(x, keys)
    given = keys.astype(x.dtype.as_numpy_dtype)
    wide = x if x.dtype in (tf.float32, tf.float64, tf.int32, tf.int64) else tf.cast(x, tf.int64)
    nan = np.flatnonzero(np.isnan(given)) if given.dtype.kind == "f" else np.array([], np.int64)
    numbers = np.flatnonzero(~np.isnan(given)) if given.dtype.kind == "f" else np.arange(len(given))
    found = _found(wide, given[numbers].astype(wide.dtype.as_numpy_dtype), numbers)
    if nan.size:
        found = tf.where(tf.math.is_nan(wide), tf.constant(nan[0], tf.int64), found)
    return found


def _of_strings(x: tf.Tensor, keys: np.ndarray) -> tf.Tensor:
    """Strings have no order in TensorFlow: their fingerprints have, and what they find is compared."""
    texts = keys.astype(object)
    with tf.init_scope():
        prints = tf.strings.to_hash_bucket_fast(tf.constant(texts, tf.string), _BUCKETS).numpy()
    if len(set(prints.tolist())) < len(set(texts.tolist())):  # two keys share a fingerprint
        equal = x[..., None] == tf.constant(texts, tf.string)
        first = tf.argmax(equal, axis=-1, output_type=tf.int64)
        return tf.where(tf.reduce_any(equal, axis=-1), first, -1)
    found = _found(tf.strings.to_hash_bucket_fast(x, _BUCKETS), prints, np.arange(len(texts)))
    candidate = tf.gather(tf.constant(texts, tf.string), tf.maximum(found, 0))
    return tf.where(candidate == x, found, -1)


def _found(x: tf.Tensor, keys: np.ndarray, places: np.ndarray) -> tf.Tensor:
    """``places`` of the keys equal to ``x``, the first of equal keys, or -1."""
    if len(keys) == 0:
        return tf.fill(tf.shape(x), tf.constant(-1, tf.int64))
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    # tf.searchsorted cannot tell the rows of no values
    before = tf.raw_ops.LowerBound(sorted_inputs=ordered[None, :], values=tf.reshape(x, [1, -1]), out_type=tf.int64)
    at = tf.minimum(tf.reshape(before, tf.shape(x)), len(keys) - 1)
    return tf.where(tf.gather(ordered, at) == x, tf.gather(places[order].astype(np.int64), at), -1)
