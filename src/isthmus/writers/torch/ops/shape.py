"""The shape of a tensor: asking for it, changing it, joining and splitting."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F

from isthmus.hub.model import is_detached
from isthmus.lower.contract import Host, Lowerings
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import call, dim, dims, from_front, has_rank, host_list, length_of, positive
from isthmus.writers.torch.ops._dims import is_known, larger, product, smaller, tensor_of

table = Lowerings()
lower, alias = table.lower, table.alias


@lower("Shape")
def shape(c, x, *, start, end):
    """Bounds are clamped as Python clamps them."""
    return tensor_of(c, dims(c, x)[start:end]) if has_rank(c, x) else _sizes(c, x)[start:end]


def _sizes(c: Context, x: Any) -> Any:
    """The shape of a tensor as a vector of int64, also where only a run tells its rank."""
    return tensor_of(c, dims(c, x)) if has_rank(c, x) else call(c, torch.tensor, x.size(), dtype=torch.int64)


def _elements(c: Context, x: Any) -> Any:
    """How many elements a tensor has."""
    return product(dims(c, x)) if has_rank(c, x) else x.numel()


@lower("Size")
def size(c, x):
    return call(c, torch.tensor, _elements(c, x), dtype=torch.int64)


@lower("Identity")
def identity(c, x):
    return x.detach() if is_detached(c.node) else x


@lower("Reshape")
def reshape(c, x, shape: Host, *, allowzero):
    """A zero copies the input's dimension unless ``allowzero``; -1 takes what is left."""
    if is_known(shape):
        wanted = host_list(c, shape, len(shape))
        if not allowzero:
            wanted = [dim(c, x, i) if isinstance(w, int) and w == 0 else w for i, w in enumerate(wanted)]
        return x.reshape(_settled(c, wanted) if has_rank(c, x) else wanted)
    if not allowzero:
        own = _sizes(c, x)
        rank = c.rank() if has_rank(c, x) else own.size(0)
        # A zero takes the size that stands at its own place.
        shape = torch.where(shape == 0, F.pad(own, [0, dim(c, shape, 0, 1) - rank]), shape)
    length = c.shape(1)[0]
    if not isinstance(length, int):
        return x.reshape(shape.tolist())
    rest = _elements(c, x) // (-shape.prod()).clamp_min(1)  # what -1 stands for, so that no size is negative
    return x.reshape(host_list(c, torch.where(shape == -1, rest, shape), length))


def _settled(c: Context, wanted: list[Any]) -> list[Any]:
    """``wanted`` without a -1 where it can be told, so that an empty tensor may be reshaped too."""
    known = c.shape()
    others = [w for w in wanted if not (isinstance(w, int) and w == -1)]
    if len(others) == len(wanted) or not all(isinstance(d, int) for d in (*known, *others)) or 0 in others:
        return wanted
    left = math.prod(d for d in known if isinstance(d, int)) // math.prod(others)
    return [left if isinstance(w, int) and w == -1 and left == 0 else w for w in wanted]


@lower("Flatten")
def flatten(c, x, *, axis):
    rank = c.rank()
    axis = positive(axis, rank)
    if axis == 1 and rank > 1:
        return x.flatten(1)
    lengths = dims(c, x)
    return x.reshape([product(lengths[:axis]), product(lengths[axis:])])


@lower("Squeeze")
def squeeze(c, x, axes: Host = None):
    if axes is None:
        return x.squeeze()
    if not is_known(axes):
        return _squeezed_at_run_time(c, x, axes)
    gone = sorted({from_front(c, int(a)) for a in axes.reshape(-1)})
    if any(length_of(c, a) not in (None, 1) for a in gone):
        c.refuse(f"an axis of {gone} does not have length 1")
    return x.squeeze(gone[0] if len(gone) == 1 else gone) if gone else x


def _squeezed_at_run_time(c: Context, x: Any, axes: Any) -> Any:
    """``x`` without the axes that a tensor names."""
    length = 1 if c.rank(1) == 0 else c.shape(1)[0]
    if not isinstance(length, int):
        return x.squeeze(axes.tolist())
    gone = torch.zeros([c.rank()], dtype=torch.int64, device=axes.device)
    gone = gone.index_fill(0, axes.reshape([-1]) % c.rank(), 1)
    kept = tensor_of(c, dims(c, x))[torch.nonzero(gone == 0).squeeze(1)]
    return x.reshape(host_list(c, kept, c.rank() - length))


@lower("Unsqueeze")
def unsqueeze(c, x, axes: Host):
    if not is_known(axes):
        length = 1 if c.rank(1) == 0 else c.shape(1)[0]
        wanted = _with_ones(c, tensor_of(c, dims(c, x)), axes.reshape([-1]), length)
        return x.reshape(host_list(c, wanted, c.rank() + length) if isinstance(length, int) else wanted.tolist())
    if axes.size == 1:
        return x.unsqueeze(int(axes.reshape(-1)[0]))
    rank = c.rank() + axes.size if (axes < 0).any() else 0
    for axis in sorted(positive(int(a), rank) for a in axes.reshape(-1)):
        x = x.unsqueeze(axis)
    return x


def _with_ones(c: Context, own: Any, axes: Any, length: Any) -> Any:
    """The sizes ``own`` with a 1 at each of ``axes``, of which there are ``length``, or a run tells how many."""
    rank = c.rank() + (length if isinstance(length, int) else axes.size(0))
    new = torch.zeros([rank], dtype=torch.int64, device=axes.device).index_fill(0, axes % rank, 1)
    return new.index_copy(0, torch.nonzero(new == 0).squeeze(1), own)


@lower("Expand")
def expand(c, x, shape: Host):
    """Broadcasting both ways: a 1 in ``shape`` keeps the input's dimension."""
    length = len(shape) if is_known(shape) else c.shape(1)[0]
    if not isinstance(length, int):
        return torch.broadcast_tensors(x, x.new_empty(shape.tolist()))[0]
    wanted = host_list(c, shape, length)
    if not has_rank(c, x):
        return torch.broadcast_tensors(x, x.new_empty(()).expand(wanted))[0]
    given = dims(c, x)
    rank = max(len(given), len(wanted))
    wanted = [1] * (rank - len(wanted)) + wanted
    given = [1] * (rank - len(given)) + given
    same = _same_names(c, rank)
    if any(not (s or isinstance(d, int) or isinstance(w, int)) for s, d, w in zip(same, given, wanted, strict=True)):
        return torch.broadcast_tensors(x, x.new_empty(()).expand(wanted))[0]  # nobody knows which of two sizes is 1
    return x.expand([-1 if s else _broadcast(d, w) for s, d, w in zip(same, given, wanted, strict=True)])


def _same_names(c: Context, rank: int) -> list[bool]:
    """The free dimensions that keep their names, hence their sizes; a graph output's names prove nothing."""
    made = c.output_shape()
    if made is None or c.node.outputs[0].is_graph_output() or len(made) != rank:
        return [False] * rank
    own = [None] * (rank - c.rank()) + list(c.shape())
    return [isinstance(d, str) and d == m for d, m in zip(own, made, strict=True)]


def _broadcast(given: Any, wanted: Any) -> Any:
    """One dimension of two shapes broadcast; -1 keeps what is there."""
    if isinstance(given, int) and given == 1:
        return wanted
    if isinstance(wanted, int):
        return given if wanted == 1 else wanted
    return given


@lower("Transpose")
def transpose(c, x, *, perm):
    order = list(reversed(range(c.rank()))) if perm is None else [from_front(c, p) for p in perm]
    swapped = [axis for axis, source in enumerate(order) if axis != source]
    if not swapped:
        return x
    return x.transpose(*swapped) if len(swapped) == 2 else x.permute(order)


@lower("Concat")
def concat(*xs, axis):
    return xs[0] if len(xs) == 1 else torch.cat(xs, axis)


@lower("Split")
def split(c, x, split: Host = None, *, num_outputs, axis):
    lengths = even(dim(c, x, axis), c.outputs) if split is None else host_list(c, split, c.outputs)
    parts = x.split(lengths, axis)
    return tuple(parts[i] for i in range(c.outputs))


def even(length: Any, parts: int) -> list[Any]:
    """The sizes of ``parts`` chunks as equal as ONNX makes them: the last is what is left."""
    chunk = -(-length // parts)
    return [smaller(chunk, larger(length - i * chunk, 0)) for i in range(parts)]


@lower("Tile")
def tile(c, x, repeats: Host):
    return x.repeat(host_list(c, repeats, c.rank()))
