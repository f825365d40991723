"""Operators that the passes for PyTorch make of several, where they do not become a layer."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F

from isthmus.hub.model import LAYER
from isthmus.lower.contract import Lowerings, Weight

table = Lowerings()


@table.lower("Linear", domain=LAYER)
def linear(x: Any, w: Weight, b: Weight = None, *, transposed: Any) -> Any:
    return F.linear(x, w.t() if transposed else w, b)
