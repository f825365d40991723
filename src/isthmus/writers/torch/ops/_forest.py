"""Decision trees as constant tensors: every row walks down every tree at once, one level a step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from isthmus.lower.forest import MODES, Forest
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._scores import picked

_COMPARE = {
    "BRANCH_LEQ": torch.le,
    "BRANCH_LT": torch.lt,
    "BRANCH_GTE": torch.ge,
    "BRANCH_GT": torch.gt,
    "BRANCH_EQ": torch.eq,
    "BRANCH_NEQ": torch.ne,
}


def leaves(c: Context, forest: Forest, x: Any, dtype: Any) -> Any:
    """The leaf of each row of ``x`` [N, C], of numpy's ``dtype``, in each tree: [N, trees] int64."""
    at = picked(c, forest.roots[None, :], torch.zeros_like(x[:, 0], dtype=torch.int64))
    for _ in range(forest.depth()):
        given = torch.gather(x, 1, picked(c, forest.features, at))
        goes = _goes(c, forest, given, at, dtype)
        if forest.nan_is_true.any():
            goes = goes | (torch.isnan(given) & picked(c, forest.nan_is_true, at))
        at = torch.where(goes, picked(c, forest.true, at), picked(c, forest.false, at))
    return picked(c, np.cumsum(forest.is_leaf) - 1, at)


def _goes(c: Context, forest: Forest, given: Any, at: Any, dtype: Any) -> Any:
    """Whether the branch at each node is taken."""
    limit = picked(c, forest.values.astype(dtype), at)
    used = [mode for mode in MODES if mode != "LEAF" and (forest.modes == mode).any()]
    answers = [_compared(c, forest, mode, given, limit, at, dtype) for mode in used]
    answer = answers[0]
    for mode, other in zip(used[1:], answers[1:], strict=True):
        answer = torch.where(picked(c, forest.modes == mode, at), other, answer)
    return answer


def _compared(c: Context, forest: Forest, mode: str, given: Any, limit: Any, at: Any, dtype: Any) -> Any:
    if mode != "BRANCH_MEMBER":
        return _COMPARE[mode](given, limit)
    assert forest.sets is not None
    return (given.unsqueeze(-1) == picked(c, forest.sets.astype(dtype), at)).any(-1)


def summed(c: Context, at: Any, rows: np.ndarray) -> Any:
    """The sum over trees [N, targets] of a constant's rows."""
    return picked(c, rows, at).sum(1)
