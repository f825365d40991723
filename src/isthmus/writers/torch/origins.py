"""The way back from a module's weights to their source's, beside the module: its key, and what was done to it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable

from isthmus.types import StoredWeight

ORIGINS = "isthmus.json"
"""The extra file of a ``.pt2``, and the entry in the metadata of the ``.safetensors`` beside a ``.py``."""


def origins(weights: Iterable[StoredWeight]) -> str:
    """As JSON, how each weight that differs was made of one of the source; the others are as they were."""
    return json.dumps([dataclasses.asdict(weight) for weight in weights], ensure_ascii=False)
