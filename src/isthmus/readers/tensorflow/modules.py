"""Scopes of TensorFlow operations as module paths."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf

from isthmus.opening.names import module_path
from isthmus.readers.tensorflow.attributes import FunctionName, attribute_value
from isthmus.readers.tensorflow.functions import function_graph
from isthmus.readers.tensorflow.program import Variable


def module_of(scope: str, modules: Mapping[str, str]) -> str:
    """``model/block/dense/MatMul`` → ``model.block.dense``, or what ``modules`` calls the longest scope it knows."""
    parts = scope.split("/")[:-1]
    for length in range(len(parts), 0, -1):
        known = modules.get("/".join(parts[:length]))
        if known is not None:
            return module_path(known)
    return "" if modules else ".".join(parts)


def learned_scopes(graph: Any, variables: Mapping[str, Variable]) -> dict[str, str]:
    """Scopes → the layers whose variables are read in them, as the names of these tell.

    ``sequential_1/dense_1/MatMul/ReadVariableOp`` reads ``sequential/dense/kernel``: so ``sequential_1/dense_1`` is
    ``sequential/dense``, and ``sequential_1`` is ``sequential``. ``variables`` go by the tensors they come in by.
    """
    found: dict[str, str] = {}
    for reader, variable in _reads(graph, dict(variables), set()):
        layer = variable.name.split("/")[:-1]
        scope = reader.split("/")[:-1]
        while scope and layer and not _is_numbered(scope[-1], layer[-1]):
            scope.pop()
        while scope and layer and _is_numbered(scope[-1], layer[-1]):
            found.setdefault("/".join(scope), "/".join(layer))
            scope.pop()
            layer.pop()
    return found


def _is_numbered(scope: str, name: str) -> bool:
    """Whether ``scope`` is what TensorFlow makes of ``name`` where that was taken."""
    return scope == name or re.fullmatch(rf"{re.escape(name)}_\d+", scope) is not None


def _reads(graph: Any, variables: dict[str, Variable], seen: set[int]) -> Iterator[tuple[str, Variable]]:
    """The operations that take a variable, by name, those of functions that are called among them."""
    if id(graph) in seen:
        return
    seen.add(id(graph))
    for node in graph.get_operations():
        taken = {i: variables[t.name] for i, t in enumerate(node.inputs) if t.name in variables}
        if not taken:
            continue
        functions = list(_functions(node))
        if node.type == "Identity":
            variables[node.outputs[0].name] = taken[0]
        elif not functions:
            yield from ((str(node.name), variable) for variable in taken.values())
        for inner in functions:
            skipped = len(node.inputs) - len(inner.inputs)  # what a branch is chosen by
            handed = {
                inner.inputs[i - skipped].name: v for i, v in taken.items() if 0 <= i - skipped < len(inner.inputs)
            }
            yield from _reads(inner, handed, seen)


def _functions(node: tf.Operation) -> Iterator[Any]:
    for proto in node.node_def.attr.values():
        value = attribute_value(proto)
        for name in value if isinstance(value, tuple) else (value,):
            if isinstance(name, FunctionName) and (found := function_graph(node.graph, name.name)) is not None:
                yield found
