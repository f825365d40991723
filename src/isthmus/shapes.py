"""Shapes that a user gives by input name: as example arrays, and as torch.export's dynamic shapes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from isthmus.errors import UsageError
from isthmus.types import Dim

Shapes = Mapping[str, tuple[tuple[Dim, ...], str | None]]
"""{input: (shape, dtype or None)}: what ``--input-shapes`` says. Words are free dimensions."""

_EXAMPLE_SIZES = (2, 5, 7, 3)
_LARGE_EXAMPLE = 64
"""Sizes that free dimensions take in an example: distinct, never 1; those of images large enough to be pooled."""


def example(shapes: Shapes, seed: int) -> dict[str, np.ndarray]:
    """Arrays of the given shapes: free dimensions of one name get one size; seeded; integers are 0 or 1.

    Raises errors.UsageError for an element type that numpy does not know.
    """
    generator = np.random.default_rng(seed)
    sizes = _sizes(shapes)
    arrays = {}
    for name, (shape, dtype) in shapes.items():
        extent = [d if isinstance(d, int) else sizes[str(d)] for d in shape]
        try:
            kind = np.dtype(dtype or "float32")
        except TypeError as error:
            raise UsageError(
                f"{dtype!r} is no element type of an input", hint="such as float32, int64, bool"
            ) from error
        if kind.kind in "iub":
            arrays[name] = generator.integers(0, 2, extent).astype(kind)
        else:
            arrays[name] = generator.standard_normal(extent).astype(kind)
    return arrays


def free_axes(shapes: Shapes) -> dict[str, dict[int, str]]:
    """{input: {axis: name}}, as torch.export wants its dynamic shapes."""
    return {
        name: {axis: d for axis, d in enumerate(shape) if isinstance(d, str)} for name, (shape, _) in shapes.items()
    }


def _sizes(shapes: Shapes) -> dict[str, int]:
    """One size a name; spatial axes of image-like inputs (rank 4 and 5) are large."""
    sizes: dict[str, int] = {}
    for shape, _ in shapes.values():
        for axis, dim in enumerate(shape):
            if isinstance(dim, str) and dim not in sizes:
                place = len(sizes)
                spatial = len(shape) in (4, 5) and axis > 0
                small = _EXAMPLE_SIZES[place % len(_EXAMPLE_SIZES)] + 4 * (place // len(_EXAMPLE_SIZES))
                sizes[dim] = _LARGE_EXAMPLE + 32 * place if spatial else small
    return sizes
