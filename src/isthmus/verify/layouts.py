"""Inputs and outputs that a conversion was asked to carry in another layout, brought back to one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar, cast

import numpy as np

from isthmus.errors import UsageError
from isthmus.verify.runners.codec import Value

V = TypeVar("V", bound=Value)


def relaid(values: Mapping[str, V], layouts: Mapping[str, str], *, back: bool = False) -> Mapping[str, V]:
    """Named values with the asked ones moved from channels first to ``layouts[name]``, or ``back`` from it.

    A layout is a word such as ``NHWC``, ``NCHW``, ``NDHWC`` or ``NWC``: N first, C where the channels stand.
    """
    if not layouts:
        return values
    return {name: _moved(name, value, layouts.get(name), back) for name, value in values.items()}


def _moved(name: str, value: V, layout: str | None, back: bool) -> V:
    if layout is None or not isinstance(value, np.ndarray):
        return value
    if value.ndim != len(layout) or "C" not in layout.upper():
        raise UsageError(
            f"{name!r} has {value.ndim} axes, which the layout {layout!r} does not describe",
            hint="name each axis by one letter, the channels by C",
        )
    first, there = 1, layout.upper().index("C")
    moved = np.moveaxis(value, there, first) if back else np.moveaxis(value, first, there)
    return cast(V, moved)
