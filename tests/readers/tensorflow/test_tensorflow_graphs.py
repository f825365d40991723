"""Operators that only graphs have: made by optimizers and compilers, or called through functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from reading import agree, hub_of

from isthmus.errors import Unsupported

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

X = np.arange(12, dtype=np.float32).reshape(3, 4)


def made(op: str, inputs: list[Any], types: list[Any], **attributes: Any) -> list[tf.Tensor]:
    """One operator of the graph that is being traced."""
    found = {name: tf.compat.v1.AttrValue(**{kind: value}) for name, (kind, value) in attributes.items()}
    graph = tf.compat.v1.get_default_graph()
    operands = [tf.convert_to_tensor(x) for x in inputs]
    return list(graph.create_op(op, operands, types, name=op.strip("_"), attrs=found).outputs)


TYPES = {"T": ("type", tf.float32.as_datatype_enum), "Tindices": ("type", tf.int32.as_datatype_enum)}


@pytest.mark.parametrize("start", [[0, 1], [1, 2], [2, 3], [-1, 0]])
def test_a_slice_that_is_moved_inside(start: list[int]) -> None:
    def sliced(x: Any, start: Any) -> Any:
        if tf.executing_eagerly():
            return tf.slice(x, tf.clip_by_value(start, 0, [1, 2]), [2, 2])
        return made("XlaDynamicSlice", [x, start, [2, 2]], [tf.float32], **TYPES)[0]

    agree(sliced, X, np.asarray(start, np.int32), free={0: [0]})


@pytest.mark.parametrize("start", [[0, 1], [2, 3], [-1, 0]])
def test_an_update_that_is_moved_inside(start: list[int]) -> None:
    def updated(x: Any, update: Any, start: Any) -> Any:
        if tf.executing_eagerly():
            row, column = np.clip(start.numpy(), 0, [1, 2])
            whole = x.numpy()
            whole[row : row + 2, column : column + 2] = update.numpy()
            return tf.constant(whole)
        return made("XlaDynamicUpdateSlice", [x, update, start], [tf.float32], **TYPES)[0]

    agree(updated, X, -np.ones((2, 2), np.float32), np.asarray(start, np.int32), free={0: [0]})


@pytest.mark.parametrize("activation", ["Identity", "Relu"])
def test_a_batch_norm_with_what_follows(activation: str) -> None:
    numbers = np.random.default_rng(3)
    image = numbers.normal(size=(2, 4, 5, 4)).astype(np.float32)
    scale, offset, mean = numbers.normal(size=(3, 4)).astype(np.float32)
    variance = np.array([0.5, 1.0, 2.0, 3.0], np.float32)

    def normalized(x: Any) -> Any:
        if tf.executing_eagerly():
            y = tf.nn.batch_normalization(x, mean, variance, offset, scale, 1e-3)
            return tf.nn.relu(y) if activation == "Relu" else y
        settings = {
            "T": ("type", tf.float32.as_datatype_enum),
            "U": ("type", tf.float32.as_datatype_enum),
            "num_side_inputs": ("i", 0),
            "epsilon": ("f", 1e-3),
            "activation_mode": ("s", activation.encode()),
            "is_training": ("b", False),
        }
        return made("_FusedBatchNormEx", [x, scale, offset, mean, variance], [tf.float32] * 6, **settings)[0]

    agree(normalized, image, rtol=1e-4, atol=1e-5)


def test_a_function_whose_calls_are_batched() -> None:
    weight = tf.constant(X.T.copy())

    @tf.nondifferentiable_batch_function(num_batch_threads=1, max_batch_size=8, batch_timeout_micros=1)
    def batched(x: Any) -> Any:
        return tf.matmul(x, weight)

    agree(lambda x: batched(x) + 1, X)


def test_what_passes_on() -> None:
    def passed(x: Any) -> Any:
        first, second = tf.identity_n([x, x * 2])
        tf.debugging.Assert(tf.reduce_all(x < 99), [x])
        shown = first if tf.executing_eagerly() else tf.raw_ops.Print(input=first, data=[second], message="x")
        joined = tf.raw_ops.ParallelConcat(values=[shown[None], second[None]], shape=[2, 3, 4])
        return tf.raw_ops.DebugIdentity(input=joined) if not tf.executing_eagerly() else joined

    agree(passed, X)


def test_other_programs_inside_are_refused() -> None:
    def called(x: Any) -> Any:
        settings = {
            "version": ("i", 9),
            "module": ("s", b""),
            "Sout": ("list", tf.compat.v1.AttrValue.ListValue(shape=[tf.TensorShape([3, 4]).as_proto()])),
            "Tout": ("list", tf.compat.v1.AttrValue.ListValue(type=[tf.float32.as_datatype_enum])),
            "Tin": ("list", tf.compat.v1.AttrValue.ListValue(type=[tf.float32.as_datatype_enum])),
        }
        return made("XlaCallModule", [x], [tf.float32], **settings)[0]

    with pytest.raises(Unsupported, match="StableHLO"):
        hub_of(called, X)


def test_a_function_that_is_called_elsewhere() -> None:
    twice = tf.function(lambda x: x * 2).get_concrete_function(tf.TensorSpec([3, 4], tf.float32))
    device = "/job:localhost/replica:0/task:0/device:CPU:0"

    def called(x: Any) -> Any:
        if tf.executing_eagerly():
            return twice(x)
        return tf.raw_ops.RemoteCall(target=device, args=[x], Tout=[tf.float32], f=twice)[0]

    agree(called, X)


def test_gradients_of_functions_are_refused() -> None:
    twice = tf.function(lambda x: x * 2).get_concrete_function(tf.TensorSpec([3, 4], tf.float32))

    def differentiated(x: Any) -> Any:
        return tf.raw_ops.SymbolicGradient(input=[x, x], Tout=[tf.float32], f=twice)[0]

    with pytest.raises(Unsupported, match="only training"):
        hub_of(differentiated, X)


def test_a_gradient_that_the_model_computes_of_itself():
    weight = np.linspace(-1, 1, 32, dtype=np.float32).reshape(4, 8)

    def force(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            hidden = tf.nn.gelu(tf.matmul(x, weight) + 0.5)
            energy = tf.matmul(tf.nn.elu(hidden) * tf.tanh(hidden), weight, transpose_b=True)
        return -tape.gradient(energy, x)

    x = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)
    hub = agree(force, x, free={0: [0]}, more=[[x[:1]]], rtol=1e-4, atol=1e-5)
    assert "NonZero" not in [node.op_type for node in hub.graph]  # nothing is broadcast, so nothing is summed
