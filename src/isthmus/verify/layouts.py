"""Inputs and outputs that a conversion was asked to carry in another layout, brought back to one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar, cast

import numpy as np

from isthmus.errors import UsageError
from isthmus.verify.runners.codec import Value

V = TypeVar("V", bound=Value)


def relaid(
    values: Mapping[str, V], layouts: Mapping[str, str], *, channels_last: bool = False, back: bool = False
) -> Mapping[str, V]:
    """Named values with the asked ones moved from the source's layout to ``layouts[name]``, or ``back`` from it.

    A layout is a word such as ``NHWC``, ``NCHW``, ``NDHWC`` or ``NWC``: N first, C where the channels stand. The
    source's has them behind N, or last.
    """
    if not layouts:
        return values
    return {name: _moved(name, value, layouts.get(name), channels_last, back) for name, value in values.items()}


def _moved(name: str, value: V, layout: str | None, channels_last: bool, back: bool) -> V:
    if layout is None or not isinstance(value, np.ndarray):
        return value
    if value.ndim != len(layout) or "C" not in layout.upper():
        raise UsageError(
            f"{name!r} has {value.ndim} axes, which the layout {layout!r} does not describe",
            hint="name each axis by one letter, the channels by C",
        )
    here, there = -1 if channels_last else 1, layout.upper().index("C")
    moved = np.moveaxis(value, there, here) if back else np.moveaxis(value, here, there)
    return cast(V, moved)
