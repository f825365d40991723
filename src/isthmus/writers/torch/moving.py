"""Nodes of a graph into a graph module of their own, called in their place."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
from torch import fx, nn

from isthmus.hub.provenance import class_of, where
from isthmus.writers.torch.forward import DIM, PARTS
from isthmus.writers.torch.graphed import graph_module
from isthmus.writers.torch.names import component, unique
from isthmus.writers.torch.recorder import NODE, VALUE, new_graph

CLASS = "isthmus.class"
"""Attribute of a module that was made here: what its class was called in the source."""


@dataclass(frozen=True)
class Tree:
    """The module path of every node, and the classes of the source's modules."""

    paths: dict[fx.Node, tuple[str, ...]]
    modules: Mapping[str, str]

    def class_of(self, path: str, nodes: Sequence[fx.Node], depth: int) -> str:
        """The class that the source gave to the module at ``path``, whose nodes are among these."""
        told = self.modules.get(path, "").partition("(")[0]
        return told if told.isidentifier() else _class_of(nodes, depth)


def common(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The steps that all paths begin with."""
    shared: list[str] = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return tuple(shared)


def may_move(module: fx.GraphModule, name: str, nodes: Sequence[fx.Node]) -> bool:
    """Whether these nodes use something below ``name``, no layer elsewhere, and nothing that comes back to them."""
    held = _held(module, name)
    if type(held) is not nn.Module:  # no weights there, or a layer
        return False
    below = f"{name}."
    calls = [node for node in nodes if node.op == "call_module"]
    if any(not str(node.target).startswith(below) for node in calls):
        return False
    inside = set(nodes)
    if any(
        user not in inside and user.op == "call_module" and str(user.target).startswith(below)
        for user in module.graph.nodes
    ):
        return False
    behind: set[fx.Node] = set()
    for node in module.graph.nodes:
        if node in inside:
            if any(given in behind for given in node.all_input_nodes):
                return False
        elif any(given in inside or given in behind for given in node.all_input_nodes):
            behind.add(node)
    return any(node.op in ("call_function", "call_method", "call_module") for node in nodes)


def _held(module: nn.Module, name: str) -> nn.Module | None:
    held: nn.Module | None = module
    for part in name.split("."):
        held = held._modules.get(part) if held is not None else None
    return held


def moved(
    module: fx.GraphModule, name: str, nodes: Sequence[fx.Node], tree: Tree, kind: str
) -> fx.GraphModule | None:
    """The nodes as a graph module at ``name``, called in their place."""
    inside = set(nodes)
    below = f"{name}."
    # Weights that stand elsewhere are handed over.
    own = {n for n in nodes if n.op == "get_attr" and _is_constant_of(n, module, inside)}
    inside -= {n for n in nodes if n.op == "get_attr" and n not in own and not str(n.target).startswith(below)}
    # A size that is wanted outside as well is asked for on either side.
    inside -= {n for n in nodes if DIM in n.meta and n.args[0] not in inside and not inside.issuperset(n.users)}
    moving = [node for node in nodes if node in inside]
    given = list(dict.fromkeys(a for node in moving for a in node.all_input_nodes if a not in inside))
    made = [node for node in moving if any(user not in inside for user in node.users)]
    if not made or any(node.op == "get_attr" for node in made):
        return None
    graph = new_graph()
    copies: dict[fx.Node, fx.Node] = {}
    sized = {node: source for node in given if (source := _sized(node, given)) is not None}
    given = [node for node in given if node not in sized]
    for node in given:
        copies[node] = graph.placeholder(node.name)
        copies[node].meta = dict(node.meta)
    for node, (tensor, axis) in sized.items():
        copies[node] = graph.call_method("size", (copies[tensor], axis))
        copies[node].meta = dict(node.meta)
        tree.paths[copies[node]] = tree.paths.get(node, ())
    for node in moving:
        copies[node] = graph.node_copy(node, lambda n: copies[n])
        if node.op in ("call_module", "get_attr"):
            copies[node].target = str(node.target).removeprefix(below)
        tree.paths[copies[node]] = tree.paths.get(node, ())
    results = tuple(copies[node] for node in made)
    graph.output(results[0] if len(results) == 1 else results)
    held = module.get_submodule(name)
    _hand_constants(module, held, [copies[node] for node in moving if node in own])
    inner = graph_module(held, graph, kind or "Part")
    setattr(inner, CLASS, kind)
    parent, _, leaf = name.rpartition(".")
    module.get_submodule(parent)._modules[leaf] = inner
    _call_instead(module, name, moving, given, made, tree)
    return inner


def _sized(node: fx.Node, given: Sequence[fx.Node]) -> tuple[fx.Node, int] | None:
    """The tensor among ``given``, and its axis, that has the size which ``node`` asks for."""
    dim = node.meta.get(DIM)
    if dim is None:
        return None
    for tensor in given:
        value = tensor.meta.get(VALUE)
        if DIM in tensor.meta or not isinstance(value, ir.Value) or value.shape is None:
            continue
        for axis, size in enumerate(value.shape):
            if isinstance(size, ir.SymbolicDim) and size.value == dim:
                return tensor, axis
    return None


def _hand_constants(module: nn.Module, held: nn.Module, readers: Sequence[fx.Node]) -> None:
    """Move constants from ``module`` to ``held``, under names that do not count through the whole model."""
    names: dict[str, str] = {}
    for reader in readers:
        target = str(reader.target)
        if target not in names:
            wish = component(_COUNTED.sub("", target) or "constant")
            names[target] = unique(wish, [*held._modules, *held._parameters, *held._buffers])
            held.register_buffer(names[target], module._buffers.pop(target), persistent=False)
            module._non_persistent_buffers_set.discard(target)
        reader.target = names[target]


_COUNTED = re.compile(r"(?:_?\d+)+\Z")


def _is_constant_of(node: fx.Node, module: nn.Module, inside: set[fx.Node]) -> bool:
    """Whether only these nodes read what is no weight of the source: it moves with them."""
    target = str(node.target)
    if target not in module._buffers or target not in module._non_persistent_buffers_set:
        return False
    readers = [n for n in node.graph.nodes if n.op == "get_attr" and str(n.target) == target]
    return all(user in inside for reader in readers for user in reader.users)


def _call_instead(
    module: fx.GraphModule,
    name: str,
    moving: Sequence[fx.Node],
    given: Sequence[fx.Node],
    made: Sequence[fx.Node],
    tree: Tree,
) -> None:
    """One call of the submodule where its nodes stood: behind all that it needs, before all that needs it."""
    graph = module.graph
    order = {node: i for i, node in enumerate(graph.nodes)}
    anchor = max([*given, moving[0]], key=lambda node: order[node])
    later = _users_before(graph, anchor, made, set(moving), order)
    with graph.inserting_after(anchor):
        call = graph.call_module(name, tuple(given))
    tree.paths[call] = common([tree.paths[node] for node in made])
    call.meta = {k: v for k, v in made[-1].meta.items() if k != NODE or len(made) == 1}
    last = call
    results: list[Any] = [call]
    if len(made) > 1:
        call.meta[PARTS] = len(made)
        results = []
        for i, node in enumerate(made):
            with graph.inserting_after(last):
                last = graph.call_function(operator.getitem, (call, i))
            last.meta = dict(node.meta)
            tree.paths[last] = tree.paths[node]
            results.append(last)
    for node, result in zip(made, results, strict=True):
        node.replace_all_uses_with(result)
    for node in later:
        last.append(node)
        last = node
    for node in reversed(moving):
        graph.erase_node(node)


def _users_before(
    graph: fx.Graph, anchor: fx.Node, made: Sequence[fx.Node], inside: set[fx.Node], order: dict[fx.Node, int]
) -> list[fx.Node]:
    """What stands before the call and needs its results, in order: it moves behind it."""
    needs: set[fx.Node] = set(made)
    later = []
    for node in graph.nodes:
        if order[node] > order[anchor]:
            break
        if node not in inside and any(a in needs for a in node.all_input_nodes):
            needs.add(node)
            later.append(node)
    return later


def _class_of(nodes: Sequence[fx.Node], depth: int) -> str:
    """The class that the source gave to the module whose own nodes are among these."""
    for node in nodes:
        source = node.meta.get(NODE)
        if isinstance(source, ir.Node):
            place = [part for part in where(source).module.replace("/", ".").split(".") if part]
            if len(place) == depth + 1:
                found = class_of(source).rpartition(".")[2]
                return found if found.isidentifier() else ""
    return ""
