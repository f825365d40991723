"""Order among elements: the largest, the distinct, the boxes that win."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx_ir as ir
import torch

from isthmus.lower.contract import Host, Lowerings
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import NARROW_FLOATS, dim, dtype_of, host_scalar, positive
from isthmus.writers.torch.ops._dims import counts
from isthmus.writers.torch.ops._loops import while_loop
from isthmus.writers.torch.ops.index import taken

table = Lowerings()
lower, alias = table.lower, table.alias

_SIGN = -(2**63)


@lower("TopK", ignore=("sorted",))  # any order is allowed without it, so the sorted one is
def top_k(c, x, k: Host, *, largest, axis):
    """Of equal elements the one of the lower index comes first, which torch.topk does not promise."""
    axis = positive(axis, c.rank())
    ordered = torch.sort(x, dim=axis, descending=bool(largest), stable=True)
    count = host_scalar(k)
    return ordered.values.narrow(axis, 0, count), ordered.indices.narrow(axis, 0, count)


@lower("ArgMax")
def arg_max(c, x, *, axis, keepdims, select_last_index):
    return _arg(c, torch.argmax, x, axis, keepdims, select_last_index)


@lower("ArgMin")
def arg_min(c, x, *, axis, keepdims, select_last_index):
    return _arg(c, torch.argmin, x, axis, keepdims, select_last_index)


def _arg(c: Context, find: Callable[..., Any], x: Any, axis: int, keepdims: int, last: int) -> Any:
    """Both kernels tell the first of equal elements."""
    axis = positive(axis, c.rank())
    x = _comparable(c, x)
    found = find(x.flip(axis) if last else x, axis, keepdim=bool(keepdims))
    return dim(c, x, axis) - 1 - found if last else found


def _comparable(c: Context, x: Any) -> Any:
    """``x`` in a type that argmax knows, ordered as it is."""
    kind = c.dtype()
    if kind == ir.DataType.UINT64:
        return x.view(torch.int64) ^ _SIGN
    if kind in (ir.DataType.UINT16, ir.DataType.UINT32):
        return x.to(torch.int64)
    return x.to(torch.uint8) if kind == ir.DataType.BOOL else x


@lower("Unique")
def unique(c, x, *, axis, sorted):
    along = 0 if axis is None else positive(axis, c.rank())
    x = x.reshape([-1]) if axis is None else x
    if c.dtype() in (ir.DataType.COMPLEX64, ir.DataType.COMPLEX128):
        c.refuse("PyTorch does not order complex numbers")
    narrow = c.dtype() in NARROW_FLOATS
    x = x.to(torch.float32) if narrow else x
    found = torch.unique(x, return_inverse=True, return_counts=True, dim=along)
    values, inverse, counted = found[0], found[1], found[2]
    values = values.to(dtype_of(c.dtype())) if narrow else values
    if sorted and not (c.wants(1) or c.wants(2) or c.wants(3)):
        return values
    places = counts(0, x.size(along), x)
    first = torch.zeros_like(counted).scatter_reduce(0, inverse, places, "amin", include_self=False)
    if not sorted:
        order = torch.argsort(first)
        values, first, counted = taken(c, values, along, order), first[order], counted[order]
        inverse = torch.argsort(order)[inverse]
    return (values, first, inverse, counted)[: c.outputs]


@lower("NonMaxSuppression")
def non_max_suppression(
    c, boxes, scores, most: Host = None, iou_threshold=None, score_threshold=None, *, center_point_box
):
    """One row (batch, class, box) a kept box. A score equal to its threshold loses, an equal overlap does not.

    The boxes of all classes win in turns: the best one that is left, the one of the lower index among equals, then
    what overlaps it is out.
    """
    count = host_scalar(most) if most is not None else 0
    corners = boxes.unbind(-1)
    y1, x1, y2, x2 = (corners[i] for i in range(4))
    if center_point_box:
        x, y, w, h = y1, x1, y2, x2
        y1, x1, y2, x2 = y - h / 2, x - w / 2, y + h / 2, x + w / 2
    top, bottom = torch.minimum(y1, y2).unsqueeze(1), torch.maximum(y1, y2).unsqueeze(1)
    left, right = torch.minimum(x1, x2).unsqueeze(1), torch.maximum(x1, x2).unsqueeze(1)
    area = (bottom - top) * (right - left)
    least = float("-inf") if score_threshold is None else score_threshold.reshape([])
    allowed = 0.0 if iou_threshold is None else iou_threshold.reshape([])
    alive = scores > least
    turn = torch.full([], 0, dtype=torch.int64, device=scores.device)
    rank = torch.full_like(scores, -1, dtype=torch.int64)

    def goes_on(turn: Any, alive: Any, rank: Any) -> Any:
        return (turn < count) & alive.any()

    def step(turn: Any, alive: Any, rank: Any) -> list[Any]:
        best = torch.where(alive, scores, float("-inf")).argmax(2, keepdim=True)
        wins = alive & (counts(0, scores.size(2), scores) == best)

        def of_best(edge: Any) -> Any:
            return torch.gather(edge.expand_as(scores), 2, best)

        height = torch.minimum(bottom, of_best(bottom)) - torch.maximum(top, of_best(top))
        width = torch.minimum(right, of_best(right)) - torch.maximum(left, of_best(left))
        common = height.clamp_min(0) * width.clamp_min(0)
        overlaps = common / (area + of_best(area) - common) > allowed  # of empty boxes NaN, which is not above it
        out = wins | (overlaps & wins.any(2, keepdim=True))
        return [turn + 1, alive & ~out, torch.where(wins, turn, rank)]

    rank = while_loop(c, goes_on, step, [turn, alive, rank])[2]
    kept = torch.nonzero(rank >= 0)
    batch, label, box = kept[:, 0], kept[:, 1], kept[:, 2]
    place = (batch * scores.size(1) + label) * scores.size(2) + rank[batch, label, box]
    return kept[torch.argsort(place)]
