"""ai.onnx.ml without trees and support vectors: linear models, scaling, encoding of categories.

PyTorch has no maps. A ``ZipMap``, which only pairs each column of a score matrix with its label, gives that matrix:
[N, labels] in the order of its ``classlabels``. The operators that read maps are refused, and so are strings.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import torch
import torch.nn.functional as F

from isthmus.lower.contract import Lowerings
from isthmus.lower.encoding import Forms, keys_and_values
from isthmus.lower.scores import ML
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import dtype_of
from isthmus.writers.torch.ops._lookup import index_of
from isthmus.writers.torch.ops._scores import labels_of, picked, row_of, rows_of, transformed, two_classes

table = Lowerings()


@table.lower("LinearClassifier", domain=ML, ignore=("multi_class",))  # ONNX Runtime ignores it as well
def linear_classifier(c, x, *, classlabels_ints, classlabels_strings, coefficients, intercepts, post_transform):
    labels = labels_of(c, classlabels_ints, classlabels_strings)
    rows, width = rows_of(c, x), c.shape()[-1]
    classes = len(intercepts) if intercepts else len(labels)
    # as in ONNX Runtime the width is the input's: scikit-learn's iris example, for one, carries more than it needs
    weights = row_of(coefficients[: classes * width] if isinstance(width, int) and width else coefficients)
    scores = F.linear(rows, weights.reshape(classes, -1), row_of(intercepts) if intercepts else None)
    if classes == 1 and len(labels) == 2:
        if post_transform == "PROBIT":
            c.refuse("ONNX defines no probit of two classes that share one score")
        label = picked(c, labels, (scores[:, 0] > 0).to(torch.int64))
        return label, two_classes(scores, post_transform)
    return picked(c, labels, torch.argmax(scores, 1)), transformed(scores, post_transform)


@table.lower("LinearRegressor", domain=ML)
def linear_regressor(c, x, *, coefficients, intercepts, post_transform, targets):
    weights = row_of(coefficients).reshape(targets, -1)
    scores = F.linear(rows_of(c, x), weights, row_of(intercepts) if intercepts else None)
    return transformed(scores, post_transform)


@table.lower("Normalizer", domain=ML)
def normalizer(x, *, norm):
    """Over the last axis. A row whose norm is zero stays; MAX is the largest element, not the largest magnitude."""
    x = x.to(torch.float32)
    if norm == "MAX":
        size = x.amax(-1, keepdim=True)
    elif norm == "L1":
        size = torch.abs(x).sum(-1, keepdim=True)
    else:
        size = torch.sqrt((x * x).sum(-1, keepdim=True))
    return torch.where(size == 0, x, x / torch.where(size == 0, 1.0, size))


@table.lower("Scaler", domain=ML)
def scaler(x, *, offset, scale):
    x = x.to(torch.float32)
    x = x if offset is None else x - row_of(offset)
    return x if scale is None else x * row_of(scale)


@table.lower("Imputer", domain=ML)
def imputer(c, x, *, imputed_value_floats, imputed_value_int64s, replaced_value_float, replaced_value_int64):
    floating = c.dtype().is_floating_point()
    values, old = (
        (imputed_value_floats, replaced_value_float) if floating else (imputed_value_int64s, replaced_value_int64)
    )
    if not values:
        c.refuse(f"it has no values to impute for {c.dtype().name.lower()}")
    old = np.array(old).astype(c.dtype().numpy()).item()
    missing = torch.isnan(x) if floating and np.isnan(old) else x == old
    return torch.where(missing, row_of(values, c.dtype().numpy()), x)


@table.lower("Binarizer", domain=ML)
def binarizer(c, x, *, threshold):
    above = x > np.array(threshold, c.dtype().numpy()).item() if c.dtype().is_floating_point() else x > threshold
    return above.to(dtype_of(c.dtype()))


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
    keys, values = keys_and_values(
        c,
        Forms(keys_tensor, keys_strings, keys_int64s, keys_floats),
        Forms(values_tensor, values_strings, values_int64s, values_floats),
    )
    if keys.dtype.kind not in "iufb" or values.dtype.kind not in "iufb":
        c.refuse("PyTorch has no string tensors")
    if default_tensor is not None:
        default = default_tensor.reshape(-1)[0]
    else:
        default = default_float if c.output_dtype().is_floating_point() else default_int64
    found = index_of(c, x, keys, c.dtype())
    choices = np.append(values, default).astype(c.output_dtype().numpy())
    return picked(c, choices, torch.where(found < 0, len(values), found))


@table.lower("CategoryMapper", domain=ML, ignore=("cats_int64s", "cats_strings", "default_int64", "default_string"))
def category_mapper(c, x):
    c.refuse("PyTorch has no string tensors, and one side of its mapping is strings")


@table.lower("OneHotEncoder", domain=ML)
def one_hot_encoder(c, x, *, cats_int64s, cats_strings, zeros):
    """One more axis, hot at the element's category. Without ``zeros`` an unknown category fails the run."""
    if cats_strings:
        c.refuse("PyTorch has no string tensors, and its categories are strings")
    categories = np.array(cats_int64s, np.int64)
    found = index_of(c, x.to(torch.int64), categories, ir.DataType.INT64)
    if not zeros:
        torch._assert_async((found >= 0).all(), "OneHotEncoder: an unknown category, and zeros=0")
    return (found.unsqueeze(-1) == row_of(range(len(categories)), np.int64)).to(torch.float32)


@table.lower("ArrayFeatureExtractor", domain=ML)
def array_feature_extractor(c, x, y):
    return (x.unsqueeze(0) if c.rank() == 1 else x)[..., y.reshape([-1])]


@table.lower("FeatureVectorizer", domain=ML)
def feature_vectorizer(c, *xs, inputdimensions):
    """Columns side by side, each input cut or filled with zeros to its declared width."""
    widths = inputdimensions if inputdimensions is not None else [None] * len(xs)
    return torch.cat([_wide(c, x, i, width) for i, (x, width) in enumerate(zip(xs, widths, strict=True))], 1)


def _wide(c: Context, x: Any, index: int, width: int | None) -> Any:
    x = x.to(torch.float32)
    x = x.unsqueeze(0) if c.rank(index) == 1 else x
    given = c.shape(index)[-1]
    if width is None or given == width:
        return x
    return F.pad(x, [0, width])[:, :width] if not isinstance(given, int) else F.pad(x, [0, width - given])


@table.lower("ZipMap", domain=ML)
def zip_map(c, x, *, classlabels_int64s, classlabels_strings):
    """The scores [N, labels], columns in the order of the labels; ONNX Runtime's maps list sorted labels."""
    labels = list(classlabels_strings or classlabels_int64s or ())
    if labels != sorted(set(labels)):
        c.refuse("PyTorch has no maps, and the labels are not in the order in which a matrix could stand for them")
    return x.unsqueeze(0) if c.rank() == 1 else x


@table.lower("CastMap", domain=ML, ignore=("cast_to", "map_form", "max_map"))
def cast_map(c, x):
    c.refuse("PyTorch has no maps")


@table.lower("DictVectorizer", domain=ML, ignore=("int64_vocabulary", "string_vocabulary"))
def dict_vectorizer(c, x):
    c.refuse("PyTorch has no maps")
