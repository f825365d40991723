"""A module that computes its graph: an ``fx.GraphModule`` that keeps what it holds, also when copied or pickled."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import fx, nn

_TABLES = ("_parameters", "_buffers", "_modules")


class Retracer(fx.Tracer):
    """Traces a module's own code once more, which is how fx unpickles: what takes bodies stays one call."""

    def __init__(self) -> None:
        choices = (torch.ops.higher_order.cond, torch.ops.higher_order.while_loop)
        super().__init__(autowrap_modules=(math, torch.ops.higher_order), autowrap_functions=choices)

    def trace(self, root: Any, concrete_args: dict[str, Any] | None = None) -> fx.Graph:
        graph = super().trace(root, concrete_args)
        for node in graph.nodes:
            node.meta.pop("is_wrapped", None)  # the code would wrap what has dots in its name, and all traces fail
        return graph


class Graphed(fx.GraphModule):
    """fx would take over only what the graph itself uses, and forget which buffers no state dict shows."""

    def __init__(self, root: nn.Module, graph: fx.Graph, class_name: str = "GraphModule") -> None:
        graph._tracer_cls = Retracer
        super().__init__(root, graph, class_name)

    def __deepcopy__(self, memo: dict[int, Any]) -> Graphed:
        made = super().__deepcopy__(memo)
        return _holding(made, copy.deepcopy(self.__dict__, memo))  # which fx has copied already: the same copies

    def __reduce__(self) -> tuple[Any, ...]:
        rebuild, given = super().__reduce__()
        return _rebuilt, (rebuild, given)


def graph_module(root: nn.Module, graph: fx.Graph, name: str) -> Graphed:
    """``graph`` as a module with everything that ``root`` holds."""
    return _holding(Graphed(root, graph, class_name=name), root.__dict__)


def _rebuilt(rebuild: Callable[..., fx.GraphModule], given: tuple[Any, ...]) -> Graphed:
    plain = rebuild(*given)
    return _holding(Graphed(plain, plain.graph, class_name=type(plain).__name__), given[0])


def _holding(made: Any, state: Mapping[str, Any]) -> Any:
    """``made`` with the tables of a module's ``__dict__``, in their order, before what it has besides: constants."""
    hidden = set(state["_non_persistent_buffers_set"])
    for table in _TABLES:
        own = getattr(made, table)
        held = {**state[table], **{key: value for key, value in own.items() if key not in state[table]}}
        hidden |= held.keys() - state[table].keys()
        own.clear()
        own.update(held)
    made._non_persistent_buffers_set = hidden
    made.training = state["training"]
    return made
