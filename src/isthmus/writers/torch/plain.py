"""A recorded tree as plain modules, for exporting: torch.export forgets the paths of graph modules."""

from __future__ import annotations

import copy
from collections.abc import Set
from typing import Any

from torch import fx, nn

from isthmus.writers.torch.moving import CLASS

_NAMELESS = "Module"
"""What the class of a module is called where the source does not say."""


def as_plain(root: nn.Module, title: str = "") -> nn.Module:
    """``root`` with a plain module in the place of each graph module that is called; both hold the same tensors.

    The classes are called as in the source, that of the whole ``title``. Bodies of branches and loops stay graphs.
    """
    graphed = [module for module in root.modules() if isinstance(module, fx.GraphModule)]
    bodies = {
        module.get_submodule(str(node.target))
        for module in graphed
        for node in module.graph.nodes
        if node.op == "get_attr" and str(node.target) in dict(module.named_modules())
    }
    return _plain(root, title, bodies, {})


def _plain(module: nn.Module, kind: str, bodies: Set[nn.Module], made: dict[nn.Module, nn.Module]) -> nn.Module:
    if module in bodies or not any(isinstance(inner, fx.GraphModule) for inner in module.modules()):
        return module
    if module not in made:
        twin = made[module] = _twin(module, kind)
        children = ((name, child) for name, child in module._modules.items())
        twin._modules = {
            name: child and _plain(child, str(getattr(child, CLASS, "")), bodies, made) for name, child in children
        }
    return made[module]


def _twin(module: nn.Module, kind: str) -> nn.Module:
    """Another module with the same content; a graph module's computes the same without its graph."""
    if not isinstance(module, fx.GraphModule):
        return copy.copy(module)
    body: dict[str, Any] = {"forward": type(module).forward, "__module__": "model"}
    cls = type(kind if kind.isidentifier() else _NAMELESS, (nn.Module,), body)
    twin: nn.Module = object.__new__(cls)
    twin.__dict__.update({key: held for key, held in module.__dict__.items() if key != "_graph"})
    return twin
