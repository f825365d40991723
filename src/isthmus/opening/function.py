"""``Opened``: a TensorFlow computation as a function of named tensors, which can be called and traced."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from isthmus.errors import Unsupported
from isthmus.types import Blocker, Dim, Note, StoredWeight

_COLOR = re.compile(r"\x1b\[\d*m")

Scopes = Mapping[str, str]
"""Scopes of the traced graph → paths of the layers that opened them."""


@dataclass(frozen=True)
class Input:
    """An input as the user sees it. ``dims`` names its free dimensions, and is None where the rank is unknown."""

    name: str
    spec: tf.TensorSpec
    dims: tuple[Dim, ...] | None


@dataclass(frozen=True)
class Variable:
    """A variable of the source: its name there, whether it trains, and the object that holds its value.

    Where Isthmus wrote the source, the variable holds what an earlier one had in another order of axes: transposed by
    ``perm`` (of that one's axes), out of ``shape``; ``made_of`` tells how that was made of the earlier one's weight,
    where the two differ, and ``key`` is its key in a PyTorch state dict, where that is not its name. ``is_reference``
    marks a variable of TensorFlow 1 whose tensor is the value itself, and no handle. ``momentum`` is the share of a
    moving statistic that a step of training keeps.
    """

    name: str
    trainable: bool
    value: Any
    perm: tuple[int, ...] = ()
    shape: tuple[int, ...] | None = None
    made_of: StoredWeight | None = None
    key: str = ""
    is_reference: bool = False
    momentum: float | None = None


@dataclass(frozen=True)
class Table:
    """The entries of a lookup table: one array of keys, one of values."""

    keys: Any
    values: Any


@dataclass(frozen=True)
class Opened:
    """A model that is ready to be called or traced.

    ``call`` takes one tensor an input, in their order, and runs the model as its framework does when left alone.
    ``outputs`` names the tensors of what it returned, in order. ``concrete`` is its graph where there is one already.
    ``places`` tells which of the graph's inputs each input is, where their order is another.
    ``weights`` names the variables by the identity of their handles, all of them when the graph is there.
    ``tracing`` is open while the graph is made, and gives the scopes of its layers afterwards. ``constants`` maps
    nodes of the graph's functions, as ``function/node``, to the weights of another source that they hold: what these
    were, without their value, which the node has.
    ``returned`` is what ``call`` gives, of specs, where that is known beforehand. ``layers`` lists the classes of the
    layers, where the source has any. ``producer`` wrote the file. ``scopes`` tells the modules whose operations stand
    in them, ``classes`` their classes by module path, once the graph is there; where the source came from PyTorch,
    ``state`` is what was beside the graph.
    """

    name: str
    kind: str
    road: str
    inputs: tuple[Input, ...]
    call: Callable[..., Any] = field(repr=False)
    outputs: Callable[[Any], list[tuple[str, Any]]] = field(repr=False)
    concrete: Any = None
    places: tuple[int, ...] | None = None
    weights: Callable[[Any], Mapping[int, Variable]] = field(default=lambda concrete: {}, repr=False)
    tracing: Callable[[], AbstractContextManager[Scopes]] = field(default=lambda: nullcontext({}), repr=False)
    constants: Mapping[str, Variable] = field(default_factory=dict)
    returned: Any = None
    layers: Callable[[], list[str]] | None = field(default=None, repr=False)
    notes: tuple[Note, ...] = ()
    producer: str = ""
    scopes: Scopes = field(default_factory=dict)
    classes: Callable[[], Mapping[str, str]] = field(default=dict, repr=False)
    state: str = ""
    keeps: tuple[Any, ...] = ()

    def traced(self) -> tuple[Any, Scopes]:
        """The graph as a ConcreteFunction, and the scopes of its layers.

        Raises errors.Unsupported where the model decides by the values of tensors in Python, or where its framework
        cannot make a graph of it.
        """
        if self.concrete is not None:
            with self.tracing() as scopes:
                return self.concrete, scopes
        try:
            try:
                return self._trace(autograph=False)
            except tf.errors.OperatorNotAllowedInGraphError:  # what Python decides, the graph may be made to decide
                return self._trace(autograph=True)
        except tf.errors.OperatorNotAllowedInGraphError as error:
            reason = f"its Python code looks at the values of tensors: {_told(error)}"
            raise Unsupported(f"{self.name} cannot be traced", [Blocker(self.name, reason)]) from error
        except (ValueError, TypeError, NotImplementedError, tf.errors.OpError) as error:
            reason = f"its framework cannot make a graph of it: {_told(error)}"
            raise Unsupported(f"{self.name} cannot be traced", [Blocker(self.name, reason)]) from error

    def _trace(self, *, autograph: bool) -> tuple[Any, Scopes]:
        """As Keras exports models, without AutoGraph, or as ``tf.function`` makes graphs of Python, with it."""
        specs = [tf.TensorSpec(i.spec.shape, i.spec.dtype, name=f"input_{n}") for n, i in enumerate(self.inputs)]
        with self.tracing() as scopes:
            function = tf.function(lambda *tensors: self.call(*tensors), autograph=autograph)
            return function.get_concrete_function(*specs), scopes


def _told(error: BaseException) -> str:
    """What Keras says at length, in one line: the second of its lines has the cause."""
    lines = [line.strip() for line in _COLOR.sub("", str(error)).splitlines() if line.strip()]
    return " ".join(lines[:2]) or type(error).__name__
