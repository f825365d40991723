"""Arithmetic on sizes that may be symbolic, indices as tensors, and moving elements of any type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import call, held_dtype

BITS: dict[ir.DataType, torch.dtype] = {
    ir.DataType.UINT16: torch.int16,
    ir.DataType.UINT32: torch.int32,
    ir.DataType.UINT64: torch.int64,
    ir.DataType.FLOAT8E4M3FN: torch.uint8,
    ir.DataType.FLOAT8E4M3FNUZ: torch.uint8,
    ir.DataType.FLOAT8E5M2: torch.uint8,
    ir.DataType.FLOAT8E5M2FNUZ: torch.uint8,
    ir.DataType.FLOAT8E8M0: torch.uint8,
    ir.DataType.FLOAT4E2M1: torch.uint8,  # held in 8 bits
}
"""Types that few of PyTorch's kernels know, each with one of the same width that all of them know."""


def is_known(value: Any) -> bool:
    """Whether a ``Host`` operand is an array of ints and symbolic ints rather than a tensor of a run."""
    return isinstance(value, np.ndarray)


def product(values: Sequence[Any]) -> Any:
    """The product of sizes, of which each may be an int or symbolic."""
    total: Any = 1
    for value in values:
        total = value if isinstance(total, int) and total == 1 else total * value
    return total


def smaller(a: Any, b: Any) -> Any:
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else torch.sym_min(a, b)


def larger(a: Any, b: Any) -> Any:
    return max(a, b) if isinstance(a, int) and isinstance(b, int) else torch.sym_max(a, b)


def tensor_of(c: Context, values: Sequence[Any]) -> Any:
    """Sizes as a vector of int64."""
    return call(c, torch.tensor, list(values), dtype=torch.int64)


def counts(start: Any, stop: Any, like: Any) -> Any:
    """``start … stop-1`` as int64, on the device of ``like``."""
    return torch.arange(start, stop, device=like.device)


def moved(c: Context, move: Callable[..., Any], *tensors: Any, index: int = 0) -> Any:
    """``move(*tensors)``, a function that only carries elements about, of the type of input ``index``.

    Types without kernels are carried as their bits.
    """
    bits = BITS.get(c.dtype(index))
    if bits is None:
        return move(*tensors)
    return move(*(tensor.view(bits) for tensor in tensors)).view(held_dtype(c.dtype(index)))


_LITERAL = 16
"""Longer arrays become buffers; shorter ones are read in the source."""


def index_tensor(values: np.ndarray, like: Any) -> Any:
    """Known indices as an int64 tensor."""
    values = np.asarray(values, np.int64)
    if values.size > _LITERAL:
        return torch.from_numpy(values.copy())
    return torch.tensor(values.tolist(), dtype=torch.int64, device=like.device)


def nonnegative(indices: Any, length: Any) -> Any:
    """Indices counted from the front: what ``indices`` counts from the end of an axis of ``length`` is moved."""
    return torch.where(indices < 0, indices + length, indices)
