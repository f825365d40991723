"""Names that TensorFlow can carry for names that it cannot: of arguments, and of constants in a saved graph."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


@dataclass(frozen=True)
class Arguments:
    """How the inputs are called inside of a traced function.

    ``order`` holds the source's names in the order in which TensorFlow flattens keyword arguments; ``traced`` maps
    them to the argument names of the trace, ``keywords`` to those that a loaded signature takes: the source's own,
    but for names that are the same in TensorFlow's eyes (``x:0`` and ``x_0``), of which it can take only one.
    """

    order: tuple[str, ...]
    traced: Mapping[str, str]
    keywords: Mapping[str, str]

    @property
    def clashes(self) -> Mapping[str, str]:
        """The inputs that a loaded signature takes under another name."""
        return {name: keyword for name, keyword in self.keywords.items() if name != keyword}


def arguments(names: Sequence[str]) -> Arguments:
    """Choose argument names for inputs called ``names``, which are unique."""
    keywords: dict[str, str] = {}
    taken: set[str] = set()
    # Names that are plain already come first, so that a clash renames the other one.
    for name in sorted(names, key=lambda n: sanitized(n) != n):
        keyword, count = name, 1
        while sanitized(keyword) in taken:
            keyword, count = f"{name}_{count}", count + 1
        keywords[name] = keyword
        taken.add(sanitized(keyword))
    order = tuple(sorted(names, key=lambda n: sanitized(keywords[n])))
    plain = all(_PLAIN.match(name) for name in names)
    caseless = len({name.lower() for name in names}) == len(names)
    traced = {name: name if plain and caseless else f"a{i:04d}" for i, name in enumerate(order)}
    return Arguments(order, traced, {name: keywords[name] for name in names})


def sanitized(name: str) -> str:
    """``name`` as ``tf.function`` spells it: what is not alphanumeric becomes ``_``, a leading letter is forced."""
    swapped = "".join(c if c.isalnum() else "_" for c in name)
    return swapped if swapped[:1].isalpha() else f"arg_{swapped}"


def unique(name: str, taken: Collection[str]) -> str:
    """``name``, or ``name_1``, ``name_2``… where it is taken."""
    candidate, count = name, 1
    while candidate in taken:
        candidate, count = f"{name}_{count}", count + 1
    return candidate
