"""Finding numbers among keys known at conversion."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import call
from isthmus.writers.torch.ops._scores import picked

_SEARCHED = frozenset((ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.INT32, ir.DataType.INT64))


def index_of(c: Context, x: Any, keys: np.ndarray, dtype: ir.DataType) -> Any:
    """For each element of ``x``, numbers of ``dtype``, the index of the first equal key, or -1; int64.

    ``keys`` is 1-D, rounded to ``dtype``; NaN equals NaN.
    """
    given = keys.astype(dtype.numpy())
    wide = x if dtype in _SEARCHED else x.to(torch.int64)
    given = given if dtype in _SEARCHED else given.astype(np.int64)
    nan = np.flatnonzero(np.isnan(given)) if given.dtype.kind == "f" else np.array([], np.int64)
    numbers = np.flatnonzero(~np.isnan(given)) if given.dtype.kind == "f" else np.arange(len(given))
    found = _found(c, wide, given[numbers], numbers)
    return torch.where(torch.isnan(wide), int(nan[0]), found) if nan.size else found


def _found(c: Context, x: Any, keys: np.ndarray, places: np.ndarray) -> Any:
    """``places`` of the keys equal to ``x``, the first of equal keys, or -1."""
    if len(keys) == 0:
        return torch.full_like(x, -1, dtype=torch.int64)
    order = np.argsort(keys, kind="stable")
    ordered = torch.from_numpy(keys[order])
    at = call(c, torch.searchsorted, ordered, x.contiguous()).clamp_max(len(keys) - 1)
    return torch.where(picked(c, keys[order], at) == x, picked(c, places[order].astype(np.int64), at), -1)
