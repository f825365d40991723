"""One flat graph as a tree of modules: what the source computed in a module of its own gets one again."""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import onnx_ir as ir
from torch import fx, nn

from isthmus.hub.provenance import class_of, where
from isthmus.writers.torch.names import component
from isthmus.writers.torch.recorder import NODE, graph_module

CLASS = "isthmus.class"
"""Attribute of a module that was made here: what its class was called in the source."""

_DEEPEST = 24


def nested(root: fx.GraphModule) -> fx.GraphModule:
    """``root`` with a submodule for each module path whose nodes can be computed in one go, from the outside in."""
    _nest(root, _paths(root.graph), "", 0)
    return root


def _paths(graph: fx.Graph) -> dict[fx.Node, tuple[str, ...]]:
    """The module path of every node. What reads a weight or a size belongs to whom it serves."""
    paths: dict[fx.Node, tuple[str, ...]] = {}
    for node in graph.nodes:
        source = node.meta.get(NODE)
        if isinstance(source, ir.Node):
            place = where(source).module
            paths[node] = tuple(component(part) for part in place.replace("/", ".").split(".") if part)
    for node in reversed(list(graph.nodes)):
        if node.op == "get_attr":
            users = [paths[user] for user in node.users if user in paths]
            paths[node] = _common(users)
    return paths


def _common(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    shared: list[str] = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return tuple(shared)


def _nest(module: fx.GraphModule, paths: dict[fx.Node, tuple[str, ...]], at: str, depth: int) -> None:
    """Move the nodes of each child's path into a module of its own, then go on inside of it."""
    groups: dict[str, list[fx.Node]] = defaultdict(list)
    for node in module.graph.nodes:
        path = paths.get(node, ())
        if node.op not in ("placeholder", "output") and len(path) > depth:
            groups[path[depth]].append(node)
    changed = False
    for name, nodes in groups.items():
        if depth < _DEEPEST and _may_move(module, name, nodes):
            inner = _moved(module, name, nodes, paths, depth)
            if inner is not None:
                _nest(inner, paths, f"{at}{name}.", depth + 1)
                changed = True
    if changed:
        module.recompile()


def _may_move(module: fx.GraphModule, name: str, nodes: Sequence[fx.Node]) -> bool:
    """Whether these nodes use something below ``name``, no layer elsewhere, and nothing that comes back to them."""
    held = getattr(module, name, None)
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


def _moved(
    module: fx.GraphModule, name: str, nodes: Sequence[fx.Node], paths: dict[fx.Node, tuple[str, ...]], depth: int
) -> fx.GraphModule | None:
    """The nodes as a graph module at ``name``, called in their place."""
    inside = set(nodes)
    below = f"{name}."
    # Weights that stand elsewhere are handed over.
    own = {n for n in nodes if n.op == "get_attr" and _is_constant_of(n, module, inside)}
    inside -= {n for n in nodes if n.op == "get_attr" and n not in own and not str(n.target).startswith(below)}
    moving = [node for node in nodes if node in inside]
    given = list(dict.fromkeys(a for node in moving for a in node.all_input_nodes if a not in inside))
    made = [node for node in moving if any(user not in inside for user in node.users)]
    if not made or any(node.op == "get_attr" for node in made):
        return None
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in given:
        copies[node] = graph.placeholder(node.name)
        copies[node].meta = dict(node.meta)
    for node in moving:
        copies[node] = graph.node_copy(node, lambda n: copies[n])
        if node.op in ("call_module", "get_attr"):
            copies[node].target = str(node.target).removeprefix(below)
        paths[copies[node]] = paths[node]
    results = tuple(copies[node] for node in made)
    graph.output(results[0] if len(results) == 1 else results)
    held = getattr(module, name)
    for target in {str(node.target) for node in own}:
        held.register_buffer(target, module._buffers.pop(target), persistent=False)
    inner = graph_module(held, graph, _class_of(nodes, depth) or "Part")
    setattr(inner, CLASS, _class_of(nodes, depth))
    module._modules[name] = inner
    _call_instead(module, name, moving, given, made)
    return inner


def _is_constant_of(node: fx.Node, module: nn.Module, inside: set[fx.Node]) -> bool:
    """Whether only these nodes read what is no weight of the source: it moves with them."""
    target = str(node.target)
    if target not in module._buffers or target not in module._non_persistent_buffers_set:
        return False
    readers = [n for n in node.graph.nodes if n.op == "get_attr" and str(n.target) == target]
    return all(user in inside for reader in readers for user in reader.users)


def _call_instead(
    module: fx.GraphModule, name: str, moving: Sequence[fx.Node], given: Sequence[fx.Node], made: Sequence[fx.Node]
) -> None:
    """One call of the submodule where its nodes stood: behind all that it needs, before all that needs it."""
    graph = module.graph
    order = {node: i for i, node in enumerate(graph.nodes)}
    anchor = max([*given, moving[0]], key=lambda node: order[node])
    later = _users_before(graph, anchor, made, set(moving), order)
    with graph.inserting_after(anchor):
        call = graph.call_module(name, tuple(given))
    call.meta = {k: v for k, v in made[-1].meta.items() if k != NODE or len(made) == 1}
    last = call
    results: list[Any] = [call]
    if len(made) > 1:
        results = []
        for i, node in enumerate(made):
            with graph.inserting_after(last):
                last = graph.call_function(operator.getitem, (call, i))
            last.meta = dict(node.meta)
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
