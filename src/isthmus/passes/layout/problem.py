"""The question of layout as a graph of choices: who makes a value, who uses it, what a transposition costs."""

from __future__ import annotations

from dataclasses import dataclass, field

SOURCE = 0
"""The choice that is made already: as the source has it."""
LAST = 1
"""The choice that is made already: channels last."""


@dataclass(frozen=True)
class Link:
    """A value made under choice ``maker`` and used under ``users``: one Transpose of ``cost`` where they differ."""

    maker: int
    users: tuple[int, ...]
    cost: int


@dataclass
class Problem:
    """Choices are numbered; 0 and 1 are made already. ``links`` are what a solver weighs."""

    choices: int = 2
    links: list[Link] = field(default_factory=list)

    def choice(self) -> int:
        self.choices += 1
        return self.choices - 1

    def link(self, maker: int, users: tuple[int, ...], cost: int) -> None:
        rest = tuple(dict.fromkeys(u for u in users if u != maker))
        if rest and {maker, *rest} != {SOURCE, LAST}:
            self.links.append(Link(maker, rest, cost))
