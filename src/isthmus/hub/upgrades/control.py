"""Steps of control flow."""

from __future__ import annotations

from isthmus.hub.upgrades.base import Rule, compatible, rules_of

RULES: tuple[Rule, ...] = (
    *rules_of(
        compatible("Loop", 11),
    ),
)
