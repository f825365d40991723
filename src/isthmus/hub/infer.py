"""Types and shapes for every value, by onnx's own inference, without the weights in the way."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from functools import partial

import onnx
import onnx_ir as ir
from google.protobuf.message import EncodeError  # type: ignore[import-untyped]

from isthmus.errors import InvalidModel
from isthmus.hub.free_dims import is_open, made_up
from isthmus.hub.io import MAP_TYPE, holds_map
from isthmus.hub.loop_shapes import settle_loops
from isthmus.hub.model import CHANNELS_LAST, ONNX
from isthmus.hub.ranks import ranks_of_outputs, told_type
from isthmus.hub.schema import schema_of
from isthmus.hub.sizes import entries_of, gives_all_sizes
from isthmus.hub.told import copied_axis, told_shape
from isthmus.hub.upgrades.base import shape_of

_SHAPES_DEPEND = 1 << 16
"""Integers up to this many bytes stay in the inferred copy: shapes, axes, pads and repeats are made of them."""

_SCALES_DEPEND = 256
"""Floats up to this many bytes stay too: the scales of a Resize, the bounds of a Range."""

_ROUNDS = 16
"""How often what onnx does not see may hide behind what it does not see."""


def infer_shapes(model: ir.Model) -> None:
    """Give every value the type and shape that follow from the graph's inputs, in place.

    What the model declares for inputs and outputs stays. A declared intermediate shape is an opinion, often out
    of date: it only fills what inference leaves open. Weights are neither copied nor read: the inferred copy
    holds their shapes, and small integers alone keep their content.
    """
    ours = _infer_all(model, _resized(model))
    for _ in range(_ROUNDS):
        won = settle_loops(model, partial(_infer_more, model, frozenset(ours)))
        if not won:
            return
        ours = _infer_all(model, ours | won)


def _resized(model: ir.Model) -> set[ir.Value]:
    """What a Resize gives whose sizes are all told: onnx's inference loses the names of those that are computed."""
    invented, found = made_up(model), set[ir.Value]()
    for node in _nodes(model):
        if node.op_type != "Resize" or node.domain != ONNX or len(node.inputs) < 4 or not gives_all_sizes(node):
            continue
        sizes = entries_of(node.inputs[3])
        if sizes and all(isinstance(size, int) or not is_open(size, invented) for size in sizes):
            node.outputs[0].shape = ir.Shape(sizes)
            found.add(node.outputs[0])
    return {value for value in found if value.type is not None and not value.is_graph_output()}


def _infer_more(model: ir.Model, ours: Collection[ir.Value], more: Collection[ir.Value]) -> None:
    _infer_all(model, {*ours, *more})


def _infer_all(model: ir.Model, told: Collection[ir.Value]) -> set[ir.Value]:
    """What onnx infers by itself and by what it was ``told``; all that it had to be told."""
    ours = set(told)
    _infer_once(model, ours)
    _fill_ranks(model, ours)
    return ours


def _infer_once(model: ir.Model, ours: set[ir.Value]) -> None:
    """One run of onnx's inference. ``ours`` are the values whose rank we told it, to be kept."""
    inferred = _inferred(model, ours)
    if inferred is not None:
        for graph, proto in zip(model.graphs(), _graph_protos(inferred.graph), strict=False):
            _merge(graph, proto, made_up(model))


def _fill_ranks(model: ir.Model, ours: set[ir.Value]) -> None:
    """Tell onnx the ranks that it does not see, and let it go on from there."""
    invented = made_up(model)
    for _ in range(_ROUNDS):
        filled = set[ir.Value]()
        for node in _nodes(model):
            shape = told_shape(node, lambda dim: is_open(dim, invented))
            if shape is not None:
                node.outputs[0].shape = shape
                filled.add(node.outputs[0])
            if all(value.shape is not None for value in node.outputs):
                continue
            for index, (value, rank) in enumerate(zip(node.outputs, ranks_of_outputs(node), strict=False)):
                value.type = value.type or told_type(node, index)
                if value.shape is None and value.type is not None and rank is not None and rank >= 0:
                    value.shape = ir.Shape([None] * rank)
                    filled.add(value)
            if any(value.shape is None for value in node.outputs):
                filled |= {v for v in node.inputs if v is not None and v not in ours and _is_declared(v)}
        if not filled:
            return
        ours |= filled
        _infer_once(model, ours)


def _is_declared(value: ir.Value) -> bool:
    """Whether a computed value has a shape, which onnx may not have seen itself."""
    return value.shape is not None and value.producer() is not None


def _inferred(model: ir.Model, ours: set[ir.Value]) -> onnx.ModelProto | None:
    """A weightless copy after inference, or ``None`` where onnx cannot read the model at all."""
    with _copying(model), _declared_only(model, ours), _weightless(model), _constants_within(model):
        try:
            proto = ir.serde.serialize_model(model)
        except ir.serde.SerdeError as error:
            raise InvalidModel(f"the model is inconsistent: {_root(error)}") from error
    try:
        return onnx.shape_inference.infer_shapes(proto, check_type=False, strict_mode=False, data_prop=True)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError, EncodeError):
        # onnx gives up as a whole where one node breaks its schema; check_canonical names what stays unknown.
        return None


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


@contextlib.contextmanager
def _copying(model: ir.Model) -> Iterator[None]:
    """For a while, a Reshape whose open axis is the operand's says so: onnx passes the name on of what is copied."""
    held: list[tuple[ir.Node, ir.Value, ir.Attr | None]] = []
    targets: list[ir.Value] = []
    try:
        for node in _nodes(model):
            axis = copied_axis(node)
            before = node.inputs[1] if axis is not None else None
            if axis is None or before is None or before.const_value is None:
                continue
            target = before.const_value.numpy().copy()
            target[axis] = 0
            value = ir.val(f"{before.name}__copying_{len(targets)}", const_value=ir.tensor(target))
            model.graph.initializers.add(value)
            targets.append(value)
            held.append((node, before, node.attributes.pop("allowzero", None)))
            node.replace_input_with(1, value)
        yield
    finally:
        for node, before, allowzero in held:
            node.replace_input_with(1, before)
            if allowzero is not None:
                node.attributes.add(allowzero)
        for value in targets:
            model.graph.initializers.pop(value.name or "", None)


@contextlib.contextmanager
def _constants_within(model: ir.Model) -> Iterator[None]:
    """For a while, bodies hold the small constants that they use: onnx sees no content of what is around a body."""
    held: list[tuple[ir.Node, int, ir.Value]] = []
    inside: list[tuple[ir.Graph, ir.Value]] = []
    try:
        for graph in model.graphs():
            for node in graph if graph is not model.graph else ():
                for index, value in enumerate(node.inputs):
                    if value is None or value.const_value is None or not value.is_initializer():
                        continue
                    if value.graph is graph or value.is_graph_input() or not _small(value.const_value):
                        continue
                    own = ir.val(f"{value.name}__within_{len(inside)}", const_value=value.const_value)
                    graph.initializers.add(own)
                    inside.append((graph, own))
                    held.append((node, index, value))
                    node.replace_input_with(index, own)
        yield
    finally:
        for node, index, value in held:
            node.replace_input_with(index, value)
        for graph, own in inside:
            graph.initializers.pop(own.name or "", None)


@contextlib.contextmanager
def _weightless(model: ir.Model) -> Iterator[None]:
    """For a while, weights are inputs with a shape and no content."""
    graph = model.graph
    inputs = list(graph.inputs)
    held: list[tuple[ir.Value, ir.TensorProtocol]] = []
    order = list(graph.initializers.values())
    try:
        for value in order:
            tensor = value.const_value
            if tensor is None or _small(tensor):
                continue
            held.append((value, tensor))
            del graph.initializers[value.name or ""]
            value.const_value = None
            value.dtype, value.shape = tensor.dtype, shape_of(tensor)
            if not value.is_graph_input():
                graph.inputs.append(value)
        yield
    finally:
        graph.inputs.clear()
        for value, tensor in held:
            value.const_value = tensor
        graph.initializers.clear()
        for value in order:
            graph.initializers.add(value)
        graph.inputs.extend(inputs)


def _small(tensor: ir.TensorProtocol) -> bool:
    integer = tensor.dtype.is_integer() or tensor.dtype in (ir.DataType.BOOL, ir.DataType.STRING)
    return tensor.nbytes <= (_SHAPES_DEPEND if integer else _SCALES_DEPEND)


@contextlib.contextmanager
def _declared_only(model: ir.Model, ours: set[ir.Value]) -> Iterator[None]:
    """For a while, no intermediate value has a shape, unless no schema could tell it, and no name is made up."""
    held: list[tuple[ir.Value, ir.Shape | None, ir.TypeProtocol | None]] = []
    invented = made_up(model)
    try:
        for graph in model.graphs():
            for node in graph:
                for value in node.outputs:
                    if value.is_graph_output():
                        held.append((value, value.shape, value.type))
                        value.shape = _without_invented(value.shape, invented)
                    elif value not in ours and _is_told(node):
                        held.append((value, value.shape, value.type))
                        value.shape, value.type = None, None
        yield
    finally:
        for value, shape, kind in held:
            value.shape, value.type = shape, kind


def _is_told(node: ir.Node) -> bool:
    """Whether onnx's inference can tell what the node gives."""
    return node.domain != CHANNELS_LAST and schema_of(node.domain, node.op_type) is not None


def _without_invented(shape: ir.Shape | None, names: Collection[str]) -> ir.Shape | None:
    if shape is None:
        return None
    return ir.Shape([None if isinstance(dim, ir.SymbolicDim) and is_open(dim, names) else dim for dim in shape])


def _graph_protos(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and its subgraphs in the order of ``ir.Model.graphs``."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _graph_protos(attribute.g)
            elif attribute.type == onnx.AttributeProto.GRAPHS:
                for inner in attribute.graphs:
                    yield from _graph_protos(inner)


def _merge(graph: ir.Graph, proto: onnx.GraphProto, invented: Collection[str]) -> None:
    found: Mapping[str, onnx.TypeProto] = {
        info.name: info.type for info in (*proto.input, *proto.value_info, *proto.output)
    }
    for value in graph.inputs:
        _adopt(value, found, invented)  # a body's inputs take their types from outside
    for node in graph:
        for value in node.outputs:
            _adopt(value, found, invented)


def _adopt(value: ir.Value, found: Mapping[str, onnx.TypeProto], invented: Collection[str]) -> None:
    proto = found.get(value.name or "")
    if proto is None:
        return
    if holds_map(proto):
        value.meta[MAP_TYPE] = proto.SerializeToString(deterministic=True)
        return
    typed = ir.serde.deserialize_type_proto_for_type(proto)
    if (typed is not None and value.type is None) or (
        typed is not None and not value.is_graph_output() and value.producer() is not None
    ):
        value.type = typed
    shape = ir.serde.deserialize_type_proto_for_shape(proto)
    if shape is not None:
        declared = value.shape
        promised = value.is_graph_input() or value.is_graph_output()
        value.shape = shape if declared is None else _merged(declared, shape, promised, invented)


def _merged(declared: ir.Shape, inferred: ir.Shape, promised: bool, invented: Collection[str]) -> ir.Shape:
    """Inferred dims win over declared ones, except in what the model promises outside; names beat no names.

    A declared 1 fills nothing: it is what remains where somebody freed a batch axis by hand.
    """
    if len(declared) != len(inferred):
        return declared if promised else inferred
    dims: list[int | ir.SymbolicDim] = []
    for said, found in zip(declared, inferred, strict=True):
        known = isinstance(found, int) or not is_open(found, invented)
        named = isinstance(said, int) or not is_open(said, invented)
        if promised and named:
            dims.append(said)
        elif known or not named or (said == 1 and not promised):
            dims.append(found)
        else:
            dims.append(said)
    return ir.Shape(dims)


def _nodes(model: ir.Model) -> Iterator[ir.Node]:
    return (node for graph in model.graphs() for node in graph)
