"""Names that Python and PyTorch can carry, for names that may be anything: valid, distinct and stable."""

from __future__ import annotations

import hashlib
import keyword
import re
import unicodedata
from collections.abc import Collection

from torch import nn

_LONGEST = 64
_TAKEN = frozenset(dir(nn.Module()))
_DIGITS = re.compile(r"(?:0|[1-9][0-9]{0,8})\Z")


def identifier(name: str, *, otherwise: str = "value") -> str:
    """``name`` as a Python identifier that hides nothing: itself where it is one."""
    folded = unicodedata.normalize("NFKD", name)
    cleaned = re.sub(r"[^A-Za-z0-9_]+", "_", folded)
    if not cleaned.strip("_"):
        cleaned = otherwise
    if cleaned.startswith("__"):
        cleaned = cleaned.strip("_")
    if len(cleaned) > _LONGEST:
        cleaned = f"{cleaned[: _LONGEST - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    if cleaned[0].isdigit():
        cleaned = f"{otherwise}_{cleaned}"
    if keyword.iskeyword(cleaned) or keyword.issoftkeyword(cleaned):
        cleaned += "_"
    return cleaned


def component(name: str) -> str:
    """One step of a module path: a number as in a list of modules, or an identifier that no module has already."""
    if _DIGITS.match(name):
        return name
    cleaned = identifier(name, otherwise="part")
    return f"{cleaned}_" if cleaned in _TAKEN else cleaned


def unique(name: str, taken: Collection[str]) -> str:
    """``name``, or ``name_1``, ``name_2``… where it is taken."""
    candidate, count = name, 1
    while candidate in taken:
        candidate, count = f"{name}_{count}", count + 1
    return candidate


def _other(path: str, taken: Collection[str]) -> str:
    """A last step for ``path`` that makes it one of its own."""
    parent, dot, last = path.rpartition(".")
    free = unique(f"{parent}{dot}{f'part_{last}' if last.isdigit() else last}", taken)
    return free.rpartition(".")[2]


class Paths:
    """Hands out dotted paths for weights and modules; no path is given twice, none runs through a weight."""

    def __init__(self) -> None:
        self._leaves: set[str] = set()
        self._inner: set[str] = set()

    def choose(self, name: str) -> str:
        """The path for a weight or a layer called ``name``: the name itself where it can be one."""
        parts = [component(part) for part in name.split(".") if part] or ["value"]
        if len(name) > 4 * _LONGEST or len(parts) > 24:
            parts = [identifier(name)]
        for depth in range(1, len(parts)):  # a step may be a weight's name already
            step = ".".join(parts[:depth])
            if step in self._leaves:
                parts[depth - 1] = _other(step, self._leaves)
        path = ".".join(parts)
        if path in self._leaves or path in self._inner:
            parts[-1] = _other(path, self._leaves | self._inner)
            path = ".".join(parts)
        self._leaves.add(path)
        steps = path.split(".")
        self._inner.update(".".join(steps[:depth]) for depth in range(1, len(steps)))
        return path
