"""What rounding does to a graph: the hub computed in its own precision and in float64, by PyTorch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.errors import IsthmusError
from isthmus.hub.model import Hub
from isthmus.verify.float64 import in_float64
from isthmus.verify.runners.codec import Array, Value
from isthmus.verify.runners.torch import to_numpy, to_torch
from isthmus.verify.tolerance import Bounds, Tolerance, is_floating, magnitude

if TYPE_CHECKING:
    from isthmus.writers.torch.record import Recorded

logger = logging.getLogger(__name__)

_MARGIN = 8.0
"""How much more than this run of it another order of sums, or another kernel, may leave undecided."""
_MOST = 0.1
"""The largest share of an output's magnitude that may be allowed: beyond, nothing would be proved any more.

Where rounding takes a graph this far, it takes a misread attribute or a lost term, which are far larger than a
rounding, as much further: what is wrong still shows.
"""

_LARGEST = 4 << 30
"""Bytes of weights that are still held once more as they are, and once in float64."""


class Floor:
    """The noise of a graph on given inputs, measured where a formula's bounds are exceeded.

    Both runs are of one program that differs in its element types alone, so that nothing but rounding sets them
    apart: what was misread or miswritten is the same in both, and widens no bounds.
    """

    def __init__(self, read: Callable[[], Hub]) -> None:
        self._read = read
        self.found: dict[str, float] = {}
        """The largest share of an output's magnitude that was seen to be undecided, by output."""
        self.lost: dict[str, float] = {}
        """The same of outputs of which so much is undecided that nothing can be proved."""

    def on(self, values: Mapping[str, Value], formula: Tolerance) -> Tolerance:
        """``formula``, and on these inputs what is measured, where that is more."""
        return _Measured(self, values, formula)

    def shares(self, values: Mapping[str, Value]) -> Mapping[str, float]:
        """By output: the largest ``|narrow - wide| / (magnitude + |wide|)``; none where PyTorch cannot compute it."""
        if self._programs is None or any(name not in values for name in self._programs[0].inputs):
            return {}
        narrow, wide = self._programs
        try:
            rounded = _run(narrow, values, wide=False)
            exact = _run(wide, values, wide=True)
        except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError) as error:
            logger.debug("no noise floor: %s", error)
            return {}
        return {name: _share(rounded[name], exact[name]) for name in rounded if name in exact}

    @cached_property
    def _programs(self) -> tuple[Recorded, Recorded] | None:
        from isthmus.writers.torch.record import record

        try:
            hub = self._read()
            if _weighs(hub) > _LARGEST:
                logger.debug("no noise floor: the weights are too large to be held twice over")
                return None
            wide = in_float64(hub)  # before the recording, which works on the hub
            return record(hub), record(wide)
        except (IsthmusError, RuntimeError, TypeError, ValueError) as error:
            logger.debug("no noise floor: %s", error)
            return None


@dataclass(frozen=True)
class _Measured:
    """The bounds of ``formula`` on one sample, which know what to measure where they are exceeded."""

    floor: Floor
    values: Mapping[str, Value]
    formula: Tolerance

    def __call__(self, output: str, reference: Array) -> Bounds:
        bounds = self.formula(output, reference)
        if not is_floating(reference.dtype):
            return bounds
        return replace(bounds, measured=lambda: self._measured(output, reference, bounds))

    def _measured(self, output: str, reference: Array, bounds: Bounds) -> Bounds | None:
        undecided = self._shares.get(output, 0.0)
        share = _MARGIN * undecided
        if share <= bounds.rtol:
            return None
        told = self.floor.found if share <= _MOST else self.floor.lost
        told[output] = max(undecided, told.get(output, 0.0))
        return Bounds(share * magnitude(reference), share) if share <= _MOST else None

    @cached_property
    def _shares(self) -> Mapping[str, float]:
        return self.floor.shares(self.values)


def _weighs(hub: Hub) -> int:
    """The bytes of the weights."""
    held = (value.const_value for value in hub.graph.initializers.values())
    return sum(tensor.nbytes for tensor in held if tensor is not None)


def _run(program: Recorded, values: Mapping[str, Value], *, wide: bool) -> dict[str, Array]:
    import torch

    feeds: dict[str, Any] = {name: to_torch(values[name]) for name in program.inputs}
    if wide:
        feeds = {name: x.double() if x.is_floating_point() else x for name, x in feeds.items()}
    with torch.no_grad():
        made = program.call(feeds)
    return {name: to_numpy(leaf) for name, leaf in made.items() if isinstance(leaf, torch.Tensor)}


def _share(rounded: Array, exact: Array) -> float:
    if not is_floating(rounded.dtype) or rounded.shape != exact.shape or not exact.size:
        return 0.0
    rounded = rounded.astype(exact.dtype)
    finite = np.isfinite(rounded) & np.isfinite(exact)
    if not finite.all():
        rounded, exact = rounded[finite], exact[finite]
    size = magnitude(exact) + np.abs(exact)
    apart = np.abs(rounded - exact)
    return float(np.max(apart / np.where(size > 0, size, 1.0), initial=0.0))
