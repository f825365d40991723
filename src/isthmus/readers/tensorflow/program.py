"""What every TensorFlow source is opened as: a graph, its ports and what its resources hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from isthmus.opening.function import Variable
from isthmus.types import Dim, Note

__all__ = ["Port", "Program", "Variable"]


@dataclass(frozen=True)
class Port:
    """An input or output: the name that the user sees, and the tensor of the graph that it stands for.

    ``shape`` names the free dimensions of an input; ``None`` where the graph knows no rank.
    """

    name: str
    tensor: tf.Tensor
    shape: tuple[Dim, ...] | None = None


@dataclass(frozen=True)
class Program:
    """A TensorFlow computation that is ready to be read.

    ``captures`` tells what the placeholders that are no inputs stand for, by tensor name: a ``Variable``, an eager
    tensor or ndarray (a constant), or another resource such as a lookup table. ``modules`` renames the scopes of
    operations to the layer paths that the user knows.
    """

    graph: tf.Graph
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    captures: Mapping[str, Any]
    name: str
    kind: str
    road: str
    notes: tuple[Note, ...] = ()
    modules: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, Variable] = field(default_factory=dict)
    """Nodes of the graph's functions, as ``function/node``, that hold a weight of an earlier source: what it was."""
    classes: Mapping[str, str] = field(default_factory=dict)
    """The classes of modules, by their paths, where the source has any."""
    state: str = ""
    """What a PyTorch model had beside its graph, as ``hub.state`` writes it, where the source came from one."""
    keeps: tuple[Any, ...] = ()
    """What must stay alive while the graph is read."""
