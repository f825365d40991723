"""Scopes of TensorFlow operations as module paths."""

from __future__ import annotations

from collections.abc import Mapping


def module_of(scope: str, modules: Mapping[str, str]) -> str:
    """``model/block/dense/MatMul`` → ``model.block.dense``, or what ``modules`` calls the longest scope it knows."""
    parts = scope.split("/")[:-1]
    for length in range(len(parts), 0, -1):
        known = modules.get("/".join(parts[:length]))
        if known is not None:
            return known
    return "" if modules else ".".join(parts)
