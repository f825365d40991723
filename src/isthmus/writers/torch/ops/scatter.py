"""Writing elements into a copy of a tensor, with every reduction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx_ir as ir
import torch

from isthmus.lower.contract import Host, Lowerings
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import dim, dims, dtype_of, positive
from isthmus.writers.torch.ops._dims import counts, moved, nonnegative, product
from isthmus.writers.torch.ops.index import as_indices

table = Lowerings()
lower, alias = table.lower, table.alias

_REDUCE = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}
_SIGN = -(2**63)


@lower("ScatterElements")
def scatter_elements(c, x, indices: Host, updates, *, reduction, axis):
    axis = positive(axis, c.rank())
    at = nonnegative(as_indices(c, indices, 1, x), dim(c, x, axis))
    if reduction == "none":
        return moved(c, lambda v, u: torch.scatter(v, axis, at, u), x, updates)
    return _reducible(c, reduction, lambda v, u, how: torch.scatter_reduce(v, axis, at, u, how), x, updates)


@lower("ScatterND")
def scatter_nd(c, x, indices: Host, updates, *, reduction):
    """Subscripts count negative indices from the end themselves."""
    depth = c.rank(1) - 1 + c.rank() - c.rank(2)  # how many axes an index spans
    at = as_indices(c, indices, 1, x)
    where = tuple(at[..., i] for i in range(depth))
    if reduction == "none":
        return moved(c, lambda v, u: torch.index_put(v, where, u), x, updates)
    lengths = dims(c, x)
    place: Any = 0
    for i in range(depth):
        place = place * lengths[i] + nonnegative(where[i], lengths[i])
    inner = product(lengths[depth:])
    rows = place.reshape([-1, 1]) * inner + counts(0, inner, x)

    def joined(v: Any, u: Any, how: str) -> Any:
        flat = torch.scatter_reduce(v.reshape([-1]), 0, rows.reshape([-1]), u.reshape([-1]), how)
        return flat.reshape(lengths)

    return _reducible(c, reduction, joined, x, updates)


def _reducible(c: Context, reduction: str, join: Callable[[Any, Any, str], Any], x: Any, updates: Any) -> Any:
    """``join`` in a type for which PyTorch has the kernel, back in the type of ``x``."""
    kind, how = c.dtype(), _REDUCE[reduction]
    if kind == ir.DataType.BOOL:  # or, and
        how = "amax" if reduction in ("add", "max") else "amin"
        return join(x.to(torch.uint8), updates.to(torch.uint8), how).to(torch.bool)
    if kind == ir.DataType.UINT64:
        wide = (x.view(torch.int64), updates.view(torch.int64))
        if reduction in ("add", "mul"):  # the same bits, modulo 2⁶⁴
            return join(*wide, how).view(torch.uint64)
        return (join(wide[0] ^ _SIGN, wide[1] ^ _SIGN, how) ^ _SIGN).view(torch.uint64)
    if kind in (ir.DataType.UINT16, ir.DataType.UINT32):
        return join(x.to(torch.int64), updates.to(torch.int64), how).to(dtype_of(kind))
    if kind.name.startswith("COMPLEX") and reduction in ("max", "min"):
        c.refuse("PyTorch does not order complex numbers")
    return join(x, updates, how)


@lower("TensorScatter")
def tensor_scatter(c, past, update, write_indices=None, *, mode, axis):
    """Position p of the cache takes update[p - w], where w is the batch row's write index."""
    rank = c.rank()
    axis = positive(axis, rank)
    length, written = dim(c, past, axis), dim(c, update, axis, 1)
    along = [-1 if i == axis else 1 for i in range(rank)]
    behind = counts(0, length, past).reshape(along)
    if write_indices is not None:
        behind = behind - write_indices.reshape([-1 if i == 0 else 1 for i in range(rank)])
    if mode == "circular":
        behind = behind % length
    inside = (behind >= 0) & (behind < written)
    source = behind.clamp(0, written - 1)
    return moved(
        c, lambda old, new: torch.where(inside, torch.gather(new, axis, source.expand_as(old)), old), past, update
    )
