"""RNN, LSTM and GRU with every attribute."""

from __future__ import annotations

from isthmus.lower.contract import Lowerings

table = Lowerings()
lower, alias = table.lower, table.alias
