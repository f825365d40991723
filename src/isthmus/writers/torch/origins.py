"""The way back from a module's weights to their source's: under which key, and in which order of axes, each stands."""

from __future__ import annotations

import json
from collections.abc import Mapping

import onnx_ir as ir

from isthmus.hub.state import key_of
from isthmus.writers.torch.backend import Stored

ORIGINS = "isthmus.json"
"""The extra file of a ``.pt2``, and the entry in the metadata of the ``.safetensors`` beside a ``.py``."""


def origins(initializers: Mapping[str, ir.Value], stored: Mapping[str, Stored]) -> str:
    """As JSON, the names of the source's weights, each with its key in the state dict and its permutation or null.

    ``stored = source.transpose(permutation)``.
    """
    found = {
        key_of(initializers[name]) if name in initializers else name: [held.key, held.perm]
        for name, held in stored.items()
    }
    return json.dumps(found, ensure_ascii=False, sort_keys=True)
