"""What every TensorFlow operator means, by kind."""

from __future__ import annotations

from isthmus.readers.tensorflow.contract import ReadTable, merge
from isthmus.readers.tensorflow.ops import (
    calls,
    control,
    elementwise,
    lists,
    shape,
    state,
)

_ROOMS = (
    calls,
    control,
    elementwise,
    lists,
    shape,
    state,
)

TABLE: ReadTable = merge(*(room.table for room in _ROOMS))
