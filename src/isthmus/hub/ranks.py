"""Ranks that follow from an operator although its sizes do not: where onnx's inference gives up as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import onnx_ir as ir

from isthmus.hub.model import ONNX
from isthmus.hub.schema import ML, schema_of


def ranks_of_outputs(node: ir.Node) -> list[int | None]:
    """The rank of each output, ``None`` where it cannot be told."""
    if node.domain == ML:
        return [_rank(node)] if node.op_type in _ALIKE else [_TABLES.get(node.op_type)]
    if node.domain != ONNX:
        return [None] * len(node.outputs)
    if node.op_type == "Split":
        return [_rank(node)] * len(node.outputs)
    if node.op_type == "Loop":
        return _stacked(node)
    rule = _RULES.get(node.op_type)
    return [rule(node) if rule is not None and index == 0 else None for index in range(len(node.outputs))]


def told_type(node: ir.Node, index: int) -> ir.TypeProtocol | None:
    """The type of an output of classical machine learning by its operator's schema, ``None`` where that says less."""
    schema = schema_of(node.domain, node.op_type) if node.domain == ML else None
    if schema is None or index >= len(schema.outputs):
        return None
    told = schema.outputs[index].type_str
    if told == "tensor(float)":
        return ir.TensorType(ir.DataType.FLOAT)
    alike = (v for v, parameter in zip(node.inputs, schema.inputs, strict=False) if parameter.type_str == told)
    return next((value.type for value in alike if value is not None and value.type is not None), None)


def _stacked(loop: ir.Node) -> list[int | None]:
    """A Loop's outputs: carried values as the body returns them, then the others, stacked."""
    carried = len(loop.inputs) - 2
    shapes = [value.shape for value in loop.attributes["body"].as_graph().outputs[1:]]
    return [None if s is None else len(s) + (index >= carried) for index, s in enumerate(shapes)]


def _rank(node: ir.Node, index: int = 0) -> int | None:
    value = node.inputs[index] if index < len(node.inputs) else None
    return None if value is None or value.shape is None else len(value.shape)


def _entries(node: ir.Node, index: int) -> int | None:
    """How many entries the one-dimensional input ``index`` has; a scalar has one."""
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is None or value.shape is None:
        return None
    if len(value.shape) == 0:
        return 1
    return value.shape[0] if isinstance(value.shape[0], int) else None


def _flag(node: ir.Node, name: str, default: int) -> int:
    attribute = node.attributes.get(name)
    return default if attribute is None or attribute.is_ref() else int(attribute.value)


def _given(node: ir.Node, index: int) -> bool:
    return index < len(node.inputs) and node.inputs[index] is not None


def _reduced(node: ir.Node) -> int | None:
    rank = _rank(node)
    if rank is None or _flag(node, "keepdims", 1):
        return rank
    if not _given(node, 1):
        return rank if _flag(node, "noop_with_empty_axes", 0) else 0
    axes = _entries(node, 1)
    return None if not axes else rank - axes  # no entries at run time mean all axes, or none


def _changed_by_axes(sign: int) -> Callable[[ir.Node], int | None]:
    def rank(node: ir.Node) -> int | None:
        before, axes = _rank(node), _entries(node, 1)
        return None if before is None or axes is None else before + sign * axes

    return rank


def _expanded(node: ir.Node) -> int | None:
    before, asked = _rank(node), _entries(node, 1)
    return None if before is None or asked is None else max(before, asked)


def _broadcast(node: ir.Node) -> int | None:
    ranks = [_rank(node, index) for index in range(len(node.inputs))]
    return max((r for r in ranks if r is not None), default=None) if None not in ranks else None


_ALIKE = frozenset({"Imputer", "Normalizer", "Scaler"})
"""Operators of scikit-learn's on each element. onnx's inference knows nothing of them, nor of the next ones."""

_TABLES: Mapping[str, int] = MappingProxyType(
    dict.fromkeys(("FeatureVectorizer", "LinearRegressor", "SVMRegressor", "TreeEnsembleRegressor"), 2)
)

_WINDOWED = (
    *("Conv", "ConvInteger", "ConvTranspose", "DeformConv", "QLinearConv"),
    *("AveragePool", "LpPool", "MaxPool"),
)
"""onnx says nothing of what a filter of unknown size gives."""

_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")

_RULES: Mapping[str, Callable[[ir.Node], int | None]] = MappingProxyType(
    {
        **{f"Reduce{kind}": _reduced for kind in _REDUCTIONS},
        **dict.fromkeys(("CenterCropPad", "GroupNormalization", "Pad", "Resize", "Slice", "Tile"), _rank),
        **dict.fromkeys(_WINDOWED, _rank),
        **dict.fromkeys(("Add", "Div", "Mul", "Pow", "Sub", "Where"), _broadcast),
        "ConstantOfShape": lambda node: _entries(node, 0),
        "Expand": _expanded,
        "Reshape": lambda node: _entries(node, 1),
        "Squeeze": _changed_by_axes(-1),
        "Unsqueeze": _changed_by_axes(1),
    }
)
