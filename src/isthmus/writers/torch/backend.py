"""What the walk must know of PyTorch: constants, parameters, values known at conversion. Eager, or recorded."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from isthmus.hub.model import ROLE
from isthmus.hub.state import State, place_of
from isthmus.lower.walk import Refusal
from isthmus.writers.torch import host
from isthmus.writers.torch.recorder import Recorder, put_tensor
from isthmus.writers.torch.weights import Role, held_dtype, role_of, tensor_of


@dataclass(frozen=True)
class Stored:
    """Where a weight of the source is in the module: its key, the permutation that its axes went through, and the
    shape that it then got; None where these stayed as they were."""

    key: str
    perm: tuple[int, ...] | None = None
    shape: tuple[int, ...] | None = None


class TorchBackend:
    """Lowers with real tensors, or into the graph of a ``Recorder``, whose root then holds the weights."""

    failures: tuple[type[Exception], ...] = (RuntimeError, TypeError, ValueError, IndexError)

    def __init__(
        self,
        recorder: Recorder | None = None,
        weights: Mapping[str, ir.Value] | None = None,
        state: State | None = None,
    ) -> None:
        self.recorder = recorder
        self.state = state or State()
        """What the source's state dict has besides the weights of the graph."""
        self.order = tuple(str(name) for name in weights or ())
        """The names of the source's initializers, in its order."""
        self.stored: dict[str, Stored] = {}
        """Names of the source's initializers → where and how their tensors are in the module."""
        self.placed: set[ir.Value] = set()
        self.layers: dict[str, tuple[str, object]] = {}
        """Where a layer was wanted → where it stands, and what makes another one the same."""
        self._made: dict[ir.Value, Any] = {}
        self._below: dict[str, set[str]] = {}
        marks = {value.metadata_props.get(ROLE) for value in (weights or {}).values()}
        self.marked = state is not None or bool(marks & {"parameter", "buffer"})
        """Whether the source tells its weights from its constants."""
        for key in (*map(place_of, (weights or {}).values()), *self.state.tied, *self.state.kept):
            parts = key.split(".")
            for depth in range(1, len(parts)):
                self._below.setdefault(".".join(parts[:depth]), set()).add(key)

    def constant(self, value: ir.Value) -> Any:
        """The tensor of an initializer, or a proxy of the module's attribute that holds it; made once."""
        if value not in self._made:
            assert value.const_value is not None
            try:
                tensor = tensor_of(value.const_value)
            except TypeError as error:
                raise Refusal(str(error), "") from error
            self._made[value] = tensor if self.recorder is None else self._placed(value, tensor, self.recorder)
        return self._made[value]

    def parameter(self, value: ir.Value) -> Any:
        return self.constant(value)

    def known(self, tensor: Any) -> np.ndarray | None:
        return tensor if isinstance(tensor, np.ndarray) and not host.is_symbolic(tensor) else None

    def rank(self, tensor: Any) -> int | None:
        return tensor.ndim if isinstance(tensor, torch.Tensor | np.ndarray) else None

    def scope(self, node: ir.Node) -> AbstractContextManager[Any]:
        return self._at(node) if self.recorder is not None else contextlib.nullcontext()

    def tensor(self, held: Any, dtype: ir.DataType) -> Any:
        """What a lowering is handed where it wants a tensor: a value of shape arithmetic becomes one."""
        if not isinstance(held, np.ndarray):
            return held
        values = held.tolist()
        return self.call(torch.tensor, values, dtype=held_dtype(dtype))

    def call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """``function(*args)``, now or recorded: for functions that make tensors of sizes alone."""
        if self.recorder is None:
            return function(*args, **kwargs)
        return self.recorder.call(function, *args, **kwargs)

    def _placed(self, value: ir.Value, tensor: torch.Tensor, recorder: Recorder) -> Any:
        if (held := self.stored.get(str(value.name))) is not None:  # in a layer: a tied weight
            proxy = recorder.attribute(held.key)
            if held.shape is not None:
                proxy = proxy.reshape(tuple(tensor.shape))
            return proxy if held.perm is None else proxy.permute(tuple(int(i) for i in np.argsort(held.perm)))
        role = self.role(value)
        place = place_of(value) or "value"
        if role == "constant" and "/" in place:  # it is called as the node that made it, and belongs to its users
            place = place.rpartition("/")[2].replace(".", "_") or "constant"
        path = recorder.paths.choose(place)
        put_tensor(recorder.root, path, tensor, role=role)
        self.note(value, path)
        return recorder.attribute(path)

    def role(self, value: ir.Value) -> Role:
        """What an initializer is in the module."""
        return role_of(value, marked=self.marked)

    def note(
        self,
        value: ir.Value,
        path: str,
        perm: tuple[int, ...] | None = None,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        """Keep in mind where a weight went, and in which order of axes and which shape it is stored there."""
        self.stored[str(value.name)] = Stored(path, perm, shape)
        self.placed.add(value)

    def names_below(self, prefix: str) -> set[str]:
        """The keys of weights, read by the graph or not, that lie directly or deeper below ``prefix``."""
        return self._below.get(prefix, set())

    @contextlib.contextmanager
    def _at(self, node: ir.Node) -> Iterator[None]:
        assert self.recorder is not None
        before, self.recorder.current = self.recorder.current, node
        try:
            yield
        finally:
            self.recorder.current = before
