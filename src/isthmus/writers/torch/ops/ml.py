"""Classical models of ai.onnx.ml."""

from __future__ import annotations

from isthmus.lower.contract import Lowerings

table = Lowerings()
lower, alias = table.lower, table.alias
