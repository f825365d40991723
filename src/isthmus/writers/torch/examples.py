"""The inputs that torch.export is shown: the sizes that free dimensions have there, and what they are called."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir
import torch
from torch.export import Dim

from isthmus.hub.model import Hub
from isthmus.writers.torch.fixed import fixed_sizes
from isthmus.writers.torch.names import identifier, unique
from isthmus.writers.torch.weights import held_dtype

_FIRST = 3
"""The least size of an example: 0 and 1 are special to torch.export."""

_COUNTS = (8, 4, 2)
"""How many wide steps the first size has: as many as memory takes."""

_MOST = 1 << 26
"""How many elements the examples may have together."""


@dataclass(frozen=True)
class Examples:
    """Sizes for the free dimensions of ``inputs``, none like another, and inputs of these."""

    inputs: Sequence[Any]
    limits: Mapping[str, Any]
    """Of each free dimension, where the source told them: the least, the greatest, the multiple."""
    fixed: Mapping[str, int] = field(default_factory=dict)
    """Free dimensions to which the weights leave one size."""

    @classmethod
    def of(cls, hub: Hub) -> Examples:
        return cls(list(hub.graph.inputs), hub.extras.get("dims", {}), fixed_sizes(hub.graph))

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        found = (name_of(dim) for value in self.inputs for dim in value.shape or ())
        return tuple(dict.fromkeys(name for name in found if name is not None))

    @functools.cached_property
    def dims(self) -> dict[str, Any]:
        """What torch.export is told of each free dimension: its name and limits, as far as it can be told."""
        made: dict[str, Any] = {}
        taken: list[str] = []
        for name in self.names:
            if name in self.fixed:
                made[name] = Dim.STATIC
                continue
            limit = self.limits.get(name, {})
            title = unique(identifier(str(name), otherwise="dim"), taken)
            taken.append(title)
            if limit.get("multiple", 1) != 1 or limit.get("offset", 0):
                made[name] = Dim.AUTO
            else:
                made[name] = Dim(title, **{k: v for k in ("min", "max") if (v := limit.get(k)) is not None})
        return made

    def axes(self, dims: Mapping[str, Any]) -> tuple[dict[int, Any], ...]:
        """``dims`` by the axes of each input."""
        return tuple(
            {
                axis: Dim.AUTO if dim.value is None else dims[dim.value]
                for axis, dim in enumerate(value.shape or ())
                if not isinstance(dim, int)
            }
            for value in self.inputs
        )

    def sizes(self, step: int, *, times: int = 1) -> dict[str, int]:
        """``step`` lies between two sizes, which are ``times`` as large as the least that will do."""
        count = next((count for count in _COUNTS if self._fits(self._sizes(step, count, 1))), _COUNTS[-1])
        return self._sizes(step, count, times)

    def affordable(self, step: int) -> int:
        """``step``, or less where all examples would not fit into memory."""
        while step > 1 and not self._fits(self.sizes(step)):
            step //= 2
        return step

    def least(self, name: str) -> int:
        """The least size that the source's inputs may have there."""
        limit = self.limits.get(name, {})
        return int(max(limit.get("min") or 1, limit.get("offset", 0) + limit.get("multiple", 1)))

    def tensors(self, sizes: Mapping[str, int], *, device: str = "cpu") -> tuple[torch.Tensor, ...]:
        shapes = [
            [d if isinstance(d, int) else sizes.get(d.value, _FIRST) for d in v.shape or ()] for v in self.inputs
        ]
        return tuple(
            torch.zeros(shape, dtype=held_dtype(value.dtype), device=device)
            for value, shape in zip(self.inputs, shapes, strict=True)
        )

    def _sizes(self, step: int, count: int, times: int) -> dict[str, int]:
        sizes: dict[str, int] = {}
        for at, name in enumerate(self.names):
            if name in self.fixed:
                sizes[name] = self.fixed[name]
                continue
            limit = self.limits.get(name, {})
            multiple, offset = limit.get("multiple", 1), limit.get("offset", 0)
            least = max(limit.get("min") or 0, _FIRST if step == 1 else count * step)
            sizes[name] = multiple * (-(-(least - offset) // multiple) + at * step) * times + offset
            if limit.get("max"):
                sizes[name] = min(sizes[name], limit["max"])
        return sizes

    def _fits(self, sizes: Mapping[str, int]) -> bool:
        return sum(example.numel() for example in self.tensors(sizes, device="meta")) <= _MOST


def name_of(dim: int | ir.SymbolicDim) -> str | None:
    """The name of a free dimension; None for a size and for one without a name."""
    return None if isinstance(dim, int) else dim.value
