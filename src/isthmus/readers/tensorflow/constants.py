"""Operations on constants are computed by TensorFlow itself: what it says is what they mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.eager.execute import execute

from isthmus.opening.operators import touches_files
from isthmus.readers.tensorflow.attributes import FunctionName, attribute_value
from isthmus.readers.tensorflow.contract import op_def
from isthmus.readers.tensorflow.dtypes import data_type

_MOST = 1 << 16
"""Results of more elements are computed where the model runs, so that a small file stays small."""


def is_small(node: tf.Operation, known: Sequence[np.ndarray | None]) -> bool:
    """Whether the operation may be computed now: pure, of tensors only, and small."""
    if node.type in ("Const", "Placeholder") or not node.outputs or op_def(node.type).is_stateful:
        return node.type == "Const"
    if touches_files(node.node_def):
        return False
    if any(data_type(t.dtype) is None for t in (*node.inputs, *node.outputs)):
        return False
    if any(isinstance(attribute_value(value), FunctionName) for value in node.node_def.attr.values()):
        return False
    if not hasattr(tf.raw_ops, node.type):
        return False
    sizes = [array.size for array in known if array is not None]
    sizes += [math.prod(t.shape.as_list()) if t.shape.is_fully_defined() else _MOST + 1 for t in node.outputs]
    return max(sizes) <= _MOST


def computed(node: tf.Operation, known: Sequence[np.ndarray | None]) -> list[np.ndarray]:
    """The outputs of the operation, called eagerly on these inputs."""
    if node.type == "Const":
        return [attribute_value(node.node_def.attr["value"])]
    tensors = [tf.constant(array, tensor.dtype) for array, tensor in zip(known, node.inputs, strict=True)]
    attributes = [(name, _raw(value)) for name, value in node.node_def.attr.items() if not name.startswith("_")]
    with tf.init_scope():
        # by the operator's own name: the Python functions rename and reorder what they take
        result = execute(node.type, len(node.outputs), tensors, tuple(chain(*attributes)), context.context())
    results = list(result) if isinstance(result, (tuple, list)) else [result]
    return [np.asarray(tensor.numpy()) for tensor in results]


def _raw(value: Any) -> Any:
    """An AttrValue as eager execution takes it."""
    kind = value.WhichOneof("value")
    if kind == "list":
        name, values = next(((field.name, values) for field, values in value.list.ListFields()), ("", ()))
        return [tf.TensorShape(item) if name == "shape" else item for item in values]
    return tf.TensorShape(value.shape) if kind == "shape" else getattr(value, kind)
