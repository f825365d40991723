"""Operators on arrays that are known at conversion: the exact subset of ONNX that constant folding needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx_ir as ir

from isthmus.passes.edit import attribute

Array = np.ndarray[Any, Any]
Given = list[Array | None]
Fold = Callable[[ir.Node, Given], "list[Array] | None"]


def evaluate(node: ir.Node, given: Given) -> list[Array] | None:
    """The node's outputs, or None where it is none of the operators here or numpy would not say the same."""
    fold = FOLDS.get(node.op_type)
    if fold is None or not given or given[0] is None:
        return None
    try:
        with np.errstate(all="ignore"):
            return fold(node, given)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None  # an ill-formed node is for the runtime to judge


def _all(function: Callable[..., Any]) -> Fold:
    """Elementwise over all operands; the result has the first operand's type."""

    def fold(_node: ir.Node, given: Given) -> list[Array] | None:
        arrays = [a for a in given if a is not None]
        return [np.asarray(function(*arrays)).astype(arrays[0].dtype, copy=False)]

    return fold


def _test(function: Callable[..., Any]) -> Fold:
    return lambda _node, given: [np.asarray(function(*given))]


def _div(_node: ir.Node, given: Given) -> list[Array] | None:
    a, b = given
    assert a is not None and b is not None
    if a.dtype.kind not in "iu":
        return [np.asarray(a / b)]
    if (b == 0).any():
        return None
    quotient = np.abs(a) // np.abs(b) * np.sign(a) * np.sign(b) if a.dtype.kind == "i" else a // b
    return [np.asarray(quotient).astype(a.dtype)]


def _mod(node: ir.Node, given: Given) -> list[Array] | None:
    a, b = given
    assert a is not None and b is not None
    if a.dtype.kind in "iu" and (b == 0).any():
        return None
    return [np.asarray(np.fmod(a, b) if attribute(node, "fmod", 0) else np.mod(a, b))]


def _pow(_node: ir.Node, given: Given) -> list[Array] | None:
    a, b = given
    assert a is not None and b is not None
    if a.dtype.kind in "iu" and (b.dtype.kind not in "iu" or (b < 0).any()):
        return None
    return [np.asarray(np.power(a, b)).astype(a.dtype)]


def _cast(node: ir.Node, given: Given) -> list[Array] | None:
    """Between booleans, integers and IEEE floats, where every value is in the range of the target."""
    source = _first(given)
    target = ir.DataType(attribute(node, "to")).numpy()
    if source.dtype.kind not in "biuf" or target.kind not in "biuf" or target.type.__module__ != "numpy":
        return None
    if source.dtype.kind == "f" and target.kind in "iu":
        if not np.isfinite(source).all():
            return None
        source = np.trunc(source)
    if target.kind in "iu" and source.size and source.dtype.kind != "b":
        limits = np.iinfo(target)
        if source.min() < limits.min or source.max() > limits.max:
            return None
    return [source.astype(target)]


def _gather(node: ir.Node, given: Given) -> list[Array] | None:
    return [np.take(_first(given), _known(given[1]), axis=attribute(node, "axis", 0))]


def _concat(node: ir.Node, given: Given) -> list[Array] | None:
    return [np.concatenate([_known(a) for a in given], axis=attribute(node, "axis"))]


def _slice(_node: ir.Node, given: Given) -> list[Array] | None:
    data, starts, ends = (_known(a) for a in given[:3])
    axes = range(len(starts)) if len(given) < 4 or given[3] is None else given[3].tolist()
    steps = [1] * len(starts) if len(given) < 5 or given[4] is None else given[4].tolist()
    index: list[slice] = [slice(None)] * data.ndim
    for start, end, axis, step in zip(starts.tolist(), ends.tolist(), axes, steps, strict=True):
        stop: int | None = end
        if step < 0 and end < -data.shape[axis]:
            stop = None
        index[axis] = slice(start, stop, step)
    return [data[tuple(index)]]


def _squeeze(_node: ir.Node, given: Given) -> list[Array] | None:
    axes = None if len(given) < 2 or given[1] is None else tuple(int(a) for a in given[1])
    return [np.squeeze(_first(given), axis=axes)]


def _unsqueeze(_node: ir.Node, given: Given) -> list[Array] | None:
    return [np.expand_dims(_first(given), tuple(int(a) for a in _known(given[1])))]


def _reshape(node: ir.Node, given: Given) -> list[Array] | None:
    data, spec = _first(given), _known(given[1]).tolist()
    if not attribute(node, "allowzero", 0):
        spec = [data.shape[i] if d == 0 else d for i, d in enumerate(spec)]
    return [data.reshape(spec)]


def _transpose(node: ir.Node, given: Given) -> list[Array] | None:
    return [np.ascontiguousarray(np.transpose(_first(given), attribute(node, "perm")))]


def _range(_node: ir.Node, given: Given) -> list[Array] | None:
    start, limit, delta = (_known(a).reshape(()) for a in given)
    if delta == 0:
        return None
    count = max(int(np.ceil((limit - start) / delta)), 0)
    return [(start + np.arange(count) * delta).astype(start.dtype)]


def _constant_of_shape(node: ir.Node, given: Given) -> list[Array] | None:
    held = attribute(node, "value")
    fill = np.zeros(1, np.float32) if held is None else held.numpy()
    return [np.full(tuple(_first(given).tolist()), fill.reshape(()), fill.dtype)]


def _expand(_node: ir.Node, given: Given) -> list[Array] | None:
    data, shape = _first(given), tuple(_known(given[1]).tolist())
    return [np.ascontiguousarray(np.broadcast_to(data, np.broadcast_shapes(data.shape, shape)))]


def _tile(_node: ir.Node, given: Given) -> list[Array] | None:
    return [np.tile(_first(given), tuple(_known(given[1]).tolist()))]


def _where(_node: ir.Node, given: Given) -> list[Array] | None:
    return [np.where(_first(given), _known(given[1]), _known(given[2]))]


def _split(node: ir.Node, given: Given) -> list[Array] | None:
    data, axis = _first(given), attribute(node, "axis", 0)
    if len(given) > 1 and given[1] is not None:
        edges = np.cumsum(given[1])[:-1].tolist()
    else:  # equal pieces, the last one smaller where the size is no multiple
        piece = -(-data.shape[axis] // len(node.outputs))
        edges = [piece * i for i in range(1, len(node.outputs))]
        if edges and edges[-1] > data.shape[axis]:
            return None
    return list(np.split(data, edges, axis=axis))


def _reduce(function: Callable[..., Any]) -> Fold:
    def fold(node: ir.Node, given: Given) -> list[Array] | None:
        data = _first(given)
        axes = [] if len(given) < 2 or given[1] is None else given[1].tolist()
        if not axes and attribute(node, "noop_with_empty_axes", 0):
            return [data]
        if data.size == 0:
            return None
        keep = bool(attribute(node, "keepdims", 1))
        return [np.asarray(function(data, axis=tuple(axes) or None, keepdims=keep)).astype(data.dtype)]

    return fold


def _nonzero(_node: ir.Node, given: Given) -> list[Array] | None:
    return [np.array(np.nonzero(np.atleast_1d(_first(given))), np.int64)]


def _first(given: Given) -> Array:
    return _known(given[0])


def _known(array: Array | None) -> Array:
    if array is None:
        raise ValueError("an operand is absent")
    return array


FOLDS: Mapping[str, Fold] = MappingProxyType(
    {
        "Abs": _all(np.abs),
        "Add": _all(np.add),
        "And": _test(np.logical_and),
        "Cast": _cast,
        "Ceil": _all(np.ceil),
        "Concat": _concat,
        "ConstantOfShape": _constant_of_shape,
        "Cos": _all(np.cos),
        "Div": _div,
        "Equal": _test(np.equal),
        "Exp": _all(np.exp),
        "Expand": _expand,
        "Floor": _all(np.floor),
        "Gather": _gather,
        "Greater": _test(np.greater),
        "GreaterOrEqual": _test(np.greater_equal),
        "Identity": lambda _node, given: [_first(given)],
        "Less": _test(np.less),
        "LessOrEqual": _test(np.less_equal),
        "Log": _all(np.log),
        "Max": _all(lambda *arrays: np.maximum.reduce(np.broadcast_arrays(*arrays))),
        "Min": _all(lambda *arrays: np.minimum.reduce(np.broadcast_arrays(*arrays))),
        "Mod": _mod,
        "Mul": _all(np.multiply),
        "Neg": _all(np.negative),
        "NonZero": _nonzero,
        "Not": _test(np.logical_not),
        "Or": _test(np.logical_or),
        "Pow": _pow,
        "Range": _range,
        "Reciprocal": _all(np.reciprocal),
        "ReduceMax": _reduce(np.max),
        "ReduceMin": _reduce(np.min),
        "ReduceProd": _reduce(np.prod),
        "ReduceSum": _reduce(np.sum),
        "Reshape": _reshape,
        "Sin": _all(np.sin),
        "Slice": _slice,
        "Split": _split,
        "Sqrt": _all(np.sqrt),
        "Squeeze": _squeeze,
        "Sub": _all(np.subtract),
        "Tile": _tile,
        "Transpose": _transpose,
        "Unsqueeze": _unsqueeze,
        "Where": _where,
    }
)
