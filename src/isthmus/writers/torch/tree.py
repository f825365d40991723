"""One flat graph as a tree of modules: what the source computed in a module of its own gets one again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import onnx_ir as ir
from torch import fx, nn

from isthmus.hub.provenance import where
from isthmus.writers.torch.forward import DIM
from isthmus.writers.torch.moving import Tree, common, may_move, moved
from isthmus.writers.torch.names import component
from isthmus.writers.torch.recorder import NODE, VALUE, container
from isthmus.writers.torch.sequences import fill_gaps, is_chain, join_calls, list_children

_DEEPEST = 24


def nested(root: fx.GraphModule, modules: Mapping[str, str] = MappingProxyType({})) -> fx.GraphModule:
    """``root`` with a submodule for each module path whose nodes can be computed in one go, from the outside in.

    ``modules`` are the paths of the source's modules → their classes, where it told them.
    """
    _name_sizes(root.graph)
    tree = Tree(_paths(root.graph), modules)
    _nest(root, tree, "", 0)
    calls = [node for node in root.graph.nodes if node.op not in ("placeholder", "output")]
    numbers = [str(node.target) for node in calls if node.op == "call_module"]
    if len(numbers) == len(calls) and is_chain(calls, numbers) and modules.get("") == "Sequential":
        fill_gaps(root, tree, "", "", calls)
    _drop_empty(root)
    for module in root.modules():
        if isinstance(module, fx.GraphModule):
            _drop_sizes(module.graph)
            module.recompile()
    return root


def _name_sizes(graph: fx.Graph) -> None:
    """Mark the sizes whose free dimension has a name."""
    for node in graph.nodes:
        if node.op == "call_method" and node.target == "size" and isinstance(node.args[-1], int):
            value = node.args[0].meta.get(VALUE)
            shape = value.shape if isinstance(value, ir.Value) else None
            if shape is not None and isinstance(dim := shape[node.args[1]], ir.SymbolicDim) and dim.value:
                node.meta[DIM] = dim.value


def _drop_sizes(graph: fx.Graph) -> None:
    """Sizes that nothing asks for any more: a module inside asks its own input."""
    for node in reversed(list(graph.nodes)):
        if node.op == "call_method" and node.target == "size" and not node.users:
            graph.erase_node(node)


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
            paths[node] = common(users)
    return paths


def _nest(module: fx.GraphModule, tree: Tree, at: str, depth: int) -> None:
    """Move the nodes of each child's path into a module of its own, then go on inside of it.

    ``at`` is the path of ``module`` with a dot behind it, which has ``depth`` steps.
    """
    for name, nodes in _groups(module, tree, depth).items():
        if depth >= _DEEPEST:
            return
        _nest_group(module, tree, name, nodes, at, depth)


def _nest_group(module: fx.GraphModule, tree: Tree, name: str, nodes: Sequence[fx.Node], at: str, depth: int) -> None:
    """Nest what is below ``name``: a module, or a list or dictionary of modules, which does nothing itself."""
    path = f"{at}{name}"
    if depth >= _DEEPEST or not (_holds_list(nodes, tree, depth) or _holds_dict(nodes, tree, path, depth)):
        _nest_one(module, tree, name, nodes, at, depth)
        return
    steps = tuple(name.split("."))
    for child, inner in _groups(module, tree, depth + 1, steps).items():
        _nest_group(module, tree, f"{name}.{child}", inner, at, depth + 1)
    told = tree.modules.get(path, "ModuleList")  # numbers that are no sequence are a list, where the source is silent
    if not join_calls(module, tree, name, path, depth) and not list_children(module, name, told):
        left = _groups(module, tree, depth, steps[:-1]).get(steps[-1], [])
        if may_move(module, name, left):
            moved(module, name, left, tree, tree.class_of(path, left, depth))


def _groups(module: fx.GraphModule, tree: Tree, depth: int, below: tuple[str, ...] = ()) -> dict[str, list[fx.Node]]:
    """The nodes by the next step of their paths; only those ``below`` these last steps."""
    groups: dict[str, list[fx.Node]] = defaultdict(list)
    for node in module.graph.nodes:
        path = tree.paths.get(node, ())
        inside = not below or path[depth - len(below) : depth] == below
        if node.op not in ("placeholder", "output") and len(path) > depth and inside:
            groups[path[depth]].append(node)
    return groups


def _holds_list(nodes: Sequence[fx.Node], tree: Tree, depth: int) -> bool:
    """Whether all is done by children that have numbers for names."""
    paths = [tree.paths[node] for node in nodes if node.op != "get_attr"]
    return bool(paths) and all(len(path) > depth + 1 and path[depth + 1].isdigit() for path in paths)


def _holds_dict(nodes: Sequence[fx.Node], tree: Tree, path: str, depth: int) -> bool:
    """Whether the source held these children in a dictionary, which does nothing itself."""
    paths = [tree.paths[node] for node in nodes if node.op != "get_attr"]
    return tree.modules.get(path) == "ModuleDict" and bool(paths) and all(len(p) > depth + 1 for p in paths)


def _nest_one(module: fx.GraphModule, tree: Tree, name: str, nodes: Sequence[fx.Node], at: str, depth: int) -> None:
    path = f"{at}{name}"
    made = _made_room(module, name) if path in tree.modules else None
    if may_move(module, name, nodes):
        inner = moved(module, name, nodes, tree, tree.class_of(path, nodes, depth))
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
