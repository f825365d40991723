"""What many rooms need: element types, computing through a wider one, sizes that may be symbolic, recorded calls."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar, cast

import numpy as np
import onnx_ir as ir
import torch
from torch import fx
from torch.utils import _pytree

from isthmus.lower.walk import Context, Subgraph
from isthmus.writers.torch.backend import TorchBackend
from isthmus.writers.torch.weights import dtype_of, held_dtype

__all__ = [
    "FLOATS",
    "HALVES",
    "INTS",
    "NARROW_FLOATS",
    "UNSIGNED",
    "WIDE_UNSIGNED",
    "call",
    "dim",
    "dims",
    "dtype_of",
    "from_front",
    "graphs",
    "has_rank",
    "held_dtype",
    "host_list",
    "host_scalar",
    "in_wider",
    "is_recorded",
    "leaf",
    "length_of",
    "positive",
    "sizes_of",
    "wider",
]

D = ir.DataType

FLOATS = frozenset((D.FLOAT, D.DOUBLE))
"""The floating types that every kernel has."""
HALVES = frozenset((D.FLOAT16, D.BFLOAT16))
NARROW_FLOATS = frozenset((D.FLOAT8E4M3FN, D.FLOAT8E4M3FNUZ, D.FLOAT8E5M2, D.FLOAT8E5M2FNUZ, D.FLOAT8E8M0))
INTS = frozenset((D.INT8, D.INT16, D.INT32, D.INT64, D.UINT8))
"""The integer types that nearly every kernel has."""
WIDE_UNSIGNED = frozenset((D.UINT16, D.UINT32, D.UINT64))
"""The integer types of which PyTorch has few kernels."""
UNSIGNED = WIDE_UNSIGNED | {D.UINT8}

_WIDER: dict[ir.DataType, tuple[ir.DataType, ...]] = {
    D.FLOAT8E4M3FN: (D.FLOAT,),
    D.FLOAT8E4M3FNUZ: (D.FLOAT,),
    D.FLOAT8E5M2: (D.FLOAT,),
    D.FLOAT8E5M2FNUZ: (D.FLOAT,),
    D.FLOAT8E8M0: (D.FLOAT,),
    D.FLOAT16: (D.FLOAT, D.DOUBLE),
    D.BFLOAT16: (D.FLOAT, D.DOUBLE),
    D.FLOAT: (D.DOUBLE,),
    D.BOOL: (D.INT32, D.INT64),
    D.INT8: (D.INT32, D.INT64),
    D.UINT8: (D.INT32, D.INT64),
    D.INT16: (D.INT32, D.INT64),
    D.UINT16: (D.INT32, D.INT64),
    D.INT32: (D.INT64,),
    D.UINT32: (D.INT64,),
    D.UINT64: (D.INT64,),
}


def wider(dtype: ir.DataType, supported: Collection[ir.DataType]) -> ir.DataType:
    """``dtype`` itself where it is ``supported``, else the nearest wider one that is. Raises TypeError without."""
    found = next((t for t in (dtype, *_WIDER.get(dtype, ())) if t in supported), None)
    if found is None:
        raise TypeError(f"PyTorch has no kernel for {dtype.name.lower()}, nor for a wider type")
    return found


def in_wider(
    compute: Callable[..., Any], *tensors: Any, dtype: ir.DataType, supported: Collection[ir.DataType]
) -> Any:
    """``compute(*tensors)`` through the nearest wider type among ``supported``, and back to ``dtype``, theirs.

    Exact for sums, products and bit operations, wrap-around included. uint64 goes through the bits of int64: right
    modulo 2⁶⁴, not for division, order or conversion to floating point. Raises TypeError where none is wide enough.
    """
    wide = wider(dtype, supported)
    if wide == dtype:
        return compute(*tensors)
    made = compute(*(t.to(dtype_of(wide)) for t in tensors))
    return made.to(dtype_of(dtype))


def positive(axis: int, rank: int) -> int:
    """An axis counted from the front."""
    return axis + rank if axis < 0 else axis


def from_front(c: Context, axis: int, index: int = 0) -> int:
    """An axis of input ``index`` counted from the front: its rank need be known only where it is not yet."""
    return axis if axis >= 0 else axis + c.rank(index)


def length_of(c: Context, axis: int, index: int = 0) -> int | None:
    """The size of an axis of input ``index`` where the hub knows it."""
    value = c.node.inputs[index]
    known = None if value is None or value.shape is None else c.shape(index)[axis]
    return known if isinstance(known, int) else None


def dim(c: Context, x: Any, axis: int, index: int = 0) -> Any:
    """The size of an axis of input ``index``, which is ``x``: an int where the hub knows it, else symbolic."""
    known = length_of(c, axis, index)
    return x.size(axis) if known is None else known


def has_rank(c: Context, x: Any, index: int = 0) -> bool:
    """Whether the rank of input ``index``, which is ``x``, is known to the hub, or to a tensor of now."""
    value = c.node.inputs[index]
    return isinstance(x, torch.Tensor | np.ndarray) or (value is not None and value.shape is not None)


def dims(c: Context, x: Any, index: int = 0) -> list[Any]:
    """The sizes of all axes of input ``index``, which is ``x``."""
    return [d if isinstance(d, int) else x.size(axis) for axis, d in enumerate(c.shape(index))]


def host_list(c: Context, value: Any, length: int | None = None) -> list[Any]:
    """A Host input as a list of ints and symbolic ints, also where it is a tensor computed at run time.

    ``length``: how many entries there are, where the hub's shape does not tell. Refuses where nobody knows.
    """
    if isinstance(value, np.ndarray):
        return [v.item() if isinstance(v, np.generic) else v for v in value.reshape(-1).tolist()]
    if isinstance(value, torch.Tensor):
        return cast("list[Any]", value.reshape(-1).tolist())
    if length is None:
        index = next((i for i, held in enumerate(c._tensors) if held is value), None)
        shape = c.shape(index) if index is not None else ()
        if len(shape) != 1 or not isinstance(shape[0], int):
            if index is not None and not shape:
                return [value.item()]
            c.refuse("PyTorch's functions take lists of known length, and this one is computed at run time")
        length = shape[0]
    return [value[i].item() for i in range(length)]


def host_scalar(value: Any) -> Any:
    """A Host input of one element, of shape () or (1): a number, symbolic where it is computed."""
    if isinstance(value, np.ndarray | np.generic):
        found = np.asarray(value).reshape(-1)[0]
        return found.item() if isinstance(found, np.generic) else found
    return value.item()


def as_tensor(c: Context, held: Any, index: int) -> Any:
    """The Host input ``index`` as a tensor after all."""
    if not isinstance(held, np.ndarray):
        return held
    backend, value = cast(TorchBackend, c._backend), c.node.inputs[index]
    if value is not None and value.const_value is not None:
        return backend.constant(value)
    return backend.tensor(held, c.dtype(index))


def is_recorded(*values: Any) -> bool:
    """Whether there is a proxy somewhere in ``values``."""
    return any(isinstance(leaf, fx.Proxy) for leaf in _pytree.tree_leaves(values))


def call(c: Context, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """``function(*args)`` recorded or at once: for what makes tensors of sizes (``torch.full``, ``torch.arange``)."""
    return cast(TorchBackend, c._backend).call(function, *args, **kwargs)


F = TypeVar("F", bound=Callable[..., Any])


def leaf(function: F) -> F:
    """A function of a module's top level that is recorded as one call: it may loop and branch on what it is given.

    Its source is printed with the module that uses it, so that it may only use torch, ``F``, math and other leaves.
    """

    @functools.wraps(function)
    def recorded(*args: Any, **kwargs: Any) -> Any:
        proxies = [x for x in _pytree.tree_leaves((args, kwargs)) if isinstance(x, fx.Proxy)]
        if not proxies:
            return function(*args, **kwargs)
        return proxies[0].tracer.create_proxy("call_function", recorded, args, kwargs)

    return cast(F, recorded)


def graphs(c: Context, *subgraphs: Subgraph, inputs: int = 0) -> tuple[list[Any], tuple[Any, ...]]:
    """Inner graphs as what ``torch.cond`` and its like take, and the outer values that they capture.

    Each graph takes ``inputs`` tensors and then the captured ones, all of them, whichever graph uses them; each
    gives a tuple. Eagerly they are Python functions that capture by themselves.
    """
    recorder = cast(TorchBackend, c._backend).recorder
    if recorder is None:
        return [_function(subgraph) for subgraph in subgraphs], ()
    return recorder.bodies([subgraph.__call__ for subgraph in subgraphs], inputs)


def _function(subgraph: Subgraph) -> Callable[..., tuple[Any, ...]]:
    return lambda *given: tuple(subgraph(*given))


def sizes_of(value: Sequence[Any]) -> list[Any]:
    """Plain ints of numpy's, symbolic ones as they are."""
    return [int(v) if isinstance(v, np.integer) else v for v in value]
