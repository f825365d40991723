"""Tensors as Python source: in full, by a rule, or empty where their content comes with the weights."""

from __future__ import annotations

import math
from typing import Any

import torch

from isthmus.writers.torch.numerals import shortest


def tensor_text(tensor: torch.Tensor) -> str:
    """``torch.empty`` for a tensor whose content comes with the weights."""
    sizes = ", ".join(str(d) for d in tensor.shape) or "()"
    return f"torch.empty({sizes}{_dtype(tensor.dtype, torch.float32)})"


def literal_text(tensor: torch.Tensor) -> str | None:
    """A tensor that is small or follows a simple rule in full, or None where there is no such text."""
    if tensor.numel() == 0 or tensor.dtype not in _LITERAL:
        return None
    if tensor.dtype.is_floating_point and not bool(torch.isfinite(tensor).all()):
        return None
    if tensor.numel() > _MOST:
        return _rule_text(tensor)
    usual = _USUAL[tensor.dtype.is_floating_point]
    usual = torch.bool if tensor.dtype is torch.bool else usual
    return f"torch.tensor({_rounded(tensor.tolist(), tensor.dtype)!a}{_dtype(tensor.dtype, usual)})"


_MOST = 16
"""So many numbers are written one by one."""

_LITERAL = frozenset(
    {
        *(torch.float32, torch.float64, torch.bool),
        *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
    }
)
"""Types whose values Python's numbers say exactly."""

_USUAL = {True: torch.float32, False: torch.int64}


def _rule_text(tensor: torch.Tensor) -> str | None:
    """``torch.arange``, ``torch.full``, or a triangle of ones, where that gives the very same tensor."""
    shape, dtype, first = tuple(tensor.shape), tensor.dtype, tensor.reshape(-1)[0].item()
    spelling = _dtype(dtype, _USUAL[dtype.is_floating_point])
    if bool((tensor == first).all()) and not torch.signbit(tensor).any():
        return f"torch.full({shape}, {_rounded(first, dtype)!a}{_dtype(dtype, _natural(first))})"
    longest = max(shape)
    if math.prod(shape) == longest and _counts(tensor):
        count = f"torch.arange({longest}{spelling})"
        return count if len(shape) == 1 else f"{count}.reshape({', '.join(map(str, shape))})"
    if len(shape) >= 2 and shape[-1] == shape[-2] == math.isqrt(tensor.numel()):
        square = torch.ones(shape, dtype=dtype)
        for end in ("tril", "triu"):
            if torch.equal(getattr(square, end)(), tensor):
                ones = ", ".join(map(str, shape))
                return f"torch.ones({ones}{_dtype(dtype, torch.float32)}).{end}()"
    return None


def _natural(value: object) -> torch.dtype:
    """The type that ``torch.full`` gives a Python number."""
    return torch.bool if isinstance(value, bool) else _USUAL[isinstance(value, float)]


def _counts(tensor: torch.Tensor) -> bool:
    """Whether a tensor has 0, 1, 2…"""
    if tensor.dtype is torch.bool:
        return False
    largest = 1 << 24 if tensor.dtype.is_floating_point else torch.iinfo(tensor.dtype).max
    count = tensor.numel()
    return count - 1 <= largest and torch.equal(tensor.reshape(-1), torch.arange(count, dtype=tensor.dtype))


def _rounded(values: Any, dtype: torch.dtype) -> Any:
    """Floats as short as their type allows."""
    if isinstance(values, list):
        return [_rounded(value, dtype) for value in values]
    return shortest(values) if dtype is torch.float32 else values


def _dtype(dtype: torch.dtype, usual: torch.dtype) -> str:
    return "" if dtype is usual else f", dtype={dtype}"
