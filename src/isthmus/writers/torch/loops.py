"""Statements that are the same for one module of a list after the other, as a loop over the list."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from isthmus.writers.torch.names import identifier, unique

_MARK = re.compile("\x00([^\x00]*)\x01(\\d+)\x01(\\d+)\x02")

_LONGEST = 12
"""So many statements may stand in a loop."""


@dataclass(frozen=True)
class Line:
    """A statement, the shape of what it makes, and how deep it stands."""

    code: str
    comment: str = ""
    depth: int = 0


def marked(holder: str, index: int, length: int) -> str:
    """One module of a list with ``length`` of them, in a statement that is not finished."""
    return f"\x00{holder}\x01{index}\x01{length}\x02"


def marks(code: str) -> set[tuple[str, int]]:
    """The modules of lists that a statement calls: their lists and numbers."""
    return {(found[1], int(found[2])) for found in _MARK.finditer(code)}


def plain(code: str) -> str:
    """A statement as it is outside of a loop."""
    return _MARK.sub(lambda found: _one(found[1], found[2]), code)


def _one(holder: str, number: str) -> str:
    return f'{holder}.get_submodule("{number}")' if _in_dict(holder) else f"{holder}[{number}]"


def _in_dict(holder: str) -> bool:
    """Whether a list stands in a dictionary of modules, of which type checkers know modules only, and no lists."""
    return holder.endswith("]")


def rolled(lines: Sequence[Line], taken: Collection[str]) -> list[Line]:
    """``lines`` with loops in the place of repetitions; no loop's variable has a name among ``taken``."""
    made: list[Line] = []
    at = 0
    while at < len(lines):
        found = _repetition(lines, at)
        if found is None:
            made.append(replace(lines[at], code=plain(lines[at].code)))
            at += 1
            continue
        period, times = found
        made += _loop(lines[at : at + period * times], period, times, taken)
        at += period * times
    return _returned(made)


def _returned(lines: list[Line]) -> list[Line]:
    """``lines`` that return their last result, where it is named only to be returned."""
    if len(lines) < 2 or lines[-2].depth != lines[-1].depth:
        return lines
    name, _, made = lines[-2].code.partition(" = ")
    named = name.isidentifier() and made and lines[-1].code == f"return {name}"
    return [*lines[:-2], Line(f"return {made}", "", lines[-1].depth)] if named else lines


def _repetition(lines: Sequence[Line], at: int) -> tuple[int, int] | None:
    """How many statements from ``at`` on are repeated how often: the repetition that covers most."""
    best: tuple[int, int] | None = None
    for period in range(1, min(_LONGEST, (len(lines) - at) // 2) + 1):
        if not any(marks(line.code) for line in lines[at : at + period]):
            continue
        pattern = _pattern(lines, at, period, 0)
        times = 1
        while _pattern(lines, at + times * period, period, times) == pattern:
            times += 1
        covers = times >= 3 or (times == 2 and _spans_lists(lines[at : at + period], times))
        if covers and (best is None or period * times > best[0] * best[1]):
            best = (period, times)
    return best


def _spans_lists(lines: Sequence[Line], times: int) -> bool:
    """Whether a loop would walk whole lists."""
    found = [mark for line in lines for mark in _MARK.finditer(line.code)]
    return all(int(mark[2]) == 0 and int(mark[3]) == times for mark in found)


def _pattern(lines: Sequence[Line], at: int, period: int, turn: int) -> list[str]:
    """The statements of one turn, the numbers of its modules counted from the turn's own."""

    def counted(found: re.Match[str]) -> str:
        return f"\x00{found[1]}\x01{int(found[2]) - turn}\x02"

    return [_MARK.sub(counted, line.code) for line in lines[at : at + period]]


def _loop(lines: Sequence[Line], period: int, times: int, taken: Collection[str]) -> list[Line]:
    variables: dict[tuple[str, int], str] = {}
    walked: list[str] = []
    for line in lines[:period]:
        for found in _MARK.finditer(line.code):
            key = (found[1], int(found[2]))
            if key not in variables:
                variables[key] = unique(_singular(found[1]), {*taken, *variables.values()})
                walked.append(_span(found[1], key[1], times, int(found[3])))
    body = []
    for i, line in enumerate(lines[:period]):
        code = _MARK.sub(lambda found: variables[(found[1], int(found[2]))], line.code)
        comments = {other.comment for other in lines[i::period]}
        body.append(Line(code, comments.pop() if len(comments) == 1 else "", line.depth + 1))
    over = walked[0] if len(walked) == 1 else f"zip({', '.join(walked)}, strict=True)"
    return [Line(f"for {', '.join(variables.values())} in {over}:", "", lines[0].depth), *body]


def _span(holder: str, start: int, times: int, length: int) -> str:
    """The part of a list that a loop walks."""
    if _in_dict(holder):
        holder = f"{holder}.children()" if times == length else f"list({holder}.children())"
    if times == length:
        return holder
    end = start + times
    return f"{holder}[{start or ''}:{end if end < length else ''}]"


def _singular(holder: str) -> str:
    """What one module of ``self.layers`` is called."""
    names = re.findall(r"\w+", holder)  # of what stands in a dictionary, its key
    name = identifier(names[-1] if names else "", otherwise="module")
    if name.endswith("s") and not name.endswith("ss") and len(name) > 3:
        return name[:-1]
    return name if len(name) > 1 else "block"
