"""One tensor in, the same shape out: elementary functions."""

from __future__ import annotations

import tensorflow as tf

from isthmus.lower.contract import Lowerings

table = Lowerings()
lower, alias = table.lower, table.alias
