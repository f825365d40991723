"""Tables of operators: one a room, filled by decorators at import, and merged into one that is frozen."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar

Body = Callable[..., Any]


class ContractError(TypeError):
    """An operator's function does not have the signature of its schema, or there are two. A defect of Isthmus itself.

    Raised at import.
    """


class Entry(Protocol):
    """One operator's function, checked."""

    @property
    def op(self) -> Any: ...
    @property
    def body(self) -> Body: ...


E = TypeVar("E", bound=Entry)


class Table(Generic[E]):
    """One room's operators, each once."""

    def __init__(self) -> None:
        self._entries: dict[Hashable, E] = {}

    def __iter__(self) -> Iterator[E]:
        return iter(self._entries.values())

    def add(self, entry: E) -> None:
        """Raises ContractError where the operator is there already."""
        if entry.op in self._entries:
            raise ContractError(f"{spelled(entry.op)} stands twice in one table")
        self._entries[entry.op] = entry


def merge(*tables: Table[E]) -> Mapping[Any, E]:
    """One frozen table out of many. Raises ContractError where two rooms have the same operator."""
    merged: dict[Any, E] = {}
    for entry in (entry for table in tables for entry in table):
        if entry.op in merged:
            raise ContractError(
                f"{spelled(entry.op)} stands in {merged[entry.op].body.__module__} and in {entry.body.__module__}"
            )
        merged[entry.op] = entry
    return MappingProxyType(merged)


def spelled(op: str | tuple[str, str]) -> str:
    """The operator's name, behind its domain where that is not ONNX's own."""
    if isinstance(op, str):
        return op
    domain, name = op
    return f"{domain}.{name}" if domain else name
