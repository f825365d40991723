"""Element types that ONNX allows and ONNX Runtime has no kernel for are computed in wider ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Literal

import onnx_ir as ir

from isthmus.hub.canonical import canonicalize
from isthmus.hub.model import HUB_OPSET, ONNX, Hub
from isthmus.hub.schema import schema_of
from isthmus.passes.base import HubPass, PassResult, Reasons
from isthmus.passes.edit import Editor, graph_of, graphs_of, replace
from isthmus.passes.functions import call_body
from isthmus.passes.kernels import Kernels, Types, call_alone, formal, nodes_of_body, runtime_version, types_of

Use = Literal["float", "moved", "compared", "largest", "whole", "summed", "modular", "kept"]
"""What an operator does with the elements of a type parameter, and so which wider types give the same answer:

* *moved*: nothing; any type that holds them all, as unsigned bits even;
* *compared*: it finds the larger; any type that holds them all in order;
* *largest*: the same of many; ONNX Runtime's kernels for int64 err beyond 32 bits, floats serve instead;
* *whole*: whole-number arithmetic that must not wrap on the way; wider integers;
* *summed*: many of them added; wider integers, for the runtime sums through float64;
* *modular*: sums and products; any integer of as many bits, since the lower bits do not hang on the higher;
* *float*: arithmetic that rounds; float32 for the halves, which rounds once at the end;
* *kept*: the type itself is the point.
"""

_D = ir.DataType
_SIGNED = (_D.INT16, _D.INT32, _D.INT64)
_UNSIGNED = (_D.UINT8, _D.UINT16, _D.UINT32, _D.UINT64)
_HALVES = (_D.FLOAT16, _D.BFLOAT16)

_WIDER_INTEGERS: Mapping[ir.DataType, tuple[ir.DataType, ...]] = MappingProxyType(
    {
        _D.BOOL: (_D.UINT8, _D.INT8, _D.INT32, _D.INT64),
        _D.INT2: (_D.INT8, *_SIGNED),
        _D.INT4: (_D.INT8, *_SIGNED),
        _D.UINT2: (*_UNSIGNED, *_SIGNED),
        _D.UINT4: (*_UNSIGNED, *_SIGNED),
        _D.INT8: _SIGNED,
        _D.INT16: _SIGNED[1:],
        _D.INT32: _SIGNED[2:],
        _D.UINT8: (*_UNSIGNED[1:], *_SIGNED),
        _D.UINT16: (*_UNSIGNED[2:], *_SIGNED[1:]),
        _D.UINT32: (_D.UINT64, _D.INT64),
    }
)
"""Integers that hold every value, the narrowest first."""

_HOLDING_FLOATS: Mapping[ir.DataType, tuple[ir.DataType, ...]] = MappingProxyType(
    dict.fromkeys((_D.BOOL, _D.INT8, _D.UINT8, _D.INT16, _D.UINT16), (_D.FLOAT, _D.DOUBLE))
    | dict.fromkeys((_D.INT32, _D.UINT32), (_D.DOUBLE,))
    | dict.fromkeys(_HALVES, (_D.FLOAT, _D.DOUBLE))
    | dict.fromkeys((_D.FLOAT8E4M3FN, _D.FLOAT8E4M3FNUZ, _D.FLOAT8E5M2, _D.FLOAT8E5M2FNUZ), (_D.FLOAT,))
)
"""Floats that hold every value."""

_SAME_BITS = MappingProxyType({_D.UINT64: (_D.INT64,), _D.INT64: (_D.UINT64,)})


def _uses(use: Use, *ops: str) -> dict[str, Mapping[str, Use]]:
    return {op: MappingProxyType({"": use}) for op in ops}


_USES: Mapping[str, Mapping[str, Use]] = MappingProxyType(
    _uses("moved", "CenterCropPad", "Compress", "Concat", "DepthToSpace", "EyeLike", "Expand", "Flatten", "Gather")
    | _uses("moved", "GatherElements", "GatherND", "Identity", "NonZero", "Pad", "Reshape", "ReverseSequence")
    | _uses("moved", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Trilu", "Unsqueeze", "Where")
    | _uses("compared", "ArgMax", "ArgMin", "Clip", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
    | _uses("compared", "Max", "MaxPool", "Min", "Relu", "TopK", "Unique")
    | _uses("largest", "ReduceMax", "ReduceMin")
    | _uses("whole", "BitShift", "Div", "Mod", "Range", "ScatterElements", "ScatterND", "Sign")
    | _uses("summed", "ReduceL1", "ReduceMean", "ReduceSum")
    | _uses("modular", "Abs", "Add", "CumSum", "Einsum", "Gemm", "MatMul", "Mul", "Neg", "Sub")
    | _uses("modular", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor")
    | _uses("kept", "BitCast", "Cast", "CastLike", "DequantizeLinear", "QuantizeLinear")
    | {
        "OneHot": {"T1": "whole", "T2": "whole", "T3": "moved"},
        "Pow": {"T": "float", "T1": "whole"},
    }
)
"""Operator → type parameter (or all of them) → use. What is not listed computes with floats."""

_TYPE_ATTRIBUTES = ("dtype", "output_datatype")
"""Attributes that say the type of what a node makes."""


class WidenTypes(HubPass):
    """Compute in wider types where ONNX Runtime has no kernel, and cast back: the answer is the same.

    Given::

        <ir_version: 10, opset_import: ["": 26]>
        net (bool[n] c, bool[n] a, bool[n] b) => (bool[n] y)
        {
            y = Where (c, a, b)
        }

    Result::

        <ir_version: 10, opset_import: ["": 26]>
        net (bool[n] c, bool[n] a, bool[n] b) => (bool[n] y)
        {
            p = Cast <to = 2> (a)
            q = Cast <to = 2> (b)
            r = Where (c, p, q)
            y = Cast <to = 9> (r)
        }

    An operator for which that does not help is replaced by its ONNX function body, if that runs. What is left stays,
    and the writer refuses it by name.
    """

    requires = ("types of every operand",)

    def __init__(self, version: int = HUB_OPSET) -> None:
        self._kernels = Kernels(version)

    def call(self, hub: Hub) -> PassResult:
        modified = False
        while True:
            reasons = Reasons()
            modified |= self._widen_all(hub.model, reasons)
            if not self._expand_all(hub.model):
                return PassResult(hub, modified, tuple(reasons.found))
            canonicalize(hub.model)
            modified = True

    def _widen_all(self, model: ir.Model, reasons: Reasons) -> bool:
        modified = False
        edit = Editor(model)
        for graph in list(graphs_of(model)):
            cast: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}
            for node, types in _failing(graph, self._kernels):
                wider = _wider(node, types, self._kernels)
                if wider is not None:
                    _widen(edit, node, types, wider, cast)
                    modified = True
                elif not _expands(node, types, self._kernels):
                    reasons.decline(node, no_kernel(node, types))
        return modified

    def _expand_all(self, model: ir.Model) -> bool:
        """Make calls of their function bodies what has no kernel and no wider type; canonical form inlines them."""
        found = [
            node
            for graph in graphs_of(model)
            for node, types in _failing(graph, self._kernels)
            if _expands(node, types, self._kernels)
        ]
        for node in found:
            call_body(model, node)
        return bool(found)


def without_kernel(graph: ir.Graph, version: int) -> Iterator[tuple[ir.Node, str]]:
    """The nodes that ONNX Runtime cannot run at opset ``version``, widened or not, and why."""
    kernels = Kernels(version)
    for node, types in _failing(graph, kernels):
        if _wider(node, types, kernels) is None and not _expands(node, types, kernels):
            yield node, no_kernel(node, types)


def _failing(graph: ir.Graph, kernels: Kernels) -> Iterator[tuple[ir.Node, Types]]:
    """The nodes that do not run as they are, and the types that they are given."""
    for node in list(graph):
        types = types_of(node, kernels.version)
        if types is not None and not kernels.run(node, types):
            yield node, types


def _expands(node: ir.Node, types: Types, kernels: Kernels) -> bool:
    """Whether ONNX defines the operator by others that run, in these types or in wider ones."""
    call = call_alone(node, types, kernels.version)
    body = [] if call is None else nodes_of_body(call)
    given = [(made, types_of(made, kernels.version)) for made in body]
    return bool(body) and all(
        inner is None
        or kernels.run(made, inner)
        or _wider(made, inner, kernels) is not None
        or _expands(made, inner, kernels)
        for made, inner in given
    )


def no_kernel(node: ir.Node, types: Types) -> str:
    """The sentence for a node that cannot run."""
    spelled = ", ".join(dict.fromkeys(dtype.name.lower() for dtype in types.values()))
    return f"ONNX Runtime {runtime_version()} has no kernel of it for {spelled}, nor for wider types"


def _wider(node: ir.Node, types: Types, kernels: Kernels) -> Types | None:
    """The nearest element types with which the node runs and gives the same; None where there are none."""
    uses = _USES.get(node.op_type, {"": "float"})
    ladders = [(dtype, *_candidates(dtype, uses.get(name, uses.get("", "kept")))) for name, dtype in types.items()]
    steps = itertools.product(*(range(len(ladder)) for ladder in ladders))
    for step in sorted(steps, key=lambda step: (sum(map(bool, step)), sum(step))):
        wider = {name: ladder[i] for name, ladder, i in zip(types, ladders, step, strict=True)}
        if kernels.run(node, wider):
            return wider
    return None


def _candidates(dtype: ir.DataType, use: Use) -> tuple[ir.DataType, ...]:
    integers = _WIDER_INTEGERS.get(dtype, ())
    match use:
        case "moved":
            return (*integers, *_SAME_BITS.get(dtype, ()), *_HOLDING_FLOATS.get(dtype, ()))
        case "compared":
            return (*integers, *_HOLDING_FLOATS.get(dtype, ()))
        case "largest":
            return _HOLDING_FLOATS.get(dtype, ())
        case "whole" | "summed" | "modular" if dtype in _HALVES:
            return (_D.FLOAT,)
        case "whole" | "summed":
            return integers
        case "modular" if dtype != _D.BOOL:
            return (*integers, *_SAME_BITS.get(dtype, ()))
        case "float" if dtype in _HALVES:
            return (_D.FLOAT,)
    return ()


def _widen(
    edit: Editor, node: ir.Node, types: Types, wider: Types, cast: dict[tuple[ir.Value, ir.DataType], ir.Value]
) -> None:
    """Cast the operands before ``node`` and the results after it. ``cast``: what the graph has cast before."""
    schema = schema_of(ONNX, node.op_type)
    assert schema is not None
    for index, value in enumerate(node.inputs):
        parameter = formal(schema.inputs, index)
        if value is None or wider.get(parameter) == types.get(parameter):
            continue
        dtype = wider[parameter]
        if (value, dtype) not in cast:
            cast[value, dtype] = edit.before(
                node, "Cast", [value], {"to": int(dtype)}, dtype=dtype, shape=value.shape
            )
        node.replace_input_with(index, cast[value, dtype])
    for index, value in enumerate(node.outputs):
        parameter = formal(schema.outputs, index)
        if not value.name or wider.get(parameter) == types.get(parameter):
            continue
        _retype(node, types[parameter], wider[parameter])
        back = edit.node("Cast", [value], {"to": int(types[parameter])}, like=node)
        replace(value, back.outputs[0])
        back.replace_input_with(0, value)
        back.outputs[0].type = ir.TensorType(types[parameter])
        value.type = ir.TensorType(wider[parameter])
        graph_of(node).insert_after(node, back)


def _retype(node: ir.Node, before: ir.DataType, after: ir.DataType) -> None:
    for name in _TYPE_ATTRIBUTES:
        attribute = node.attributes.get(name)
        if attribute is not None and attribute.value == int(before):
            node.attributes[name] = ir.AttrInt64(name, int(after))
