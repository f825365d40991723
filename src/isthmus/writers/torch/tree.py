"""One flat graph as a tree of modules: what the source computed in a module of its own gets one again."""

from __future__ import annotations

import itertools
import operator
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import onnx_ir as ir
from torch import fx, nn

from isthmus.hub.provenance import class_of, where
from isthmus.writers.torch.forward import PARTS
from isthmus.writers.torch.names import component
from isthmus.writers.torch.recorder import NODE, container, graph_module

CLASS = "isthmus.class"
"""Attribute of a module that was made here: what its class was called in the source."""

_DEEPEST = 24
_DROPOUT = re.compile(r"Dropout\(p=([01](?:\.\d{1,20})?|\d(?:\.\d{1,20})?e-\d{1,3})\)")


def nested(root: fx.GraphModule, modules: Mapping[str, str] = MappingProxyType({})) -> fx.GraphModule:
    """``root`` with a submodule for each module path whose nodes can be computed in one go, from the outside in.

    ``modules`` are the paths of the source's modules → their classes, where it told them.
    """
    tree = _Tree(_paths(root.graph), modules)
    _nest(root, tree, "", 0)
    calls = [node for node in root.graph.nodes if node.op not in ("placeholder", "output")]
    numbers = [str(node.target) for node in calls if node.op == "call_module"]
    if len(numbers) == len(calls) and _is_chain(calls, numbers) and modules.get("") == "Sequential":
        _fill_gaps(root, tree, "", "", calls)
    _drop_empty(root)
    root.recompile()
    return root


def _drop_empty(module: nn.Module) -> None:
    """Rooms that nothing has moved into."""
    for name, child in list(module.named_children()):
        _drop_empty(child)
        if type(child) is nn.Module and not (child._modules or child._parameters or child._buffers):
            del module._modules[name]


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


@dataclass(frozen=True)
class _Tree:
    """The module path of every node, and the classes of the source's modules."""

    paths: dict[fx.Node, tuple[str, ...]]
    modules: Mapping[str, str]

    def class_of(self, path: str, nodes: Sequence[fx.Node], depth: int) -> str:
        """The class that the source gave to the module at ``path``, whose nodes are among these."""
        told = self.modules.get(path, "").partition("(")[0]
        return told if told.isidentifier() else _class_of(nodes, depth)


def _nest(module: fx.GraphModule, tree: _Tree, at: str, depth: int) -> None:
    """Move the nodes of each child's path into a module of its own, then go on inside of it."""
    for name, nodes in _groups(module, tree, depth).items():
        if depth >= _DEEPEST:
            return
        if not _holds_list(nodes, tree, depth) and not _holds_dict(nodes, tree, f"{at}{name}", depth):
            _nest_one(module, tree, name, nodes, at, depth)
            continue
        for child, inner in _groups(module, tree, depth + 1, (name,)).items():
            _nest_one(module, tree, f"{name}.{child}", inner, at, depth + 1)
        if not _join_calls(module, tree, name, at, depth) and not _list_children(module, tree, name, at):
            left = _groups(module, tree, depth)[name]
            if _may_move(module, name, left):
                _moved(module, name, left, tree, tree.class_of(f"{at}{name}", left, depth))


def _groups(module: fx.GraphModule, tree: _Tree, depth: int, below: tuple[str, ...] = ()) -> dict[str, list[fx.Node]]:
    """The nodes by the next step of their paths; only those ``below`` these last steps."""
    groups: dict[str, list[fx.Node]] = defaultdict(list)
    for node in module.graph.nodes:
        path = tree.paths.get(node, ())
        inside = not below or path[depth - len(below) : depth] == below
        if node.op not in ("placeholder", "output") and len(path) > depth and inside:
            groups[path[depth]].append(node)
    return groups


def _holds_list(nodes: Sequence[fx.Node], tree: _Tree, depth: int) -> bool:
    """Whether all is done by children that have numbers for names."""
    paths = [tree.paths[node] for node in nodes if node.op != "get_attr"]
    return bool(paths) and all(len(path) > depth + 1 and path[depth + 1].isdigit() for path in paths)


def _holds_dict(nodes: Sequence[fx.Node], tree: _Tree, path: str, depth: int) -> bool:
    """Whether the source held these children in a dictionary, which does nothing itself."""
    paths = [tree.paths[node] for node in nodes if node.op != "get_attr"]
    return tree.modules.get(path) == "ModuleDict" and bool(paths) and all(len(p) > depth + 1 for p in paths)


def _nest_one(module: fx.GraphModule, tree: _Tree, name: str, nodes: Sequence[fx.Node], at: str, depth: int) -> None:
    path = f"{at}{name}"
    made = _made_room(module, name) if path in tree.modules else None
    if _may_move(module, name, nodes):
        inner = _moved(module, name, nodes, tree, tree.class_of(path, nodes, depth))
        if inner is not None:
            _nest(inner, tree, f"{path}.", depth + 1)
            inner.recompile()
            return
    if made is not None:
        del made._modules[name.rpartition(".")[2]]


def _made_room(module: nn.Module, name: str) -> nn.Module | None:
    """The parent of a new, empty module at ``name``; None where something is there already."""
    parent, _, leaf = name.rpartition(".")
    holder = container(module, parent)
    takes = type(holder) is nn.Module or isinstance(holder, fx.GraphModule)
    if hasattr(holder, leaf) or not takes:
        return None
    holder.add_module(leaf, nn.Module())
    return holder


def _join_calls(module: fx.GraphModule, tree: _Tree, name: str, at: str, depth: int) -> bool:
    """Call children with numbers, which are called one after the other, as one; False where they are not."""
    below = f"{name}."
    calls = [n for n in module.graph.nodes if n.op == "call_module" and str(n.target).startswith(below)]
    loose = [n for n in module.graph.nodes if n not in calls and tree.paths.get(n, ())[depth : depth + 1] == (name,)]
    held = module._modules.get(name)
    numbers = [str(n.target).removeprefix(below) for n in calls]
    if type(held) is not nn.Module or loose or not _is_chain(calls, numbers):
        return False
    if set(held._modules) != set(numbers) or _owns(held):
        return False
    _fill_gaps(module, tree, below, at, calls)
    calls = [n for n in module.graph.nodes if n.op == "call_module" and str(n.target).startswith(below)]
    return _moved(module, name, calls, tree, tree.class_of(f"{at}{name}", calls, depth)) is not None


def _list_children(module: nn.Module, tree: _Tree, name: str, at: str) -> bool:
    """Hold the children in a ModuleList or a ModuleDict where the source did."""
    held, kind = module._modules.get(name), tree.modules.get(f"{at}{name}")
    if type(held) is not nn.Module or held._parameters or held._buffers:
        return False
    keys = list(held._modules)
    made: nn.Module | None = nn.ModuleDict() if kind == "ModuleDict" else None
    if kind == "ModuleList" and all(key.isdigit() for key in keys):
        keys.sort(key=int)
        made = nn.ModuleList() if keys == [str(i) for i in range(len(keys))] else None
    if made is None:
        return False
    made._modules.update({key: held._modules[key] for key in keys})
    module._modules[name] = made
    return True


def _owns(held: nn.Module) -> bool:
    return bool(held._parameters or held._buffers) or not all(key.isdigit() for key in held._modules)


def _is_chain(calls: Sequence[fx.Node], numbers: Sequence[str]) -> bool:
    """Whether each call takes nothing but the result of the one before, once, in the order of their numbers."""
    if (
        len(calls) < 2
        or not all(n.isdigit() for n in numbers)
        or [int(n) for n in numbers] != sorted({int(n) for n in numbers})
    ):
        return False
    first, last = calls[0], calls[-1]
    if len(first.args) != 1 or not isinstance(first.args[0], fx.Node):
        return False
    return all(
        then.args == (before,) and list(before.users) == [then] for before, then in itertools.pairwise(calls)
    ) and bool(last.users)


def _fill_gaps(module: fx.GraphModule, tree: _Tree, below: str, at: str, calls: Sequence[fx.Node]) -> None:
    """Modules of a sequence that left no trace, as dropout does in evaluation, stand in their places again."""
    held = module.get_submodule(below.removesuffix("."))
    prefix = f"{at}{below}"
    told = {p.removeprefix(prefix): c for p, c in tree.modules.items() if p.startswith(prefix)}
    missing = sorted((int(k) for k in told if k.isdigit() and k not in held._modules), key=int)
    for number in missing:
        before = [n for n in calls if int(str(n.target).removeprefix(below)) < number]
        after = [n for n in calls if n not in before]
        held.add_module(str(number), silent(told[str(number)]))
        given = before[-1] if before else calls[0].args[0]
        assert isinstance(given, fx.Node)
        with module.graph.inserting_after(before[-1]) if before else module.graph.inserting_before(calls[0]):
            call = module.graph.call_module(f"{below}{number}", (given,))
        call.meta = {k: v for k, v in calls[0].meta.items() if k == NODE}
        tree.paths[call] = tree.paths.get(calls[0], ())[:-1]
        if after:
            after[0].args = (call,)
        else:
            given.replace_all_uses_with(call, delete_user_cb=lambda user, own=call: user is not own)
        calls = sorted([*calls, call], key=lambda n: int(str(n.target).removeprefix(below)))
    keys = sorted(held._modules, key=lambda key: int(key) if key.isdigit() else len(held._modules))
    ordered = {key: held._modules[key] for key in keys}
    held._modules.clear()
    held._modules.update(ordered)


def silent(told: str) -> nn.Module:
    """A module that left no trace in the graph: dropout where it was that, else one that does nothing."""
    found = _DROPOUT.fullmatch(told)
    return nn.Dropout(min(1.0, float(found[1]))) if found else nn.Identity()


def _may_move(module: fx.GraphModule, name: str, nodes: Sequence[fx.Node]) -> bool:
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


def _moved(
    module: fx.GraphModule, name: str, nodes: Sequence[fx.Node], tree: _Tree, kind: str
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
        tree.paths[copies[node]] = tree.paths.get(node, ())
    results = tuple(copies[node] for node in made)
    graph.output(results[0] if len(results) == 1 else results)
    held = module.get_submodule(name)
    for target in {str(node.target) for node in own}:
        held.register_buffer(target, module._buffers.pop(target), persistent=False)
    inner = graph_module(held, graph, kind or "Part")
    setattr(inner, CLASS, kind)
    parent, _, leaf = name.rpartition(".")
    module.get_submodule(parent)._modules[leaf] = inner
    _call_instead(module, name, moving, given, made, tree)
    return inner


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
    tree: _Tree,
) -> None:
    """One call of the submodule where its nodes stood: behind all that it needs, before all that needs it."""
    graph = module.graph
    order = {node: i for i, node in enumerate(graph.nodes)}
    anchor = max([*given, moving[0]], key=lambda node: order[node])
    later = _users_before(graph, anchor, made, set(moving), order)
    with graph.inserting_after(anchor):
        call = graph.call_module(name, tuple(given))
    tree.paths[call] = _common([tree.paths[node] for node in made])
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
