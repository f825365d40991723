"""The hub's invariants: one function makes them, one checks them."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir
from onnx_ir.passes import PreconditionError
from onnx_ir.passes.common import InlinePass

from isthmus.errors import InvalidModel
from isthmus.hub import provenance
from isthmus.hub.free_dims import name_free_dims
from isthmus.hub.infer import infer_shapes
from isthmus.hub.io import MAP_TYPE, renamed
from isthmus.hub.model import HUB_OPSET, ONNX, ROLE
from isthmus.hub.nameless import forget_nameless
from isthmus.hub.opset import default_opset, to_hub_opset
from isthmus.hub.upgrades.base import Names, constant_tensor, shape_of
from isthmus.hub.upgrades.beyond import expand_newer
from isthmus.hub.words import settle_words


def canonicalize(model: ir.Model) -> None:
    """Make the hub's invariants hold, in place. Weights are shared, never copied or read.

    * the default domain is at ``HUB_OPSET``; model-local functions are inlined;
    * constants are initializers of the main graph; no initializer is also an input;
    * nodes are sorted and uniquely named, values too; the names of inputs, outputs and initializers are the source's;
    * values have a type and a rank wherever these can be known; free dimensions have names;
    * nodes carry our own provenance, and nothing of the machine that they were made on.

    Raises:
        InvalidModel: a cycle, among nodes or functions; an opset that onnx does not know; an attribute whose word its
            operator does not know.
        Unsupported: nodes that have no equal at the hub's opset, all of them.
    """
    opset = default_opset(model)
    _spell_default_domain(model)
    forget_nameless(model)
    _sort(model)
    if opset != HUB_OPSET or model.functions:
        _fix_inputs(model)
        _name_uniquely(model)
        infer_shapes(model)
    expand_newer(model, opset)
    _inline(model, opset)
    to_hub_opset(model)
    settle_words(model)
    _fix_inputs(model)
    _lift_initializers(model)
    _lift_constants(model)
    _name_uniquely(model)
    _sort(model)
    infer_shapes(model)
    name_free_dims(model)
    provenance.settle(model)


def check_canonical(model: ir.Model) -> list[str]:
    """What is wrong with a model that should be canonical, one sentence each; empty when nothing is."""
    return list(_violations(model))


def require_canonical(model: ir.Model) -> None:
    """Raise :class:`InvalidModel` with every violated invariant."""
    problems = check_canonical(model)
    if problems:
        raise InvalidModel("the model is not in canonical form:\n  " + "\n  ".join(problems))


def _violations(model: ir.Model) -> Iterator[str]:
    if model.functions:
        yield f"{len(model.functions)} model-local functions are not inlined"
    if model.graph.opset_imports.get(ONNX) != HUB_OPSET:
        yield f"the default domain is at opset {model.graph.opset_imports.get(ONNX)}, not {HUB_OPSET}"
    nodes, values = set[str](), set[str]()
    defined = set(model.graph.inputs) | set(model.graph.initializers.values())
    for value in [*model.graph.inputs, *model.graph.initializers.values()]:
        yield from _value_violations(value, values)
    for value in model.graph.initializers.values():
        if value.is_graph_input():
            yield f"initializer {value.name!r} is also an input"
    yield from _graph_violations(model.graph, nodes, values, defined)


def _graph_violations(graph: ir.Graph, nodes: set[str], values: set[str], defined: set[ir.Value]) -> Iterator[str]:
    for node in graph:
        if not node.name or node.name in nodes:
            yield f"node name {node.name!r} ({node.op_type}) is empty or not unique"
        nodes.add(node.name or "")
        if node.op_type == "Constant" and node.domain == ONNX:
            yield f"{node.name!r} is a Constant node"
        for value in node.inputs:
            if value is not None and value not in defined:
                yield f"{node.name!r} uses {value.name!r} before it is defined"
        for inner in _subgraphs(node):
            if inner.initializers:
                yield f"a body of {node.name!r} holds initializers"
            for value in inner.inputs:
                yield from _value_violations(value, values)
            yield from _graph_violations(inner, nodes, values, defined | set(inner.inputs))
        for value in node.outputs:
            defined.add(value)
            if value.name != "":
                yield from _value_violations(value, values)


def _value_violations(value: ir.Value, names: set[str]) -> Iterator[str]:
    if not value.name or value.name in names:
        yield f"value name {value.name!r} is empty or not unique"
    names.add(value.name or "")
    if value.type is None and MAP_TYPE not in value.meta:
        yield f"value {value.name!r} has no type"
    elif isinstance(value.type, ir.TensorType) and value.shape is None:
        yield f"value {value.name!r} has no known rank"
    for dim in value.shape or ():
        if isinstance(dim, ir.SymbolicDim) and dim.value is None:
            yield f"value {value.name!r} has a free dimension without a name"


def _subgraphs(node: ir.Node) -> Iterator[ir.Graph]:
    for attribute in node.attributes.values():
        if attribute.is_ref():
            continue
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.as_graph()
        elif attribute.type == ir.AttributeType.GRAPHS:
            yield from attribute.as_graphs()


def _graphs(model: ir.Model) -> Iterator[ir.Graph]:
    yield from model.graphs()


def _spell_default_domain(model: ir.Model) -> None:
    holders: tuple[ir.Graph | ir.Function, ...] = (model.graph, *model.functions.values())
    for holder in holders:
        version = holder.opset_imports.pop("ai.onnx", None)
        if version is not None:
            holder.opset_imports.setdefault(ONNX, version)
        for node in ir.traversal.RecursiveGraphIterator(holder):
            if node.domain == "ai.onnx":
                node.domain = ONNX


def _sort(model: ir.Model) -> None:
    try:
        model.graph.sort()
        for function in model.functions.values():
            function.sort()
    except ValueError as error:
        raise InvalidModel(f"the graph has a cycle: {error}") from error


def _inline(model: ir.Model, opset: int) -> None:
    """Inline every function. Each node remembers its own opset, for functions may import others than the model."""
    if not model.functions:
        return
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        node.version = opset if node.domain == ONNX and node.version is None else node.version
    for function in model.functions.values():
        version = function.opset_imports.get(ONNX, opset)
        for node in ir.traversal.RecursiveGraphIterator(function):
            node.version = version if node.domain == ONNX and node.version is None else node.version
        for domain in set(function.opset_imports) & set(model.graph.opset_imports):
            function.opset_imports[domain] = model.graph.opset_imports[domain]
        _separate_outputs(function, version)
    try:
        InlinePass()(model)
    except PreconditionError as error:
        raise InvalidModel(f"model-local functions call each other in a circle: {error}") from error
    except ValueError as error:
        raise InvalidModel(f"a model-local function cannot be inlined: {error}") from error


def _separate_outputs(function: ir.Function, version: int) -> None:
    """A function may return its input, or one value twice; inlining would rename what is outside of it."""
    seen = set(function.inputs)
    for index, value in enumerate(function.outputs):
        if value in seen:
            node = ir.node("Identity", [value], version=version)
            node.outputs[0].name = f"{value.name}.{index}"
            function.append(node)
            function.outputs[index] = node.outputs[0]
        seen.add(function.outputs[index])


def _fix_inputs(model: ir.Model) -> None:
    """An initializer that is also an input is a default that a caller may override; in the hub it is a constant."""
    for graph in model.graphs():
        held = set(graph.initializers.values())
        kept = [value for value in graph.inputs if value not in held]
        if len(kept) != len(graph.inputs):
            graph.inputs.clear()
            graph.inputs.extend(kept)
        for value in held:
            if value.const_value is not None:
                value.type = ir.TensorType(value.const_value.dtype)
                value.shape = shape_of(value.const_value)


def _lift_initializers(model: ir.Model) -> None:
    """Bodies see everything outside of them: their initializers go to the main graph."""
    names = Names.of(model)
    for graph in [graph for graph in _graphs(model) if graph is not model.graph]:
        for value in list(graph.initializers.values()):
            if any(output is value for output in graph.outputs):
                _return_copy(graph, value, names)
            del graph.initializers[value.name or ""]
            if value.name in model.graph.initializers or any(v.name == value.name for v in model.graph.inputs):
                value.name = names.fresh(value.name or "initializer")
            model.graph.initializers.add(value)


def _lift_constants(model: ir.Model) -> None:
    names = Names.of(model)
    for graph in list(_graphs(model)):
        for node in list(graph):
            if node.op_type != "Constant" or node.domain != ONNX:
                continue
            tensor = constant_tensor(node)
            if tensor is None:
                continue  # sparse: its value is no tensor
            old = node.outputs[0]
            name = old.name or names.fresh("constant")
            if old.is_graph_output():
                old.name = names.fresh(f"{name}.constant")
                _return_copy(graph, old, names, name)
            name = old.name or name
            if name in model.graph.initializers:
                name = names.fresh(name)
            new = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=shape_of(tensor))
            new.const_value = renamed(tensor, name)
            new.metadata_props.update(old.metadata_props)
            new.metadata_props[ROLE] = "constant"
            old.replace_all_uses_with(new)
            graph.remove(node, safe=True)
            model.graph.register_initializer(new)


def _return_copy(graph: ir.Graph, value: ir.Value, names: Names, name: str = "") -> None:
    """A graph that returns ``value`` returns an Identity of it instead."""
    copy = ir.node("Identity", [value])
    graph.append(copy)
    output = copy.outputs[0]
    output.name = name or names.fresh(f"{value.name}.copy")
    output.type, output.shape = value.type, value.shape
    for index, old in enumerate(graph.outputs):
        if old is value:
            graph.outputs[index] = output


def _name_uniquely(model: ir.Model) -> None:
    """Names of inputs, outputs and initializers of the main graph stay; of the others, those that clash change."""
    graph = model.graph
    kept = {*graph.inputs, *graph.outputs, *graph.initializers.values()}
    taken = {value.name for value in kept if value.name}
    values, nodes = Names(taken), Names(set())
    for inner in _graphs(model):
        for value in inner.inputs if inner is not graph else ():
            value.name = values.fresh(value.name or "input")
        for node in inner:
            for value in node.outputs:
                if value in kept or value.name == "":
                    continue
                value.name = values.fresh(value.name or f"{node.op_type.lower()}_output")
            node.name = nodes.fresh(node.name or node.op_type)
