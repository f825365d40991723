"""What rounding does to a model: one program in its own precision and in float64."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from isthmus.verify.runners.codec import Array, Value
from isthmus.verify.runners.protocol import ModelRaised, Runner
from isthmus.verify.tolerance import Bounds, Tolerance, is_floating, magnitude

logger = logging.getLogger(__name__)

Programs = tuple[Runner, Runner]
"""The same program twice: in its own precision, and with float64 in the place of all floats."""

_MARGIN = 8.0
"""How much more than this run of it another order of sums, or another kernel, may leave undecided."""
_MOST = 0.1
"""The largest share of an output's magnitude that may be allowed: beyond, nothing would be proved any more.

A mistake smaller than what is allowed is not seen, unless the graph amplifies it as it does its roundings; the
verdict therefore says how much that is.
"""


class Floor:
    """The noise of a graph on given inputs, measured where a formula's bounds are exceeded.

    Both runs are of one program that differs in its element types alone, so that nothing but rounding sets them
    apart: what was misread or miswritten is the same in both, and widens no bounds.
    """

    def __init__(self, make: Callable[[], Programs | None]) -> None:
        self._make = make
        self.found: dict[str, float] = {}
        """The largest share of an output's magnitude that was seen to be undecided, by output."""
        self.lost: dict[str, float] = {}
        """The same of outputs of which so much is undecided that nothing can be proved."""

    def on(self, values: Mapping[str, Value], formula: Tolerance) -> Tolerance:
        """``formula``, and on these inputs what is measured, where that is more."""
        return _Measured(self, values, formula)

    def shares(self, values: Mapping[str, Value]) -> Mapping[str, float]:
        """By output: the largest ``|narrow - wide| / (magnitude + |wide|)``; none where that cannot be computed."""
        if self._programs is None:
            return {}
        narrow, wide = self._programs
        if any(not isinstance(values.get(spec.name), np.ndarray) for spec in narrow.signature.inputs):
            return {}
        try:
            rounded = narrow.run(values)
            exact = wide.run({name: _widened(value) for name, value in values.items()})
        except ModelRaised as error:
            logger.debug("no noise floor: %s", error.message)
            return {}
        return {name: _share(value, exact.get(name)) for name, value in rounded.items()}

    @cached_property
    def _programs(self) -> Programs | None:
        return self._make()


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


def _widened(value: Value) -> Value:
    """Floats of 16 bits and more as float64."""
    if not isinstance(value, np.ndarray) or not is_floating(value.dtype) or value.dtype.itemsize < 2:
        return value
    return value if value.dtype.kind == "c" else value.astype(np.float64)


def _share(rounded: Value, exact: Value) -> float:
    if not isinstance(rounded, np.ndarray) or not isinstance(exact, np.ndarray):
        return 0.0
    if not is_floating(rounded.dtype) or rounded.shape != exact.shape or not exact.size:
        return 0.0
    narrow, wide = rounded.astype(exact.dtype), exact
    finite = np.isfinite(narrow) & np.isfinite(wide)
    if not finite.all():
        narrow, wide = narrow[finite], wide[finite]
    size = magnitude(wide) + np.abs(wide)
    return float(np.max(np.abs(narrow - wide) / np.where(size > 0, size, 1.0), initial=0.0))
