"""``Hub``: a canonical model, where it came from and what was done to it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir

from isthmus.types import Change, Note, Signature

HUB_OPSET = 26
"""The one opset of the default domain inside the hub: the newest that ONNX Runtime officially runs."""

ONNX = ""
"""The default ONNX operator domain, in its canonical spelling."""

CHANNELS_LAST = "isthmus.channels_last"
"""Domain of operators whose layout has been decided: same name, attributes and inputs as in the default domain,
but their image operands are N…C and convolution weights …IO (see ``passes.layout``)."""

LAYER = "isthmus.layer"
"""Domain of operators that are several of ONNX's in one, as PyTorch's layers are (see ``passes.linear``)."""

ROLE = "isthmus.role"
"""Metadata of an initializer, where the reader knows: ``parameter`` (trained), ``buffer`` (kept with the weights, not
trained) or ``constant`` (part of the computation)."""


DETACHED = "isthmus.detached"
"""Metadata of an Identity that gives its operand on and lets no gradient back, as the source had it there."""


@dataclass(frozen=True)
class Hub:
    """A model in the middle of its way.

    ``signature`` is what the source promised and the target must keep. ``ledger`` has one ``Change`` a pass.
    ``road`` names how the reader got here (``torch.export`` …); ``notes`` are what the user should know.
    ``channels_last`` tells where the framework of the source has the channels of its images.
    """

    model: ir.Model
    signature: Signature
    source: str
    source_kind: str
    road: str = ""
    ledger: tuple[Change, ...] = ()
    notes: tuple[Note, ...] = ()
    extras: Mapping[str, Any] = field(default_factory=dict)
    channels_last: bool = False

    @property
    def graph(self) -> ir.Graph:
        return self.model.graph

    def with_(self, **changes: Any) -> Hub:
        """A copy with some fields replaced."""
        return dataclasses.replace(self, **changes)

    def recorded(self, change: Change) -> Hub:
        """A copy whose ledger ends with ``change``."""
        return self.with_(ledger=(*self.ledger, change))


def is_detached(node: ir.Node) -> bool:
    """Whether no gradient goes back through an Identity."""
    return node.op_type == "Identity" and DETACHED in node.metadata_props


def op_counts(model: ir.Model) -> dict[str, int]:
    """How often each operator occurs, subgraphs and functions included; sorted by name."""
    graphs: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    counts = Counter(op_name(node) for graph in graphs for node in graph.all_nodes())
    return dict(sorted(counts.items()))


def op_name(node: ir.Node) -> str:
    """``Conv`` in the default domain, ``domain.Op`` elsewhere."""
    return f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type
