"""What a written module tells of its source, beside it: inputs and outputs, and the way back for its weights."""

from __future__ import annotations

import dataclasses
import json

from isthmus.writers.torch.record import Recorded

ORIGINS = "isthmus.json"
"""The extra file of a ``.pt2``, and the entry in the metadata of the ``.safetensors`` beside a ``.py``."""


def origins(recorded: Recorded) -> str:
    """As JSON: the source's signature, and how each weight that differs was made of one of the source's."""
    told = {
        "signature": dataclasses.asdict(recorded.hub.signature),
        "weights": [dataclasses.asdict(weight) for weight in recorded.weights],
    }
    return json.dumps(told, ensure_ascii=False)
