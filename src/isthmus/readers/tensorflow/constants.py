"""Operations on constants are computed by TensorFlow itself: what it says is what they mean."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from isthmus.readers.tensorflow.attributes import FunctionName, attribute_value
from isthmus.readers.tensorflow.contract import op_def
from isthmus.readers.tensorflow.dtypes import data_type

_MOST = 1 << 16
"""Results of more elements are computed where the model runs, so that a small file stays small."""


def is_small(node: tf.Operation, known: Sequence[np.ndarray | None]) -> bool:
    """Whether the operation may be computed now: pure, of tensors only, and small."""
    if node.type in ("Const", "Placeholder") or not node.outputs or op_def(node.type).is_stateful:
        return node.type == "Const"
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
    function = getattr(tf.raw_ops, node.type)
    taken = inspect.signature(function).parameters
    arguments: dict[str, object] = {}
    tensors = iter(tf.constant(array, tensor.dtype) for array, tensor in zip(known, node.inputs, strict=True))
    attributes = node.node_def.attr
    for arg in op_def(node.type).input_arg:
        if arg.number_attr or arg.type_list_attr:
            count = (
                attributes[arg.number_attr].i if arg.number_attr else len(attributes[arg.type_list_attr].list.type)
            )
            arguments[arg.name] = [next(tensors) for _ in range(count)]
        else:
            arguments[arg.name] = next(tensors)
    arguments |= {
        name: _raw(attribute_value(value))
        for name, value in attributes.items()
        if name in taken and name not in arguments
    }
    with tf.init_scope():
        result = function(**arguments)
    results = list(result) if isinstance(result, (tuple, list)) else [result]
    return [np.asarray(tensor.numpy()) for tensor in results]


def _raw(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
