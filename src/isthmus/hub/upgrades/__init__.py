"""Every opset step of the default domain that changes a signature, one operator family a file."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from isthmus.hub.upgrades import arithmetic, beyond, control, images, layers, shapes, softmax
from isthmus.hub.upgrades.base import Rule

_FAMILIES = (arithmetic, beyond, control, images, layers, shapes, softmax)


def _merged() -> Mapping[tuple[str, int], Rule]:
    merged: dict[tuple[str, int], Rule] = {}
    for family in _FAMILIES:
        for rule in family.RULES:
            for op in rule.ops:
                if (op, rule.to) in merged:
                    raise ValueError(f"two rules for the step of {op} to {rule.to}")
                merged[op, rule.to] = rule
    return MappingProxyType(merged)


RULES: Mapping[tuple[str, int], Rule] = _merged()
"""(operator, the version stepped to) → its rule. A step without one must leave the signature as it was."""
