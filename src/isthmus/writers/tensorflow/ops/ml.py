"""ai.onnx.ml without trees and support vectors: linear models, scaling, encoding of categories.

TensorFlow has no maps. A ``ZipMap``, which only pairs each column of a score matrix with its label, gives that
matrix: [N, labels] in the order of its ``classlabels``. The operators that read maps are refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from isthmus.lower.contract import Lowerings
from isthmus.lower.encoding import Forms, keys_and_values
from isthmus.lower.scores import ML
from isthmus.writers.tensorflow.backend import dtype_of
from isthmus.writers.tensorflow.ops._lookup import index_of
from isthmus.writers.tensorflow.ops._scores import labels_of, rows_of, transformed, two_classes

table = Lowerings()


@table.lower("LinearClassifier", domain=ML, ignore=("multi_class",))  # ONNX Runtime ignores it as well
def linear_classifier(c, x, *, classlabels_ints, classlabels_strings, coefficients, intercepts, post_transform):
    labels = labels_of(c, classlabels_ints, classlabels_strings)
    rows = rows_of(x)
    classes = len(intercepts) if intercepts else int(labels.shape[0])
    # as in ONNX Runtime the width is the input's: scikit-learn's iris example, for one, carries more than it needs
    weights = np.array(coefficients[: classes * rows.shape[1]] if rows.shape[1] else coefficients, np.float32)
    scores = tf.matmul(rows, weights.reshape(classes, -1), transpose_b=True)
    if intercepts:
        scores = scores + np.array(intercepts, np.float32)
    if classes == 1 and labels.shape[0] == 2:
        if post_transform == "PROBIT":
            c.refuse("ONNX defines no probit of two classes that share one score")
        return tf.gather(labels, tf.cast(scores[:, 0] > 0, tf.int32)), two_classes(scores, post_transform)
    return tf.gather(labels, tf.argmax(scores, axis=1)), transformed(scores, post_transform)


@table.lower("LinearRegressor", domain=ML)
def linear_regressor(x, *, coefficients, intercepts, post_transform, targets):
    weights = np.array(coefficients, np.float32).reshape(targets, -1)
    scores = tf.matmul(rows_of(x), weights, transpose_b=True)
    if intercepts:
        scores = scores + np.array(intercepts, np.float32)
    return transformed(scores, post_transform)


@table.lower("Normalizer", domain=ML)
def normalizer(x, *, norm):
    """Over the last axis. A row whose norm is zero stays; MAX is the largest element, not the largest magnitude."""
    x = tf.cast(x, tf.float32)
    if norm == "MAX":
        size = tf.reduce_max(x, axis=-1, keepdims=True)
    elif norm == "L1":
        size = tf.reduce_sum(tf.abs(x), axis=-1, keepdims=True)
    else:
        size = tf.sqrt(tf.reduce_sum(x * x, axis=-1, keepdims=True))
    return tf.where(size == 0, x, x / tf.where(size == 0, 1.0, size))


@table.lower("Scaler", domain=ML)
def scaler(x, *, offset, scale):
    x = tf.cast(x, tf.float32)
    x = x if offset is None else x - np.array(offset, np.float32)
    return x if scale is None else x * np.array(scale, np.float32)


@table.lower("Imputer", domain=ML)
def imputer(c, x, *, imputed_value_floats, imputed_value_int64s, replaced_value_float, replaced_value_int64):
    floating = x.dtype.is_floating
    values, old = (
        (imputed_value_floats, replaced_value_float) if floating else (imputed_value_int64s, replaced_value_int64)
    )
    if not values:
        c.refuse(f"it has no values to impute for {x.dtype.name}")
    missing = tf.math.is_nan(x) if floating and np.isnan(old) else x == tf.constant(old, x.dtype)
    return tf.where(missing, tf.constant(np.array(values).astype(x.dtype.as_numpy_dtype)), x)


@table.lower("Binarizer", domain=ML)
def binarizer(x, *, threshold):
    above = x > tf.cast(threshold, x.dtype) if x.dtype.is_floating else tf.cast(x, tf.float64) > threshold
    return tf.cast(above, x.dtype)


@table.lower("LabelEncoder", domain=ML)
def label_encoder(
    c,
    x,
    *,
    default_float,
    default_int64,
    default_string,
    default_tensor,
    keys_floats,
    keys_int64s,
    keys_strings,
    keys_tensor,
    values_floats,
    values_int64s,
    values_strings,
    values_tensor,
):
    target = dtype_of(c.output_dtype())
    keys, values = keys_and_values(
        c,
        Forms(keys_tensor, keys_strings, keys_int64s, keys_floats),
        Forms(values_tensor, values_strings, values_int64s, values_floats),
    )
    if default_tensor is not None:
        default = default_tensor.reshape(-1)[0]
    elif target == tf.string:
        default = default_string
    else:
        default = default_float if target.is_floating else default_int64
    return _mapped(x, keys, values, default, target)


def _mapped(x: tf.Tensor, keys: np.ndarray, values: np.ndarray, default: Any, dtype: tf.DType) -> tf.Tensor:
    """The value of each element's key, or ``default``."""
    found = index_of(x, keys)
    kind = object if dtype == tf.string else dtype.as_numpy_dtype
    choices = tf.constant(np.append(np.array(values, kind), np.array([default], kind)), dtype)
    return tf.gather(choices, tf.where(found < 0, tf.constant(len(values), tf.int64), found))


@table.lower("CategoryMapper", domain=ML)
def category_mapper(x, *, cats_int64s, cats_strings, default_int64, default_string):
    if x.dtype == tf.string:
        return _mapped(x, np.array(cats_strings), np.array(cats_int64s), default_int64, tf.int64)
    return _mapped(x, np.array(cats_int64s), np.array(cats_strings), default_string, tf.string)


@table.lower("OneHotEncoder", domain=ML)
def one_hot_encoder(x, *, cats_int64s, cats_strings, zeros):
    """One more axis, hot at the element's category. Without ``zeros`` an unknown category fails the run."""
    categories = np.array(cats_strings if cats_strings else cats_int64s)
    found = index_of(x if x.dtype == tf.string else tf.cast(x, tf.int64), categories)
    if not zeros:
        check = tf.debugging.assert_non_negative(found, "OneHotEncoder: an unknown category, and zeros=0")
        with tf.control_dependencies([check] if check is not None else []):
            found = tf.identity(found)
    return tf.one_hot(found, len(categories), dtype=tf.float32)


@table.lower("ArrayFeatureExtractor", domain=ML)
def array_feature_extractor(x, y):
    columns = tf.reshape(y, [-1])
    return tf.gather(x[None, :] if x.shape.rank == 1 else x, columns, axis=-1)


@table.lower("FeatureVectorizer", domain=ML)
def feature_vectorizer(*xs, inputdimensions):
    """Columns side by side, each input cut or filled with zeros to its declared width."""
    widths = inputdimensions if inputdimensions is not None else [None] * len(xs)
    return tf.concat([_wide(rows_of(x), width) for x, width in zip(xs, widths, strict=True)], axis=1)


def _wide(x: tf.Tensor, width: int | None) -> tf.Tensor:
    if width is None or x.shape[1] == width:
        return x
    cut = x[:, :width]
    return tf.pad(cut, [[0, 0], [0, width - tf.shape(cut)[1]]])


@table.lower("ZipMap", domain=ML)
def zip_map(c, x, *, classlabels_int64s, classlabels_strings):
    """The scores [N, labels], columns in the order of the labels; ONNX Runtime's maps list sorted labels."""
    labels = list(classlabels_strings or classlabels_int64s or ())
    if labels != sorted(set(labels)):
        c.refuse("TensorFlow has no maps, and the labels are not in the order in which a matrix could stand for them")
    return x[None, :] if x.shape.rank == 1 else x


@table.lower("CastMap", domain=ML, ignore=("cast_to", "map_form", "max_map"))
def cast_map(c, x):
    c.refuse("TensorFlow has no maps")


@table.lower("DictVectorizer", domain=ML, ignore=("int64_vocabulary", "string_vocabulary"))
def dict_vectorizer(c, x):
    c.refuse("TensorFlow has no maps")
