"""Element types: TensorFlow's as ONNX's."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import tensorflow as tf

COMPLEX = {tf.complex64: ir.DataType.FLOAT, tf.complex128: ir.DataType.DOUBLE}
"""Complex types, and the type of the real pairs that stand for them."""

_QUANTIZED = {
    tf.qint8: ir.DataType.INT8,
    tf.quint8: ir.DataType.UINT8,
    tf.qint16: ir.DataType.INT16,
    tf.quint16: ir.DataType.UINT16,
    tf.qint32: ir.DataType.INT32,
}


def data_type(dtype: Any) -> ir.DataType | None:
    """The ONNX element type, or None for resources, variants and complex numbers, which are no tensors in ONNX."""
    dtype = tf.as_dtype(dtype).base_dtype
    if dtype == tf.string:
        return ir.DataType.STRING
    if dtype in (tf.resource, tf.variant) or dtype in COMPLEX:
        return None
    return _QUANTIZED.get(dtype) or ir.DataType.from_numpy(np.dtype(dtype.as_numpy_dtype))
