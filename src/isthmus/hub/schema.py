"""What ONNX says about its operators: the one place that asks ``onnx.defs``."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import onnx.defs

from isthmus.hub.model import CHANNELS_LAST, HUB_OPSET, ONNX

ML = "ai.onnx.ml"
"""The domain of classical machine learning operators, whose newest version the hub holds."""


@functools.cache
def schema_of(domain: str, op: str, version: int = HUB_OPSET) -> onnx.defs.OpSchema | None:
    """The schema of ``op`` in force at opset ``version`` of its domain, or ``None`` where there is none.

    ``version`` counts for the default domain and for its channels-last twin, where an operator that is deprecated has
    no schema. ``ai.onnx.ml``, which has no upgrades, answers with the newest version that is not a deprecation.
    """
    if domain in (CHANNELS_LAST, "ai.onnx"):
        domain = ONNX
    if domain != ONNX:
        living = (s for s in onnx.defs.get_all_schemas_with_history() if (s.domain, s.name) == (domain, op))
        return max((s for s in living if not s.deprecated), key=lambda s: s.since_version, default=None)
    if version < 1 or not onnx.defs.has(op, version, domain):
        return None
    schema = onnx.defs.get_schema(op, version, domain)
    return None if schema.deprecated else schema


@functools.cache
def history_of(op: str) -> tuple[onnx.defs.OpSchema, ...]:
    """Every version of a default-domain operator, oldest first, a deprecating one included."""
    found = (s for s in _default_domain() if s.name == op)
    return tuple(sorted(found, key=lambda s: s.since_version))


@functools.cache
def op_names() -> tuple[str, ...]:
    """The operators that the default domain ever had, sorted."""
    return tuple(sorted({s.name for s in _default_domain()}))


def steps() -> Iterator[tuple[onnx.defs.OpSchema, onnx.defs.OpSchema]]:
    """Every version step of the default domain: an operator's schema and the one that followed it."""
    for op in op_names():
        yield from zip(history_of(op), history_of(op)[1:], strict=False)


@functools.cache
def _default_domain() -> tuple[onnx.defs.OpSchema, ...]:
    return tuple(s for s in onnx.defs.get_all_schemas_with_history() if s.domain == ONNX)
