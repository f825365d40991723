"""Is a graph well formed? Names defined once and before use, operators used as their schemas say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import onnx

from isthmus.errors import InvalidModel
from isthmus.hub.io import proto_graphs
from isthmus.hub.model import ONNX
from isthmus.hub.schema import history_of
from isthmus.hub.tensors import tensor_problems, type_problems

_SHOWN = 10


def check_structure(proto: onnx.ModelProto) -> None:
    """Raise :class:`InvalidModel` with what is wrong; order of nodes is not judged here, a cycle is found later."""
    opsets = {entry.domain: entry.version for entry in proto.opset_import}
    version = opsets.get(ONNX, opsets.get("ai.onnx", 1))
    functions = {(f.domain, f.name) for f in proto.functions}
    unreadable = next((text for text in _texts(proto) if not isinstance(text, str)), None)
    if unreadable is not None:
        raise InvalidModel(f"the model holds a name that is no text: {unreadable!r}", hint="the file is damaged")
    problems = list(_graph_problems(proto.graph, frozenset(), version, functions))
    if problems:
        more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise InvalidModel("the graph is not valid:\n  " + "\n  ".join([*problems[:_SHOWN], *more]))


def _texts(proto: onnx.ModelProto) -> Iterator[object]:
    """Every name; one that is not UTF-8 comes as bytes."""
    yield from (entry.domain for entry in proto.opset_import)
    yield from (proto.producer_name, proto.producer_version, proto.domain, proto.doc_string)
    holders = [*proto_graphs(proto), *proto.functions]
    for holder in holders:
        yield from (holder.name, holder.doc_string)
        if isinstance(holder, onnx.GraphProto):
            for info in (*holder.input, *holder.output, *holder.value_info):
                yield from (info.name, info.doc_string)
                yield from (dim.dim_param for dim in info.type.tensor_type.shape.dim)
            yield from (tensor.name for tensor in holder.initializer)
        for node in holder.node:
            yield from (node.op_type, node.domain, node.name, node.doc_string, *node.input, *node.output)
            yield from (attribute.name for attribute in node.attribute)
        for entry in holder.metadata_props:
            yield from (entry.key, entry.value)


def _graph_problems(
    graph: onnx.GraphProto, outside: frozenset[str], version: int, functions: set[tuple[str, str]]
) -> Iterator[str]:
    stored = [*graph.initializer, *(t.values for t in graph.sparse_initializer)]
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    stored += [attribute.t for attribute in attributes if attribute.HasField("t")]
    yield from (problem for tensor in stored for problem in tensor_problems(tensor))
    infos = (*graph.input, *graph.output, *graph.value_info)
    yield from (problem for info in infos for problem in type_problems(info))
    inputs = [info.name for info in graph.input]
    constants = {t.name for t in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
    produced = [name for node in graph.node for name in node.output if name]
    counts = Counter([*inputs, *(constants - set(inputs)), *produced])
    yield from (f"{name!r} is defined {n} times" for name, n in counts.items() if n > 1)
    visible = outside | frozenset(counts)
    for node in graph.node:
        label = f"node {node.name!r} ({node.op_type})" if node.name else f"a {node.op_type} node"
        for name in node.input:
            if name and name not in visible:
                yield f"{label} reads {name!r}, which nothing defines"
        if node.domain in (ONNX, "ai.onnx") and (node.domain, node.op_type) not in functions:
            yield from (f"{label} {problem}" for problem in _schema_problems(node, version))
            yield from (f"{label} {problem}" for problem in _body_problems(node))
        for attribute in node.attribute:
            if attribute.ref_attr_name:
                yield f"{label} takes {attribute.name!r} from a function, and is in none"
            elif attribute.type == onnx.AttributeProto.UNDEFINED:
                yield f"{label} carries {attribute.name!r} without a type"
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from _graph_problems(inner, visible, version, functions)
    yield from (f"output {o.name!r} is defined by nothing" for o in graph.output if o.name not in visible)


def _body_problems(node: onnx.NodeProto) -> Iterator[str]:
    """What the bodies of If and Loop take and give, against what the node does."""
    for attribute in node.attribute:
        if not attribute.HasField("g"):
            continue
        body, given = attribute.g, 2 + max(len(node.input) - 2, 0)
        if node.op_type == "If":
            if body.input:
                yield f"has a {attribute.name} that takes {body.input[0].name!r}; a branch reads what is around it"
            if len(node.output) > len(body.output):
                yield f"gives {len(node.output)} outputs, and its {attribute.name} {len(body.output)}"
        elif node.op_type == "Loop":
            if len(body.input) != given:
                yield f"has a body that takes {len(body.input)} inputs, and gives it {given}"
            if len(body.output) < max(given - 1, len(node.output) + 1):
                yield f"has a body of {len(body.output)} outputs, which is too few for its own"


def _schema_problems(node: onnx.NodeProto, version: int) -> Iterator[str]:
    """Arity and attributes against the schema in force; an operator that ONNX never had is carried as it is."""
    history = history_of(node.op_type)
    schema = next((s for s in reversed(history) if s.since_version <= version and not s.deprecated), None)
    schema = schema or next((s for s in history if s.since_version <= version), None)
    if schema is None:
        if history:
            yield f"exists since opset {history[0].since_version}; the model imports {version}"
        return
    given: Mapping[str, onnx.AttributeProto] = {attribute.name: attribute for attribute in node.attribute}
    for name in given.keys() - schema.attributes.keys():
        yield f"carries {name!r}, which is no attribute of it at opset {version}"
    for name, formal in schema.attributes.items():
        if formal.required and name not in given:
            yield f"lacks the attribute {name!r}"
        found = given.get(name)
        if found is not None and found.type and found.type != int(formal.type.value):
            yield f"carries {name!r} as {onnx.AttributeProto.AttributeType.Name(found.type)}, not {formal.type.name}"
    if not schema.min_input <= len(node.input) <= schema.max_input:
        yield f"has {len(node.input)} inputs; it takes {schema.min_input} to {schema.max_input}"
    if len(node.output) > schema.max_output:
        yield f"has {len(node.output)} outputs; it gives at most {schema.max_output}"
