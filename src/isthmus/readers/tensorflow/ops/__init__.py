"""What every TensorFlow operator means, by kind."""

from __future__ import annotations

from isthmus.readers.tensorflow.contract import ReadTable, merge
from isthmus.readers.tensorflow.ops import (
    activation,
    blocks,
    calls,
    control,
    conv,
    deconv,
    dilation,
    elementwise,
    gathers,
    lists,
    losses,
    moves,
    order,
    norm,
    pad,
    passing,
    pool,
    scatters,
    segments,
    shape,
    slices,
    sparse,
    state,
)

_ROOMS = (
    activation,
    blocks,
    calls,
    control,
    conv,
    deconv,
    dilation,
    elementwise,
    gathers,
    lists,
    losses,
    moves,
    order,
    norm,
    pad,
    passing,
    pool,
    scatters,
    segments,
    shape,
    slices,
    sparse,
    state,
)

TABLE: ReadTable = merge(*(room.table for room in _ROOMS))
