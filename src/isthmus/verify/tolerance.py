"""How far apart two right answers may lie: by a formula, which a measured noise floor may widen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import ml_dtypes
import numpy as np

from isthmus.types import Options
from isthmus.verify.runners.codec import Array, dtype_name, numpy_dtype

_NOISE = {
    # Relative to an output's usual magnitude: what reordered sums, fused kernels and other polynomials for
    # exp and erf leave behind after some hundred layers; between 10 and 1000 units in the last place.
    "float64": 1e-9,
    "float32": 1e-4,
    "float16": 2e-2,
    "bfloat16": 6e-2,
    "complex64": 1e-4,
    "complex128": 1e-9,
}
_COARSE = 0.3
"""For the types of eight bits and fewer, whose step is an eighth and more."""

_SAMPLE = 1 << 20
_FILL = 1e4
_GAP = 1e3


@dataclass(frozen=True)
class Bounds:
    """Two entries agree where ``|a - b| <= atol + rtol * |reference|``.

    ``measured`` is asked where that is not so: it gives the bounds that rounding was seen to need, or None.
    """

    atol: float
    rtol: float
    measured: Callable[[], Bounds | None] = field(default=lambda: None, repr=False, compare=False)


class Tolerance(Protocol):
    """The bounds of one output on one sample, from the reference's values (never the candidate's)."""

    def __call__(self, output: str, reference: Array) -> Bounds: ...


@dataclass(frozen=True)
class ScaledTolerance:
    """A fixed share, by element type, of the output's usual magnitude.

    ``compute_dtype`` is the coarsest type that the graph computes in, where the output does not show it.
    ``atol`` and ``rtol`` override: one number for every output, or one by name.
    """

    compute_dtype: str | None = None
    atol: float | Mapping[str, float] | None = None
    rtol: float | Mapping[str, float] | None = None

    @classmethod
    def from_options(cls, options: Options, compute_dtype: str | None = None) -> ScaledTolerance:
        return cls(compute_dtype or options.dtype, options.atol, options.rtol)

    def __call__(self, output: str, reference: Array) -> Bounds:
        atol, rtol = _override(self.atol, output), _override(self.rtol, output)
        if not is_floating(reference.dtype):
            return Bounds(atol or 0.0, rtol or 0.0)
        names = [dtype_name(reference.dtype), *([self.compute_dtype] if self.compute_dtype else [])]
        share = max(noise_share(name) for name in names)
        if atol is None:
            # What is left where everything cancelled is noise of a step at 1 on either side, however small the
            # output: ONNX Runtime's Sigmoid alone is 1.1 such steps from the true one.
            atol = max(share * magnitude(reference), 2 * epsilon(reference.dtype))
        return Bounds(atol, share if rtol is None else rtol)


def is_floating(dtype: np.dtype[np.generic]) -> bool:
    """Whether arithmetic in this type is inexact: floats of any width, and complex numbers."""
    return dtype.kind in "fc" or (dtype.kind == "V" and "float" in dtype.name)


def noise_share(dtype: str) -> float:
    """The share of an output's magnitude that computing in this element type leaves undecided."""
    return _NOISE.get(dtype, _COARSE) if is_floating(numpy_dtype(dtype)) else 0.0


def coarsest(dtypes: Iterable[str]) -> str | None:
    """The coarsest floating type among those that a graph computes in; None where there is none."""
    return max((name for name in dtypes if noise_share(name)), key=noise_share, default=None)


def epsilon(dtype: np.dtype[np.generic]) -> float:
    """The step of a floating type at 1."""
    return float(ml_dtypes.finfo(dtype).eps)


def magnitude(values: Array) -> float:
    """The usual magnitude of an output: the root mean square of its finite entries.

    The fill of a mask (-1e4, -1e9, -3e38) would hide any error in what it leaves open, so equal entries of at least
    1e4 that stand three orders of magnitude above all others are left out.
    """
    flat = values.reshape(-1)
    stride = max(1, flat.size // _SAMPLE)
    sizes = np.abs(flat[::stride].astype(np.complex128 if values.dtype.kind == "c" else np.float64))
    sizes = sizes[np.isfinite(sizes)]
    while sizes.size and (top := float(sizes.max())) >= _FILL:
        rest = sizes[sizes < top * (1 - 1e-3)]
        if not rest.size or float(rest.max()) * _GAP >= top:
            break
        sizes = rest
    top = float(sizes.max(initial=0.0))
    return top * float(np.sqrt(np.mean(np.square(sizes / top)))) if top else 0.0


def _override(given: float | Mapping[str, float] | None, output: str) -> float | None:
    return given.get(output) if isinstance(given, Mapping) else given
