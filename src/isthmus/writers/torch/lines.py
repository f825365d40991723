"""Statements within a line's width."""

from __future__ import annotations

import re

WIDTH = 100
"""Longest line that is written as one."""


def wrapped(code: str, indent: str, comment: str = "") -> list[str]:
    """A statement within ``WIDTH``: a call that is too long has its arguments one a line."""
    line = f"{indent}{code}"
    if len(line) <= WIDTH or not code.endswith((")", "]", "}")):
        noted = f"{line}  # {comment}" if comment else line
        return [noted if len(noted) <= WIDTH else line]
    start = _opening(code)
    if start is None:
        return [line]
    pieces = _split(code[start + 1 : -1])
    inner = f"{indent}    "
    # A comma behind the only thing inside of plain parentheses or of a subscript would make a tuple of it.
    follows = code[start - 1 : start].isalnum() or code[start - 1 : start] in ("_", ")", "]")
    tuples = len(pieces) > 1 or code[:-1].rstrip().endswith(",")
    comma = "," if tuples or follows == (code[start] == "(") else ""
    lines = [f"{indent}{code[: start + 1]}"]
    for piece in pieces:
        *before, end = wrapped(piece, inner)
        lines += [*before, f"{end}{comma}"]
    return [*lines, f"{indent}{code[-1]}"]


def _opening(code: str) -> int | None:
    """Where the bracket opens that closes at the end."""
    depth = 0
    quoted = _quoted(code)
    for at in range(len(code) - 1, -1, -1):
        if at in quoted:
            continue
        depth += (code[at] in ")]}") - (code[at] in "([{")
        if depth == 0:
            return at
    return None


def _split(text: str) -> list[str]:
    """The arguments of a call."""
    parts, depth, start = [], 0, 0
    quoted = _quoted(text)
    for at, letter in enumerate(text):
        if at in quoted:
            continue
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    parts.append(text[start:].strip())
    return [part for part in parts if part]


def _quoted(text: str) -> set[int]:
    """The positions inside of string literals."""
    return {
        at for m in re.finditer(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'", text) for at in range(m.start(), m.end())
    }
