"""Strings: joined, split, normalised, matched, counted."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from isthmus.lower.contract import Lowerings
from isthmus.lower.grams import Grams, vocabulary
from isthmus.writers.tensorflow.ops._dims import with_rank
from isthmus.writers.tensorflow.ops._lookup import index_of

table = Lowerings()
lower, alias = table.lower, table.alias

_OWN_CASES = ("tr", "az", "lt", "el", "nl", "hy")
"""Languages whose casing differs from Unicode's default."""


@lower("StringConcat")
def string_concat(x, y):
    shape = tf.broadcast_dynamic_shape(tf.shape(x), tf.shape(y))
    return tf.strings.join([tf.broadcast_to(x, shape), tf.broadcast_to(y, shape)])


@lower("StringSplit")
def string_split(c, x, *, delimiter, maxsplit):
    """The parts of each string, filled with empty ones to the longest, and how many there are."""
    rank = c.rank()
    flat = tf.reshape(x, [-1])
    parts = _split(flat, delimiter or "", -1 if maxsplit is None else maxsplit)
    shape = tf.shape(x, out_type=tf.int64)
    counts = tf.reshape(parts.row_lengths(), shape)
    dense = parts.to_tensor("")
    rows = tf.reshape(dense, tf.concat([shape, [tf.shape(dense, out_type=tf.int64)[1]]], 0))
    return with_rank(rows, rank + 1), with_rank(counts, rank)


def _split(flat: tf.Tensor, delimiter: str, most: int) -> tf.RaggedTensor:
    flat = flat if delimiter else tf.strings.strip(flat)
    if most == 0:
        parts = tf.RaggedTensor.from_row_lengths(flat, tf.ones_like(flat, tf.int64))
    else:
        parts = tf.strings.split(flat, delimiter or None, maxsplit=most)
    # an empty string has no parts in ONNX and one in TensorFlow, which may also end the last with an empty one
    kept = tf.repeat(flat != "", parts.row_lengths()) if delimiter else parts.values != ""
    return tf.ragged.boolean_mask(parts, parts.with_values(kept))


@lower("RegexFullMatch")
def regex_full_match(x, *, pattern):
    return tf.strings.regex_full_match(x, pattern or "")


@lower("StringNormalizer")
def string_normalizer(c, x, *, case_change_action, is_case_sensitive, locale, stopwords):
    """Drop the stop words, then change the case. What is left of nothing is one empty string."""
    language = (locale or "en").replace("-", "_").split("_")[0].lower()
    if language in _OWN_CASES and (case_change_action != "NONE" or not is_case_sensitive):
        c.refuse(f"TensorFlow changes case by Unicode's default rules, not by those of locale {locale!r}")
    change = {"LOWER": _lower, "UPPER": _upper, "NONE": tf.identity}[case_change_action]
    if not stopwords:
        return change(x)
    words = tf.constant(list(stopwords))
    compared, against = (x, words) if is_case_sensitive else (_lower(x), _lower(words))
    kept = tf.reduce_all(compared[..., None] != against, axis=-1)
    if c.rank() == 2:  # [1, C]
        left = change(tf.boolean_mask(x, kept))[None, :]
        return tf.cond(tf.shape(left)[1] > 0, lambda: left, lambda: tf.constant([[""]]))
    left = change(tf.boolean_mask(x, kept))
    return tf.cond(tf.shape(left)[0] > 0, lambda: left, lambda: tf.constant([""]))


def _lower(x: tf.Tensor) -> tf.Tensor:
    return tf.strings.lower(x, encoding="utf-8")


def _upper(x: tf.Tensor) -> tf.Tensor:
    return tf.strings.upper(x, encoding="utf-8")


@lower("TfIdfVectorizer")
def tf_idf_vectorizer(
    c,
    x,
    *,
    max_gram_length,
    max_skip_count,
    min_gram_length,
    mode,
    ngram_counts,
    ngram_indexes,
    pool_int64s,
    pool_strings,
    weights,
):
    """Counts of n-grams whose items stand up to ``max_skip_count`` apart; [C] or [N, C] in, the counts' row out.

    Every item becomes its number in the pool's alphabet; an n-gram is found by going from prefix to prefix.
    """
    pool = pool_strings if pool_strings is not None else pool_int64s
    words = vocabulary(pool, ngram_counts, ngram_indexes, weights, (min_gram_length, max_gram_length))
    single = c.rank() == 1
    items = index_of(x[None, :] if single else x, words.alphabet)
    counts = tf.zeros(tf.stack([tf.shape(items)[0], words.width]), tf.float32)
    for grams in words.grams:
        for stride in grams.strides(max_skip_count):
            counts += _counted(items, grams, len(words.alphabet), stride, words.width)
    if mode == "IDF":
        counts = tf.where(counts > 0, words.weights, 0.0)
    elif mode == "TFIDF":
        counts = counts * words.weights
    return counts[0] if single else counts


def _counted(items: tf.Tensor, grams: Grams, letters: int, stride: int, width: int) -> tf.Tensor:
    """How often each gram occurs in each row of ``items``, its items ``stride`` apart: float32 [rows, width]."""
    keys, columns = grams.prefixes(letters)
    length = tf.maximum(tf.shape(items)[1] - (grams.length - 1) * stride, 0)
    state: Any = None
    for place, known in enumerate(keys):
        letter = items[:, place * stride : place * stride + length]
        key = letter if state is None else tf.where((state >= 0) & (letter >= 0), state * letters + letter, -1)
        state = index_of(key, known)
    found = tf.where(state >= 0, tf.gather(columns, tf.maximum(state, 0)), width)
    return tf.reduce_sum(tf.one_hot(found, width, dtype=tf.float32), axis=1)
