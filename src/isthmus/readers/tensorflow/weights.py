"""Weights as initializers in the order of axes that their source had; read when they are written, and not kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx_ir as ir
import tensorflow as tf

from isthmus.errors import Unsupported
from isthmus.hub.state import KEY, PLACE
from isthmus.readers.tensorflow.builder import Builder
from isthmus.readers.tensorflow.dtypes import data_type
from isthmus.readers.tensorflow.handles import VariableHandle
from isthmus.readers.tensorflow.momenta import mark_momentum
from isthmus.readers.tensorflow.program import Variable
from isthmus.types import Blocker


@dataclass(frozen=True)
class _Constant:
    """What a ``Const`` of a graph holds, which it is asked for when the weight is written."""

    node: tf.Operation
    graph: Any = field(repr=False)
    """An operation does not keep its graph alive."""

    @property
    def dtype(self) -> tf.DType:
        return self.node.outputs[0].dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.node.outputs[0].shape.as_list())

    def numpy(self) -> np.ndarray:
        return tf.make_ndarray(self.node.get_attr("value"))


@dataclass
class Weights:
    """The weights of one source. ``places`` has PyTorch's keys for their names, where these are Keras' own.

    ``constants`` tells the weights that nodes of the graph's functions hold, by ``function/node``.
    """

    op: Builder
    places: Mapping[str, str]
    constants: Mapping[str, Variable]
    _made: dict[str, ir.Value] = field(default_factory=dict)
    """The initializers that constants became, by the names of the weights: one, however many nodes hold it."""

    def variable(self, variable: Variable) -> ir.Value | VariableHandle:
        """A variable as the graph knows it: a handle, or the value itself, as TensorFlow 1 has it."""
        value = self._as_held(self._initializer(variable), variable)
        return value if variable.is_reference else VariableHandle(variable, value)

    def constant(self, node: tf.Operation) -> ir.Value | None:
        """What a ``Const`` gives that holds a weight; None where it holds none."""
        graph = getattr(node.graph, "name", "")  # only functions have one
        told = self.constants.get(f"{graph}/{node.name}")
        if told is None:
            return None
        weight = replace(told, value=_Constant(node, node.graph))
        if weight.name not in self._made:
            self._made[weight.name] = self._initializer(weight)
        return self._as_held(self._made[weight.name], weight)

    def _initializer(self, weight: Variable) -> ir.Value:
        role = "parameter" if weight.trainable else "buffer"
        value = self.op.initializer(_tensor_of(weight), weight.name, role=role)
        mark_momentum(value, weight.momentum)
        if weight.key:
            value.metadata_props[KEY] = weight.key
        place = self.places.get(weight.name, "")
        if place and weight.shape is None and not weight.perm:
            value.metadata_props[PLACE] = place
        return value

    def _as_held(self, value: ir.Value, weight: Variable) -> ir.Value:
        """``value``, which is in the source's order of axes, as the graph holds it."""
        if weight.shape is not None:
            stored = [int(size) for size in weight.value.shape]
            axes = weight.perm or range(len(stored))
            shape = [stored[list(axes).index(axis)] for axis in range(len(stored))]
            value = self.op.Reshape(value, shape, allowzero=1)
        return self.op.Transpose(value, perm=weight.perm) if weight.perm else value


def _tensor_of(weight: Variable) -> ir.TensorProtocol:
    """The value, read from where it is held when it is wanted and not kept."""
    dtype = data_type(weight.value.dtype)
    if dtype is None:
        blocker = Blocker("VariableV2", f"variable {weight.name!r} is {weight.value.dtype}, which ONNX has not")
        raise Unsupported("a variable cannot be carried", [blocker])

    def value() -> ir.TensorProtocol:
        held = weight.value
        with tf.init_scope():  # a graph may be under construction where the weights are written
            array = np.asarray(held.numpy() if hasattr(held, "numpy") else held)
        return ir.tensor(_as_in_source(array, weight))

    sizes = [int(dim) for dim in weight.value.shape]
    if weight.perm:
        sizes = [sizes[weight.perm.index(axis)] for axis in range(len(sizes))]
    shape = ir.Shape(sizes if weight.shape is None else weight.shape)
    return ir.LazyTensor(value, dtype=dtype, shape=shape, name=weight.name)


def _as_in_source(array: np.ndarray, weight: Variable) -> np.ndarray:
    """The value in the order of axes that the weight had before it came to this source."""
    array = array.transpose(np.argsort(weight.perm)) if weight.perm else array
    return array if weight.shape is None else array.reshape(weight.shape)
