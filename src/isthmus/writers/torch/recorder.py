"""An fx tracer without a module to trace: lowerings are called with its proxies, bodies of loops in graphs inside."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import fx, nn
from torch.fx.proxy import Scope, TracerBase

from isthmus.writers.torch.graphed import graph_module
from isthmus.writers.torch.names import Paths

VALUE = "isthmus.value"
"""Metadata of an fx node: the hub's value that it makes."""

NODE = "isthmus.node"
"""Metadata of an fx node: the hub's node whose lowering made it."""


@dataclass
class _Frame:
    """A graph under construction. Proxies of the frames around it are lifted into it as placeholders."""

    graph: fx.Graph
    root: nn.Module
    lifted: dict[fx.Node, fx.Proxy] = field(default_factory=dict)
    captured: list[fx.Proxy] = field(default_factory=list)
    sizes: dict[tuple[fx.Node, int], fx.Proxy] = field(default_factory=dict)


class Recorder(TracerBase):
    """Records what is done to its proxies into ``root``, a module that holds the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.root = nn.Module()
        self.scope = Scope("", None)
        self.module_stack: OrderedDict[str, Any] = OrderedDict()
        self.node_name_to_scope: dict[str, Any] = {}
        self.paths = Paths()
        self.current: ir.Node | None = None
        self._frames = [_Frame(new_graph(), self.root)]

    @property
    def graph(self) -> fx.Graph:
        return self._frames[-1].graph

    @property
    def is_outermost(self) -> bool:
        """Whether it records the model itself, and no body of a loop or a choice."""
        return len(self._frames) == 1

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        if self.current is not None:
            node.meta[NODE] = self.current
        return node

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any, **named: Any) -> fx.Proxy:
        """As fx does; a size that was asked for already is not asked for again."""
        if kind != "call_method" or target != "size" or len(args) != 2 or not isinstance(args[1], int):
            return super().create_proxy(kind, target, args, kwargs, *rest, **named)
        asked = self._frames[-1].sizes
        key = (self.create_arg(args[0]), args[1])
        if key not in asked:
            asked[key] = super().create_proxy(kind, target, args, kwargs, *rest, **named)
        return asked[key]

    def create_arg(self, a: Any) -> Any:
        """As fx does, and besides: numpy scalars, arrays of sizes, tensors of now, proxies of an outer graph."""
        if isinstance(a, fx.Proxy):
            return self._here(a, len(self._frames) - 1).node
        if isinstance(a, torch.Tensor):
            return self._here(self.tensor(a), len(self._frames) - 1).node
        if isinstance(a, np.generic):
            return a.item()
        if isinstance(a, np.ndarray):
            return self.create_arg(a.tolist())
        return super().create_arg(a)

    def placeholder(self, name: str) -> fx.Proxy:
        return self.create_proxy("placeholder", name, (), {})

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Record a call of ``function``, whether or not there is a proxy among its arguments."""
        if function is torch.tensor and not self.is_outermost:
            return self._filled(*args, **kwargs)
        return self.create_proxy("call_function", function, args, kwargs)

    def _filled(self, values: Any, **kwargs: Any) -> fx.Proxy:
        """``torch.tensor`` in a body: torch.export makes a constant of that one, which no body in a file can hold."""
        if not isinstance(values, Sequence):
            return self.create_proxy("call_function", torch.full, ([], values), kwargs)
        if not values:
            return self.create_proxy("call_function", torch.zeros, ([0],), kwargs)
        return self.create_proxy("call_function", torch.stack, ([self._filled(v, **kwargs) for v in values],), {})

    def module(self, path: str, module: nn.Module, *args: Any) -> Any:
        """Put ``module`` at ``path`` and record a call of it."""
        put_module(self.root, path, module)
        return self.create_proxy("call_module", path, args, {})

    def attribute(self, path: str) -> fx.Proxy:
        """What stands at ``path`` below the root, as a proxy of the outermost graph."""
        inner, self._frames = self._frames, self._frames[:1]
        current, self.current = self.current, None
        proxy = self.create_proxy("get_attr", path, (), {})
        self._frames, self.current = inner, current
        return proxy

    def tensor(self, value: torch.Tensor) -> fx.Proxy:
        """A tensor that a lowering made of what is known at conversion: a buffer that no state dict shows."""
        path = self.paths.choose("constant")
        put_tensor(self.root, path, value, role="constant")
        return self.attribute(path)

    def trace(
        self, run: Callable[[list[fx.Proxy]], Sequence[Any]], inputs: int
    ) -> tuple[fx.GraphModule, list[fx.Proxy]]:
        """``run`` on so many placeholders, in a graph of its own; and what it captured, further placeholders."""
        frame = _Frame(new_graph(), nn.Module())
        self._frames.append(frame)
        current = self.current
        try:
            given = [self.placeholder(f"x{i}") for i in range(inputs)]
            made = run(given)
            result = made if isinstance(made, fx.Proxy) else tuple(made)  # a condition gives one tensor
            self.create_node("output", "output", (self.create_arg(result),), {})
        finally:
            self._frames.pop()
            self.current = current
        return graph_module(frame.root, frame.graph, "Body"), frame.captured

    def bodies(
        self, runs: Sequence[Callable[..., Sequence[Any]]], inputs: int
    ) -> tuple[list[fx.Proxy], tuple[fx.Proxy, ...]]:
        """Several bodies as submodules that take the same operands: ``inputs``, then what any of them captures."""
        traced = [self.trace(lambda given, run=run: run(*given), inputs) for run in runs]  # type: ignore[misc]
        union: dict[fx.Node, fx.Proxy] = {proxy.node: proxy for _, captured in traced for proxy in captured}
        for module, captured in traced:
            _take_all(module, [proxy.node for proxy in captured], list(union), inputs)
        return [self.inner(module) for module, _ in traced], tuple(union.values())

    def inner(self, module: fx.GraphModule) -> fx.Proxy:
        """A traced body as a submodule of the graph that is under construction."""
        path = self.paths.choose("body")
        put_module(self._frames[-1].root, path, module)
        return self.create_proxy("get_attr", path, (), {})

    def _here(self, proxy: fx.Proxy, depth: int) -> fx.Proxy:
        """``proxy`` as seen in the frame at ``depth``: itself, or a placeholder for it."""
        frame = self._frames[depth]
        if proxy.node.graph is frame.graph or depth == 0:
            return proxy
        if proxy.node not in frame.lifted:
            outer = self._here(proxy, depth - 1)
            frame.captured.append(outer)
            frame.lifted[proxy.node] = _placeholder(self, frame.graph, f"captured_{len(frame.captured) - 1}")
        return frame.lifted[proxy.node]


def new_graph() -> fx.Graph:
    """An empty graph, none of whose nodes will be called ``self``: that is the module in the code fx makes of it."""
    graph = fx.Graph()
    graph._graph_namespace.create_name("self", None)
    return graph


def _take_all(module: fx.GraphModule, own: Sequence[fx.Node], union: Sequence[fx.Node], inputs: int) -> None:
    """Give ``module`` a placeholder for each of ``union``, in that order, behind its first ``inputs``."""
    graph = module.graph
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    held = dict(zip(own, placeholders[inputs:], strict=True))
    anchor = next((node for node in graph.nodes if node.op != "placeholder"), None)
    for i, outer in enumerate(union):
        with graph.inserting_before(anchor):
            fresh = graph.placeholder(f"operand_{i}")
        if outer in held:
            held[outer].replace_all_uses_with(fresh)
            graph.erase_node(held[outer])
    module.recompile()


def _placeholder(recorder: Recorder, graph: fx.Graph, name: str) -> fx.Proxy:
    """A placeholder behind those that ``graph`` has already, wherever the graph has got to."""
    last = [node for node in graph.nodes if node.op == "placeholder"]
    with graph.inserting_after(last[-1]) if last else graph.inserting_before(next(iter(graph.nodes), None)):
        return fx.Proxy(graph.placeholder(name), recorder)


def put_module(root: nn.Module, path: str, module: nn.Module) -> None:
    """Place ``module`` below ``root``, with plain modules on the way to it."""
    parent, _, leaf = path.rpartition(".")
    container(root, parent).add_module(leaf, module)


def put_tensor(root: nn.Module, path: str, tensor: torch.Tensor, *, role: str) -> None:
    """Place a tensor below ``root``: a parameter, a buffer, or a buffer that no state dict shows."""
    parent, _, leaf = path.rpartition(".")
    if role == "parameter":
        container(root, parent).register_parameter(leaf, nn.Parameter(tensor))
    else:
        container(root, parent).register_buffer(leaf, tensor, persistent=role == "buffer")


def container(root: nn.Module, path: str) -> nn.Module:
    """The module at ``path``, made where it is not there yet."""
    for part in path.split(".") if path else ():
        if part not in root._modules:
            root.add_module(part, nn.Module())
        child = root._modules[part]
        assert child is not None
        root = child
    return root
