"""The shape of a tensor: asking for it, changing it, joining and splitting."""

from __future__ import annotations

from isthmus.lower.contract import Lowerings

table = Lowerings()
lower, alias = table.lower, table.alias
