"""Known limits: one side table of what does not pass, each with a fact as its reason; an unexpected pass fails."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from conformance import Result

TABLE = Path(__file__).with_name("limits.toml")


@dataclass(frozen=True)
class Limit:
    """Why a case does not pass, and in which modes.

    ``rounding``: it is computed, and misses the golden value by the last bits of its element type and no more.
    """

    reason: str
    modes: tuple[str, ...]
    rounding: bool


def limits(writer: str, table: Path = TABLE) -> dict[str, Limit]:
    """The limits of one writer, by case. Entries name their cases in a list, so that a fact stands once."""
    entries = tomllib.loads(table.read_text(encoding="utf-8")).get(writer, [])
    return {
        case: Limit(entry["reason"], tuple(entry.get("modes", ("frozen", "plain"))), entry.get("rounding", False))
        for entry in entries
        for case in entry["cases"]
    }


def complaints(results: Iterable[Result], known: dict[str, Limit]) -> list[str]:
    """What contradicts the table: a defect, a refusal that it does not know, a pass that it denies."""
    found = []
    for result in results:
        title = f"{result.name} ({result.mode}, {result.form})"
        limited = result.name in known and result.mode in known[result.name].modes
        rounded = limited and known[result.name].rounding and result.outcome == "wrong"
        if result.outcome in ("wrong", "crash") and not rounded:
            found.append(f"{title}: {result.outcome}: {result.reason}")
        elif result.outcome == "refused" and not limited:
            found.append(f"{title}: refused, and limits.toml gives no reason: {result.reason}")
        elif result.outcome == "pass" and limited:
            found.append(f"{title}: passes, and limits.toml says it cannot")
    return found
