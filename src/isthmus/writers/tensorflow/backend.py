"""What the walk must know of TensorFlow: constants, parameters, static values, name scopes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import onnx_ir as ir
import tensorflow as tf


class TensorFlowBackend:
    """Lowers into the surrounding ``tf.function`` trace, or eagerly where there is none.

    ``variables`` maps initializer names to ``tf.Variable``; what is not in it becomes a graph constant.
    """

    failures = (ValueError, TypeError, tf.errors.OpError)

    def __init__(self, variables: Mapping[str, tf.Variable] | None = None) -> None:
        self._variables = variables or {}

    def constant(self, value: ir.Value) -> tf.Tensor:
        if value.name in self._variables:
            return tf.convert_to_tensor(self._variables[value.name])
        return tensor_of(value.const_value)

    def parameter(self, value: ir.Value) -> tf.Tensor:
        return self.constant(value)

    def known(self, tensor: Any) -> np.ndarray | None:
        return tf.get_static_value(tensor) if tf.is_tensor(tensor) else None

    def rank(self, tensor: Any) -> int | None:
        return tensor.shape.rank if tf.is_tensor(tensor) else None

    def scope(self, node: ir.Node) -> AbstractContextManager[Any]:
        return tf.name_scope(scope_name(node.name or node.op_type))


def tensor_of(tensor: ir.TensorProtocol) -> tf.Tensor:
    """An ONNX tensor as a TensorFlow constant of the same element type."""
    array = tensor.numpy()
    if tensor.dtype == ir.DataType.STRING:
        return tf.constant(array.astype(object), dtype=tf.string)
    return tf.constant(array, dtype=dtype_of(tensor.dtype))


def dtype_of(dtype: ir.DataType) -> tf.DType:
    """The TensorFlow type of an ONNX element type. Raises TypeError where TensorFlow has none."""
    if dtype == ir.DataType.STRING:
        return tf.string
    return tf.dtypes.as_dtype(dtype.numpy())


def scope_name(name: str) -> str:
    """``name`` in the characters that TensorFlow allows in a scope."""
    cleaned = re.sub(r"[^A-Za-z0-9_.\\/>-]", "_", name).strip("/")
    return cleaned if re.match(r"[A-Za-z0-9.]", cleaned) else f"n{cleaned}"
