"""What a pass is: a small class from hub to hub, held by its base to what it promises to keep."""

from __future__ import annotations

import abc
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import onnx_ir as ir

from isthmus.hub.canonical import check_canonical
from isthmus.hub.model import Hub, op_counts
from isthmus.hub.provenance import where
from isthmus.types import Change, Where

Kept = Literal["values", "names", "provenance"]
"""*values*: the numbers of every graph output, bit for bit where the target rounds alike. *names*: the names and
the order of graph inputs and outputs. *provenance*: every node knows where it came from, if every node did before."""

logger = logging.getLogger(__name__)


class BrokenPass(AssertionError):
    """A pass did not keep what it promised: a defect of Isthmus itself."""


@dataclass(frozen=True)
class Declined:
    """A node that a pass left as it was, and why."""

    where: Where
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


@dataclass(frozen=True)
class PassResult:
    """The hub after a pass, whether it changed, and what the pass looked at and left alone."""

    hub: Hub
    modified: bool
    declined: tuple[Declined, ...] = ()


@dataclass
class Reasons:
    """Collects why nodes were left alone, while a pass runs."""

    found: list[Declined] = field(default_factory=list)

    def decline(self, node: ir.Node, reason: str) -> None:
        self.found.append(Declined(where(node), reason))


class HubPass(abc.ABC):
    """A rewrite of the hub. It may work in place: the reader has copied the user's model.

    ``requires`` says in plain words what must hold before; ``keeps`` what the base checks or the tests prove.
    """

    requires: ClassVar[tuple[str, ...]] = ()
    keeps: ClassVar[tuple[Kept, ...]] = ("values", "names", "provenance")

    @property
    def name(self) -> str:
        return type(self).__name__

    @abc.abstractmethod
    def call(self, hub: Hub) -> PassResult:
        """Do the work; never called directly."""

    def __call__(self, hub: Hub) -> PassResult:
        """Run, check what is promised, and write a ``Change`` into the ledger.

        Raises BrokenPass where the pass lost a graph input's or output's name, or a node's provenance.
        """
        before = op_counts(hub.model)
        interface = _interface(hub.graph)
        bare = _without_provenance(hub.model)
        started = time.perf_counter()
        result = self.call(hub)
        seconds = time.perf_counter() - started
        for declined in result.declined:
            logger.debug("%s left %s", self.name, declined)
        if "names" in self.keeps and _interface(result.hub.graph) != interface:
            raise BrokenPass(f"{self.name} changed the graph's interface: {interface} became {_interface(hub.graph)}")
        if "provenance" in self.keeps and not bare and (lost := _without_provenance(result.hub.model)):
            raise BrokenPass(f"{self.name} made nodes without provenance: {lost[:5]}")
        change = Change(self.name, before, op_counts(result.hub.model), seconds)
        return PassResult(result.hub.recorded(change), result.modified, result.declined)


def run(hub: Hub, passes: Iterable[HubPass], *, check: bool = False) -> Hub:
    """Every pass once, in order. With ``check``, raise BrokenPass where one leaves the canonical form."""
    before = set(check_canonical(hub.model)) if check else set[str]()
    for step in passes:
        hub = step(hub).hub
        if check and (broken := [v for v in check_canonical(hub.model) if v not in before]):
            raise BrokenPass(f"{step.name} left the canonical form: {broken[:5]}")
    return hub


class Repeat(HubPass):
    """A few passes that open ways for one another, again and again until none of them changes anything."""

    def __init__(self, passes: Sequence[HubPass], *, limit: int = 8) -> None:
        self._passes = tuple(passes)
        self._limit = limit

    @property
    def name(self) -> str:
        return "+".join(p.name for p in self._passes)

    def call(self, hub: Hub) -> PassResult:
        changed = False
        declined: tuple[Declined, ...] = ()
        for _ in range(self._limit):
            results = []
            for step in self._passes:
                results.append(step.call(hub))
                hub = results[-1].hub
            declined = tuple(d for r in results for d in r.declined)
            if not any(r.modified for r in results):
                break
            changed = True
        return PassResult(hub, changed, declined)


def _interface(graph: ir.Graph) -> tuple[tuple[str | None, ...], tuple[str | None, ...]]:
    return tuple(v.name for v in graph.inputs), tuple(v.name for v in graph.outputs)


def _without_provenance(model: ir.Model) -> list[str]:
    return [node.name or node.op_type for node in model.graph.all_nodes() if not node.metadata_props]
