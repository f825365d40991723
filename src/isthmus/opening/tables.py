"""What a lookup table holds, whichever way its source had it."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from isthmus.opening.function import Table


def entries(thing: Any, keys: tf.DType, values: tf.DType) -> Table:
    """The entries of a captured table: those that were read already, or what its resource holds in this process."""
    if isinstance(thing, Table):
        return thing
    with tf.init_scope():
        exported = tf.raw_ops.LookupTableExportV2(table_handle=thing, Tkeys=keys, Tvalues=values)
    return Table(*(tensor.numpy() for tensor in exported))
