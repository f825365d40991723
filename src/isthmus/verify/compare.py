"""Two answers to the same question: what differs, by how much, and what that is worth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from isthmus.types import Comparison, Grade
from isthmus.verify.runners.codec import Array, Value, dtype_name
from isthmus.verify.tolerance import Bounds, Tolerance, is_floating

_CHUNK = 1 << 20
FEW = 16
"""Random values of which neither mean nor spread can be told."""
_DRIFT_FACTOR = 100.0
_DRIFT_COSINE = 0.99
_ORDER: tuple[Grade, ...] = ("exact", "noise", "drift", "wrong")


@dataclass
class Measure:
    """One output, gathered sample by sample; memory does not grow with the samples.

    ``grade`` only ever gets worse. ``detail`` keeps the first reason for which the output is wrong by kind
    (shape, element type, absence) rather than by value.
    """

    output: str
    dtype: str = ""
    grade: Grade = "exact"
    max_abs: float = 0.0
    max_rel: float = 0.0
    mean_abs: float = 0.0
    cosine: float = 1.0
    argmax_flips: int = 0
    nonfinite: int = 0
    bounds: Bounds = field(default_factory=lambda: Bounds(0.0, 0.0))
    detail: str = ""
    entries: int = 0
    finite: int = 0
    """Of ``entries`` seen in the reference, those that were numbers: without any, agreement proves nothing."""

    def add(self, reference: Value, candidate: Value, tolerance: Tolerance) -> None:
        """Compare one sample's values: tensors, sequences, maps, empty optionals."""
        if isinstance(reference, np.generic) or isinstance(candidate, np.generic):
            reference, candidate = _as_array(reference), _as_array(candidate)
        if reference is None or candidate is None:
            if reference is not candidate:
                self.condemn(f"the reference is {_described(reference)}, the result {_described(candidate)}")
        elif isinstance(reference, Mapping) or isinstance(candidate, Mapping):
            self._add_maps(reference, candidate, tolerance)
        elif isinstance(reference, np.ndarray) and isinstance(candidate, np.ndarray):
            self._add_arrays(reference, candidate, tolerance)
        elif isinstance(candidate, np.ndarray) and (table := _table(reference)) is not None:
            self._add_arrays(table, candidate, tolerance)
        elif isinstance(reference, np.ndarray) or isinstance(candidate, np.ndarray):
            self.condemn(f"the reference is {_described(reference)}, the result {_described(candidate)}")
        elif len(reference) != len(candidate):
            self.condemn(f"the reference has {len(reference)} elements, the result {len(candidate)}")
        else:
            for left, right in zip(reference, candidate, strict=True):
                self.add(left, right, tolerance)

    def condemn(self, detail: str) -> None:
        """Wrong by kind, whatever the values."""
        self._worsen("wrong")
        self.max_abs = self.max_rel = math.inf
        self.detail = self.detail or detail

    def soften(self, detail: str) -> None:
        """No better than noise, and why: the values themselves were not held against each other."""
        self._worsen("noise")
        self.detail = self.detail or detail

    def result(self) -> Comparison:
        return Comparison(
            output=self.output,
            dtype=self.dtype,
            grade=self.grade,
            max_abs=self.max_abs,
            max_rel=self.max_rel,
            mean_abs=self.mean_abs,
            cosine=self.cosine,
            argmax_flips=self.argmax_flips,
            nonfinite=self.nonfinite,
            atol=self.bounds.atol,
            rtol=self.bounds.rtol,
            detail=self.detail,
        )

    def _add_maps(self, reference: Value, candidate: Value, tolerance: Tolerance) -> None:
        if not isinstance(reference, Mapping) or not isinstance(candidate, Mapping):
            self.condemn(f"the reference is {_described(reference)}, the result {_described(candidate)}")
        elif set(reference) != set(candidate):
            self.condemn(f"the keys differ: {sorted(map(str, set(reference) ^ set(candidate)))[:5]}")
        else:
            for key in reference:
                self.add(reference[key], candidate[key], tolerance)

    def _add_arrays(self, reference: Array, candidate: Array, tolerance: Tolerance) -> None:
        expected, got = dtype_name(reference.dtype), dtype_name(candidate.dtype)
        self.dtype = self.dtype or expected
        self.entries += reference.size
        if expected != got:
            self.condemn(f"the reference is {expected}, the result {got}")
        elif reference.shape != candidate.shape:
            self.condemn(f"the reference is {list(reference.shape)}, the result {list(candidate.shape)}")
        elif expected in ("string", "bool"):
            self._add_equal(reference, candidate)
        else:
            self._add_numbers(reference, candidate, tolerance(self.output, reference))

    def _add_equal(self, reference: Array, candidate: Array) -> None:
        self.finite += reference.size
        different = int(np.count_nonzero(reference != candidate))
        if different:
            self._worsen("wrong")
            self.max_abs = max(self.max_abs, 1.0)
            self.max_rel = max(self.max_rel, 1.0)
            self.mean_abs = max(self.mean_abs, different / reference.size)
            self.detail = self.detail or f"{different} of {reference.size} entries differ"

    def _add_numbers(self, reference: Array, candidate: Array, bounds: Bounds) -> None:
        inexact = is_floating(reference.dtype)
        if np.array_equal(reference, candidate):  # the common case, and much the cheapest
            self._loosen(bounds)
            self.finite += int(np.count_nonzero(np.isfinite(reference))) if inexact else reference.size
            return
        found = _Sums.of(reference, candidate, bounds)
        if found.excess > 1.0 and not found.nonfinite and (wider := bounds.measured()) is not None:
            bounds = wider
            found = _Sums.of(reference, candidate, bounds)
        self._loosen(bounds)
        flips = _argmax_flips(reference, candidate, bounds) if inexact else 0
        cosine = found.cosine()
        self.max_abs = max(self.max_abs, found.max_abs)
        self.max_rel = max(self.max_rel, found.max_rel)
        self.mean_abs = max(self.mean_abs, found.total_abs / max(1, found.finite))
        self.cosine = min(self.cosine, cosine)
        self.argmax_flips += flips
        self.nonfinite += found.nonfinite
        self.finite += found.finite
        self._worsen(_grade(found, cosine, inexact=inexact))

    def _loosen(self, bounds: Bounds) -> None:
        if (bounds.atol, bounds.rtol) >= (self.bounds.atol, self.bounds.rtol):
            self.bounds = bounds

    def _worsen(self, grade: Grade) -> None:
        self.grade = max(self.grade, grade, key=_ORDER.index)


@dataclass
class _Sums:
    """What one pass over a pair of tensors gathers, chunk by chunk, in float64."""

    max_abs: float = 0.0
    max_rel: float = 0.0
    total_abs: float = 0.0
    excess: float = 0.0
    """The largest distance as a multiple of what the bounds allow there."""
    finite: int = 0
    nonfinite: int = 0
    dot: float = 0.0
    left: float = 0.0
    right: float = 0.0

    @classmethod
    def of(cls, reference: Array, candidate: Array, bounds: Bounds) -> _Sums:
        found = cls()
        for left, right in _chunks(reference, candidate):
            found.add(left, right, bounds)
        return found

    def add(self, left: Array, right: Array, bounds: Bounds) -> None:
        both = np.isfinite(left) & np.isfinite(right)
        if not both.all():
            same = (left == right) | (np.isnan(left) & np.isnan(right))
            self.nonfinite += int(np.count_nonzero(~both & ~same))
            left, right = left[both], right[both]
        if not left.size:
            return
        with np.errstate(over="ignore"):
            distance, size = np.abs(left - right), np.abs(left)
        allowed = bounds.atol + bounds.rtol * size
        self.finite += left.size
        self.max_abs = max(self.max_abs, float(distance.max()))
        self.total_abs += float(distance.sum(dtype=np.float64))
        # Entries that are noise themselves have no relative error worth the name: the bound stands in for them.
        self.max_rel = max(self.max_rel, _largest_ratio(distance, np.maximum(size, bounds.atol)))
        self.excess = max(self.excess, _largest_ratio(distance, allowed))
        scale = max(float(size.max()), float(np.abs(right).max())) or 1.0
        x, y = left / scale, right / scale
        self.dot += float(np.vdot(x, y).real) * scale * scale
        self.left += float(np.vdot(x, x).real) * scale * scale
        self.right += float(np.vdot(y, y).real) * scale * scale

    def cosine(self) -> float:
        """Of the finite entries; 1 for two zero vectors, 0 where only one is zero."""
        if self.left == self.right == 0.0:
            return 1.0
        norm = math.sqrt(self.left) * math.sqrt(self.right)
        if not math.isfinite(norm):
            return 1.0 if self.max_rel < 1.0 - _DRIFT_COSINE else 0.0
        return max(-1.0, min(1.0, self.dot / norm)) if norm else 0.0


def _grade(found: _Sums, cosine: float, *, inexact: bool) -> Grade:
    if found.nonfinite:
        return "wrong"
    if found.max_abs == 0.0:
        return "exact"
    if found.excess <= 1.0:
        return "noise"
    return "drift" if inexact and found.excess <= _DRIFT_FACTOR and cosine > _DRIFT_COSINE else "wrong"


def _chunks(reference: Array, candidate: Array) -> Iterator[tuple[Array, Array]]:
    """Pairs of flat pieces, wide enough to subtract: floats as float64, integers as they are."""
    left, right = reference.reshape(-1), candidate.reshape(-1)
    for start in range(0, left.size, _CHUNK):
        yield _wide(left[start : start + _CHUNK]), _wide(right[start : start + _CHUNK])


def _wide(values: Array) -> Array:
    if values.dtype.kind == "c":
        return values.astype(np.complex128)
    # Integers beyond 2**53 do not fit float64; where the platform has a longer float, 64 bits fit exactly.
    wide = np.longdouble if values.dtype.kind in "iu" and values.dtype.itemsize == 8 else np.float64
    return values.astype(wide)


def _largest_ratio(distance: Array, allowed: Array) -> float:
    """The largest quotient, where 0/0 is 0 and x/0 is infinite."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.where(distance == 0, 0.0, distance / allowed)
    return float(ratio.max())


def _argmax_flips(reference: Array, candidate: Array, bounds: Bounds) -> int:
    """Rows (last axis) whose largest entry is another one, where the reference's lead is more than noise."""
    if reference.ndim == 0 or reference.shape[-1] < 2 or not reference.size or reference.dtype.kind == "c":
        return 0
    width = reference.shape[-1]
    left, right = reference.reshape(-1, width), candidate.reshape(-1, width)
    rows, flips = max(1, _CHUNK // width), 0
    for start in range(0, left.shape[0], rows):
        a, b = _wide(left[start : start + rows]), _wide(right[start : start + rows])
        index = np.arange(a.shape[0])
        first, second = np.argmax(a, axis=-1), np.argmax(b, axis=-1)
        top = a[index, first]
        with np.errstate(invalid="ignore", over="ignore"):
            lead = np.where(first == second, 0.0, top - a[index, second])
            flips += int(np.count_nonzero(lead > 2 * (bounds.atol + bounds.rtol * np.abs(top))))
    return flips


def spread_agrees(reference: Value, candidate: Value) -> bool:
    """Whether two random draws may come from one source: type, shape, and mean and spread within five sigma.

    Of fewer than ``FEW`` values neither can be told.
    """
    if not isinstance(reference, np.ndarray) or not isinstance(candidate, np.ndarray):
        return reference is candidate
    if reference.dtype != candidate.dtype or reference.shape != candidate.shape:
        return False
    if reference.dtype.kind in "OUS" or reference.size < FEW:
        return True
    left, right = _wide(reference).reshape(-1), _wide(candidate).reshape(-1)
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        return bool(np.array_equal(np.isfinite(left), np.isfinite(right)))
    spread = max(float(left.std()), float(right.std()))
    error = 5 * spread * math.sqrt(2 / left.size)
    close = abs(complex(left.mean() - right.mean())) <= error
    return close and abs(float(left.std() - right.std())) <= error


def _as_array(value: Value) -> Value:
    return np.asarray(value) if isinstance(value, np.generic) else value


def _table(value: Value) -> Array | None:
    """A list of maps with the same keys (scikit-learn's ZipMap) as a matrix, a column a key in order; else None.

    It is what a ZipMap becomes where the target has no maps.
    """
    rows = [row for row in value if isinstance(row, Mapping)] if isinstance(value, Sequence) else []
    if not rows or len(rows) < len(value or ()) or any(set(row) != set(rows[0]) for row in rows):
        return None
    return np.array([[row[key] for key in sorted(rows[0])] for row in rows], np.float32)


def _described(value: Value) -> str:
    if value is None:
        return "empty"
    if isinstance(value, np.ndarray):
        return f"a tensor {dtype_name(value.dtype)}{list(value.shape)}"
    return "a map" if isinstance(value, Mapping) else f"a sequence of {len(value)}"
