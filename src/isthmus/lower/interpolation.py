"""The attributes of Resize that concern the values, as one thing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Filter:
    """How output elements are made; each field is an attribute of Resize."""

    mode: str
    coordinates: str
    nearest: str
    cubic_coeff_a: float
    antialias: bool
    exclude_outside: bool
    extrapolation_value: float
