"""Shape arithmetic on the host: arrays of ints and symbolic ints in the place of tensors.

``x.size(0)`` and what is computed of it stays a Python number, known or symbolic, until an operator wants a tensor:
this is what keeps free dimensions free and lets the source read ``x.reshape(x.size(0), -1)``.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import fx

from isthmus.types import Dim

LONGEST = 64
"""Longer lists of integers are data, not sizes."""

_LEAST = "isthmus.least"
"""Metadata of a symbolic int's fx node: it is never below this."""

Array = np.ndarray[Any, Any]


class NotHere(Exception):
    """The host cannot tell: the operator is left to the tensors."""


def is_symbolic(array: Array) -> bool:
    """Whether some entry is not a plain number."""
    return array.dtype == object and any(not isinstance(v, int | float | bool) for v in array.reshape(-1))


def sizes(x: Any, shape: Sequence[Dim]) -> Array:
    """The shape of a tensor or proxy as an array: ints where they are known, else symbolic."""
    return packed([d if isinstance(d, int) else size(x, axis) for axis, d in enumerate(shape)])


def size(x: Any, axis: int) -> Any:
    """The size of one axis, symbolic where ``x`` is a proxy."""
    found = x.size(axis)
    if isinstance(found, fx.Proxy):
        found.node.meta[_LEAST] = 0
    return found


def packed(values: Sequence[Any]) -> Array:
    """A list of ints and symbolic ints as a vector; of int64 where all are known."""
    return settled(_vector(values))


def settled(array: Array) -> Array:
    """An array of objects as an array of int64 where nothing in it is symbolic."""
    if array.dtype != object or is_symbolic(array):
        return array
    flat = [int(v) for v in array.reshape(-1)]
    return np.array(flat, np.int64).reshape(array.shape)


def evaluate(node: ir.Node, given: Sequence[Array | None]) -> list[Array] | None:
    """The outputs of a node of shape arithmetic, or None where it must be left to tensors."""
    rule = RULES.get(node.op_type)
    if rule is None or node.domain or any(a is not None and a.size > LONGEST for a in given):
        return None
    try:
        made = rule(node, [None if a is None else a.astype(object) for a in given])
    except NotHere:
        return None
    results = made if isinstance(made, list) else [made]
    return [settled(_array(r)) for r in results] if all(_array(r).size <= LONGEST for r in results) else None


def _array(value: Any) -> Array:
    if isinstance(value, np.ndarray):
        return value
    return _vector([value]).reshape(())


def _vector(values: Sequence[Any]) -> Array:
    made = np.empty(len(values), object)
    for i, value in enumerate(values):  # one by one: numpy looks into what is assigned as a whole
        made[i] = value
    return made


def _int(node: ir.Node, name: str, default: int) -> int:
    found = node.attributes.get(name)
    return default if found is None else found.as_int()


def _plain(array: Array | None) -> list[int] | None:
    """A list of known ints. Raises NotHere where one is symbolic."""
    if array is None:
        return None
    if is_symbolic(array):
        raise NotHere
    return [int(v) for v in array.reshape(-1)]


def _least(value: Any) -> int | None:
    """A lower bound of a number, where there is one."""
    if isinstance(value, fx.Proxy):
        found = value.node.meta.get(_LEAST)
        return found if isinstance(found, int) else None
    return int(value) if isinstance(value, int) else 0 if isinstance(value, torch.SymInt) else None


def _bounded(value: Any, least: int | None) -> Any:
    if isinstance(value, fx.Proxy) and least is not None:
        value.node.meta[_LEAST] = least
    return value


def _known(*values: Any) -> bool:
    return all(isinstance(v, int) for v in values)


def _add(a: Any, b: Any) -> Any:
    if _known(a) and a == 0:
        return b
    if _known(b) and b == 0:
        return a
    low, high = _least(a), _least(b)
    return _bounded(a + b, None if low is None or high is None else low + high)


def _sub(a: Any, b: Any) -> Any:
    if a is b:
        return 0
    if _known(b) and b == 0:
        return a
    low = _least(a)
    return _bounded(a - b, low - b if low is not None and _known(b) else None)


def _mul(a: Any, b: Any) -> Any:
    for one, other in ((a, b), (b, a)):
        if _known(one) and one in (0, 1):
            return other if one else 0
    low, high = _least(a), _least(b)
    return _bounded(a * b, low * high if low is not None and high is not None and min(low, high) >= 0 else None)


def _div(a: Any, b: Any) -> Any:
    """Division as ONNX does it for integers: towards zero."""
    if _known(b) and b == 1:
        return a
    if _known(b) and b == 0:
        raise NotHere
    if _known(a, b):
        return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    low, high = _least(a), _least(b)
    if low is not None and low >= 0 and high is not None and high >= 0:
        return _bounded(a // b, 0)
    return torch.sym_int(a / b)


def _mod(a: Any, b: Any) -> Any:
    if _known(b) and b == 0:
        raise NotHere
    return _bounded(a % b, 0 if _known(b) and b > 0 else None)


def _max(a: Any, b: Any) -> Any:
    if _known(a, b):
        return max(a, b)
    for one, other in ((a, b), (b, a)):
        low = _least(other)
        if _known(one) and low is not None and low >= one:
            return other
    low = max((v for v in (_least(a), _least(b)) if v is not None), default=None)
    return _bounded(torch.sym_max(a, b), low)


def _min(a: Any, b: Any) -> Any:
    if _known(a, b):
        return min(a, b)
    low, high = _least(a), _least(b)
    return _bounded(torch.sym_min(a, b), None if low is None or high is None else min(low, high))


def _equal(a: Any, b: Any) -> bool:
    if a is b or (_known(a, b) and a == b):
        return True
    if _known(a, b):
        return False
    for one, other in ((a, b), (b, a)):
        low = _least(other)
        if _known(one) and low is not None and one < low:
            return False
    raise NotHere


def _less(a: Any, b: Any) -> bool:
    if _known(a, b):
        return bool(a < b)
    low = _least(a)
    if _known(b) and low is not None and low >= b:
        return False
    low = _least(b)
    if _known(a) and low is not None and low > a:
        return True
    raise NotHere


def _each(function: Callable[[Any, Any], Any]) -> Callable[[ir.Node, list[Array]], Any]:
    def rule(node: ir.Node, given: list[Array]) -> Any:
        if _int(node, "fmod", 0):  # the sign of the dividend, which no symbolic int has
            raise NotHere
        made = given[0]
        for other in given[1:]:
            made = np.frompyfunc(function, 2, 1)(made, other)
        return made

    return rule


def _gather(node: ir.Node, given: list[Array]) -> Any:
    index = given[1]
    if is_symbolic(index):
        raise NotHere
    return np.take(given[0], index.astype(np.int64), axis=_int(node, "axis", 0))


def _slice(node: ir.Node, given: list[Array]) -> Any:
    starts, ends = _plain(given[1]), _plain(given[2])
    axes = _plain(given[3]) if len(given) > 3 else None
    steps = _plain(given[4]) if len(given) > 4 else None
    data = given[0]
    assert starts is not None and ends is not None
    where = [slice(None)] * data.ndim
    for i, axis in enumerate(axes if axes is not None else range(len(starts))):
        step = steps[i] if steps is not None else 1
        end: int | None = ends[i]
        if step < 0 and ends[i] < -data.shape[axis]:
            end = None
        where[axis] = slice(starts[i], end, step)
    return data[tuple(where)]


def _squeeze(node: ir.Node, given: list[Array]) -> Any:
    axes = _plain(given[1]) if len(given) > 1 else None
    return np.squeeze(given[0], None if axes is None else tuple(axes))


def _unsqueeze(node: ir.Node, given: list[Array]) -> Any:
    axes = _plain(given[1])
    assert axes is not None
    return np.expand_dims(given[0], tuple(axes))


def _reshape(node: ir.Node, given: list[Array]) -> Any:
    shape = _plain(given[1])
    assert shape is not None
    if 0 in shape and not _int(node, "allowzero", 0):
        shape = [given[0].shape[i] if d == 0 else d for i, d in enumerate(shape)]
    return given[0].reshape(shape)


def _concat(node: ir.Node, given: list[Array]) -> Any:
    return np.concatenate(given, axis=_int(node, "axis", 0))


def _reduce(function: Callable[[Any, Any], Any]) -> Callable[[ir.Node, list[Array]], Any]:
    def rule(node: ir.Node, given: list[Array]) -> Any:
        data, axes = given[0], _plain(given[1]) if len(given) > 1 else None
        if (
            data.ndim > 1
            or data.size == 0
            or (axes is not None and not axes and _int(node, "noop_with_empty_axes", 0))
        ):
            raise NotHere
        total = data.reshape(-1)[0]
        for value in data.reshape(-1)[1:]:
            total = function(total, value)
        return _vector([total]) if data.ndim and _int(node, "keepdims", 1) else total

    return rule


def _range(node: ir.Node, given: list[Array]) -> Any:
    start, limit, step = (_plain(a) for a in given)
    assert start and limit and step
    if step[0] == 0 or abs(limit[0] - start[0]) > LONGEST * abs(step[0]):
        raise NotHere
    return np.array(range(start[0], limit[0], step[0]), object)


def _where(node: ir.Node, given: list[Array]) -> Any:
    _plain(given[0])
    return np.where(given[0].astype(bool), given[1], given[2])


def _cast(node: ir.Node, given: list[Array]) -> Any:
    """Between integers that hold every size."""
    to = ir.DataType(_int(node, "to", 0))
    source = node.inputs[0].dtype if node.inputs[0] is not None else None
    if source not in _WHOLE or to not in _WHOLE:
        raise NotHere
    return given[0]


def _neg(node: ir.Node, given: list[Array]) -> Any:
    return np.frompyfunc(operator.neg, 1, 1)(given[0])


def _first(node: ir.Node, given: list[Array]) -> Any:
    return given[0]


def _flatten_split(node: ir.Node, given: list[Array]) -> Any:
    data = given[0]
    parts = _plain(given[1]) if len(given) > 1 else None
    count = len(node.outputs)
    if parts is None:
        chunk = -(-data.shape[0] // count)
        parts = [min(chunk, data.shape[0] - i * chunk) for i in range(count)]
    if data.ndim != 1 or _int(node, "axis", 0) not in (0, -1):
        raise NotHere
    bounds = np.cumsum([0, *parts])
    return [data[a:b] for a, b in itertools.pairwise(bounds)]


def _constant_of_shape(node: ir.Node, given: list[Array]) -> Any:
    shape = _plain(given[0])
    fill = node.attributes.get("value")
    value = fill.as_tensor().numpy() if fill is not None else np.zeros(1, np.float32)
    assert shape is not None
    if value.dtype != np.int64 or int(np.prod(shape)) > LONGEST:
        raise NotHere
    return np.full(shape, int(value.reshape(-1)[0]), object)


_WHOLE = frozenset((ir.DataType.INT64, ir.DataType.INT32))

RULES: Mapping[str, Callable[[ir.Node, list[Any]], Any]] = MappingProxyType(
    {
        "Add": _each(_add),
        "Sub": _each(_sub),
        "Mul": _each(_mul),
        "Div": _each(_div),
        "Mod": _each(_mod),
        "Max": _each(_max),
        "Min": _each(_min),
        "Equal": _each(_equal),
        "Less": _each(_less),
        "Greater": _each(lambda a, b: _less(b, a)),
        "Neg": _neg,
        "Gather": _gather,
        "Slice": _slice,
        "Squeeze": _squeeze,
        "Unsqueeze": _unsqueeze,
        "Reshape": _reshape,
        "Concat": _concat,
        "ReduceProd": _reduce(_mul),
        "ReduceSum": _reduce(_add),
        "ReduceMax": _reduce(_max),
        "ReduceMin": _reduce(_min),
        "Range": _range,
        "Where": _where,
        "Cast": _cast,
        "Identity": _first,
        "Split": _flatten_split,
        "ConstantOfShape": _constant_of_shape,
    }
)
"""The operators of shape arithmetic, on arrays of objects."""


def product(array: Array) -> Array:
    """The product of all entries, as a scalar array."""
    total: Any = 1
    for value in array.reshape(-1):
        total = _mul(total, int(value) if isinstance(value, np.integer) else value)
    return settled(_array(total))
