"""Lookup tables: what they hold goes into the model, as LabelEncoders."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import tensorflow as tf

from isthmus.opening.function import Table
from isthmus.readers.tensorflow.contract import Reads
from isthmus.readers.tensorflow.dtypes import data_type
from isthmus.readers.tensorflow.handles import ResourceHandle
from isthmus.readers.tensorflow.ops._sizes import INT64, int64

table = Reads()
read = table.read

_ML = "ai.onnx.ml"
_DIRECT = (ir.DataType.INT64, ir.DataType.INT32, ir.DataType.BOOL, ir.DataType.STRING, ir.DataType.FLOAT)
"""Values that a LabelEncoder gives by itself, integers as int64."""


@read("LookupTableFindV2")
def lookup_table_find_v2(op, c, handle, keys, default, *, Tin: tf.DType, Tout: tf.DType):
    content = _content(c, handle, Tin, Tout)
    fallback = c.known(2)
    if content.values.ndim == 1 and content.keys.size and fallback is not None and data_type(Tout) in _DIRECT:
        return _encoded(op, c, keys, content, fallback.reshape(()).item(), data_type(Tout))
    if not content.keys.size:
        return op.Expand(default, op.Concat(op.Shape(keys), op.Shape(default), axis=0))
    numbers = Table(content.keys, np.arange(content.keys.size))
    found = _encoded(op, c, keys, numbers, -1, INT64)
    inner = content.values.ndim - 1
    there = op.GreaterOrEqual(op.Unsqueeze(found, list(range(-inner, 0))) if inner else found, np.int64(0))
    return op.Where(there, op.Gather(op.constant(content.values), op.Max(found, np.int64(0)), axis=0), default)


@read("LookupTableFind")
def lookup_table_find(op, c, handle, keys, default, *, Tin: tf.DType, Tout: tf.DType):
    return lookup_table_find_v2(op, c, handle, keys, default, Tin=Tin, Tout=Tout)


@read("LookupTableExportV2")
def lookup_table_export_v2(op, c, handle, *, Tkeys: tf.DType, Tvalues: tf.DType):
    content = _content(c, handle, Tkeys, Tvalues)
    return op.constant(content.keys), op.constant(content.values)


@read("LookupTableSizeV2")
def lookup_table_size_v2(op, c, handle):
    with tf.init_scope():
        held = _resource(c, handle)
        if isinstance(held, Table):
            return op.constant(np.int64(len(held.keys)))
        size = np.int64(tf.raw_ops.LookupTableSizeV2(table_handle=held).numpy())
    if not size:
        c.refuse("its table is empty: what fills it is not in the graph")
    return op.constant(size)


@read("HashTableV2", "MutableHashTableV2", ignore=("use_node_name_sharing",))
def hash_table_v2(op, c, *, container: str, shared_name: str, key_dtype: tf.DType, value_dtype: tf.DType):
    """A table that the graph makes: filled by an initializer of the graph, or under its name in this process."""
    filled = _filled_in_graph(c.node)
    if filled is not None:
        return ResourceHandle(filled)
    if not shared_name:
        c.refuse("what fills its table is not in the graph")
    settings = {"container": container, "shared_name": shared_name, "use_node_name_sharing": False}
    with tf.init_scope():
        make = getattr(tf.raw_ops, c.type)
        return ResourceHandle(make(key_dtype=key_dtype, value_dtype=value_dtype, **settings))


def _resource(c, handle):
    if not isinstance(handle, ResourceHandle):
        c.refuse("its resource is not a lookup table that the model holds")
    return handle.thing


def _content(c, handle, key_dtype, value_dtype):
    held = _resource(c, handle)
    if isinstance(held, Table):
        return _ordered(np.asarray(held.keys), np.asarray(held.values))
    try:
        with tf.init_scope():
            exported = tf.raw_ops.LookupTableExportV2(table_handle=held, Tkeys=key_dtype, Tvalues=value_dtype)
            size = int(tf.raw_ops.LookupTableSizeV2(table_handle=held).numpy())
    except (tf.errors.OpError, TypeError, ValueError) as error:
        c.refuse(f"what its table holds cannot be had: {str(error).splitlines()[0]}")
    keys, values = (np.asarray(part.numpy()) for part in exported)
    if len(keys) != size:
        c.refuse("what its table holds cannot be had as a whole")
    return _ordered(keys, values)


def _ordered(keys, values):
    """By key, so that the same table always gives the same model."""
    order = np.argsort(keys, kind="stable")
    return Table(keys[order], values[order])


def _filled_in_graph(node):
    """The constants that an operation of the graph fills the table with."""
    for user in node.outputs[0].consumers():
        if user.type not in ("InitializeTableV2", "LookupTableImportV2"):
            continue
        keys, values = (tf.get_static_value(tensor) for tensor in user.inputs[1:3])
        if keys is not None and values is not None:
            return Table(np.asarray(keys), np.asarray(values))
    return None


def _encoded(op, c, keys, content, fallback, dtype):
    """A LabelEncoder; integers are looked up, and found, as int64."""
    if content.keys.dtype.kind not in "iuOSU":
        c.refuse(f"its keys are {content.keys.dtype}: only whole numbers and texts are looked up exactly")
    asked = keys if keys.dtype == ir.DataType.STRING else int64(op, keys)
    given = {"keys_strings": _texts(c, content.keys)} if asked is keys and keys.dtype != INT64 else {}
    given = given or {"keys_int64s": content.keys.tolist()}
    if dtype == ir.DataType.STRING:
        said = {"values_strings": _texts(c, content.values), "default_string": _texts(c, [fallback])[0]}
    elif dtype == ir.DataType.FLOAT:
        said = {"values_floats": content.values.tolist(), "default_float": fallback}
    else:
        said = {"values_int64s": [int(value) for value in content.values], "default_int64": int(fallback)}
    found = op.LabelEncoder(asked, domain=_ML, **given, **said)
    wide = dtype if dtype in (ir.DataType.STRING, ir.DataType.FLOAT) else INT64
    found.dtype = wide
    return found if wide == dtype else op.Cast(found, to=dtype)


def _texts(c, values):
    try:
        return [value.decode() if isinstance(value, bytes) else str(value) for value in values]
    except UnicodeDecodeError:
        c.refuse("its table holds text that is not UTF-8")
