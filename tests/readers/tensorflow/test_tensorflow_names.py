"""Free dimensions keep the input's names behind loops, and only where they are as long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import keras
import tensorflow as tf
from reading import agree, hub_of

from isthmus.hub.model import Hub
from isthmus.readers.tensorflow import read_tensorflow

pytestmark = pytest.mark.tensorflow

ROWS = np.arange(12, dtype=np.float32).reshape(3, 4) / 8
FEWER = ((ROWS[:1],), (ROWS[:2],))


def shapes(hub: Hub) -> list[tuple[int | str | None, ...]]:
    """The shapes of the outputs; a name that is not an input's is ``None``."""
    named = {dim for spec in hub.signature.inputs for dim in spec.shape or ()}
    return [
        tuple(dim if isinstance(dim, int) or dim in named else None for dim in spec.shape or ())
        for spec in hub.signature.outputs
    ]


def counted(x: tf.Tensor) -> tf.Tensor:
    return tf.while_loop(lambda i, v: i < 3, lambda i, v: (i + 1, v * 2 + tf.cast(i, tf.float32)), [0, x])[1]


def until_large(x: tf.Tensor) -> tf.Tensor:
    return tf.while_loop(lambda v: tf.reduce_sum(v) < 100, lambda v: (v * 1.5 + 1,), [x])[0]


def within(x: tf.Tensor) -> tf.Tensor:
    def outer(i: tf.Tensor, v: tf.Tensor) -> Any:
        last = tf.while_loop(lambda j, w: j < 2, lambda j, w: (j + 1, tf.tanh(w + x[i])), [0, v])[1]
        return i + 1, last * 2

    return tf.while_loop(lambda i, v: i < tf.shape(x)[0], outer, [0, tf.zeros_like(x)])[1]


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (lambda x: tf.scan(lambda a, row: a * 0.5 + row, x), ("batch", 4)),
        (lambda x: tf.scan(lambda a, row: a * 0.5 + row, x, reverse=True), ("batch", 4)),
        (lambda x: tf.scan(lambda a, row: a + row, tf.transpose(x)), (4, "batch")),
        (lambda x: tf.map_fn(lambda row: tf.scan(lambda a, b: a + b, row), x), ("batch", 4)),
        (within, ("batch", 4)),
        (lambda x: tf.map_fn(lambda row: tf.nn.relu(row) * 2, x), ("batch", 4)),
        (lambda x: tf.map_fn(tf.reduce_sum, x), ("batch",)),
        (lambda x: tf.scan(lambda a, row: a + tf.reduce_sum(row), x, initializer=0.0), ("batch",)),
        (counted, ("batch", 4)),
        (until_large, ("batch", 4)),
    ],
    ids=[
        "scan",
        "scan from the end",
        "scan along another axis",
        "scan in a map",
        "loop in a loop",
        "map",
        "map to numbers",
        "scan from a start",
        "counted",
        "tested",
    ],
)
def test_the_batch_keeps_its_name_behind_a_loop(function: Callable[..., Any], shape: tuple[int | str, ...]) -> None:
    assert shapes(agree(function, ROWS, free={0: [0]}, more=FEWER)) == [shape]


def growing(x: tf.Tensor) -> tf.Tensor:
    invariants = [tf.TensorShape([]), tf.TensorShape([None, 4])]
    return tf.while_loop(lambda i, v: i < 2, lambda i, v: (i + 1, tf.concat([v, x], 0)), [0, x], invariants)[1]


def swapped(x: tf.Tensor, y: tf.Tensor) -> Any:
    free = [tf.TensorShape([]), tf.TensorShape([None, 4]), tf.TensorShape([None, 4])]
    return tf.while_loop(lambda i, a, b: i < 3, lambda i, a, b: (i + 1, b, a), [0, x, y], free)[1:]


def replaced(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    free = [tf.TensorShape([]), tf.TensorShape([None, 4])]
    return tf.while_loop(lambda i, v: i < tf.shape(y)[0] - 2, lambda i, v: (i + 1, y * 2), [0, x], free)[1]


def growing_within(x: tf.Tensor) -> tf.Tensor:
    invariants = [tf.TensorShape([]), tf.TensorShape([None, 4])]

    def outer(i: tf.Tensor, v: tf.Tensor) -> Any:
        return i + 1, tf.while_loop(
            lambda j, w: j < 2, lambda j, w: (j + 1, tf.concat([w, v], 0)), [0, v], invariants
        )[1]

    return tf.while_loop(lambda i, v: i < 2, outer, [0, x], invariants)[1]


def test_what_grows_or_changes_places_has_no_name_of_an_input() -> None:
    agree(growing, ROWS, free={0: [0]}, more=FEWER)
    agree(growing_within, ROWS, free={0: [0]}, more=FEWER)
    agree(swapped, ROWS, ROWS[:2], free={0: [0], 1: [0]})
    agree(replaced, ROWS, ROWS[:2], free={0: [0], 1: [0]}, more=((ROWS[:1], ROWS),))
    two = {"x0": ["m", 4], "x1": ["n", 4]}
    assert shapes(hub_of(growing, ROWS, free={0: [0]}, dims={"x0": ["m", 4]})) == [(None, 4)]
    assert shapes(hub_of(growing_within, ROWS, free={0: [0]}, dims={"x0": ["m", 4]})) == [(None, 4)]
    assert shapes(hub_of(swapped, ROWS, ROWS[:2], free={0: [0], 1: [0]}, dims=two)) == [(None, 4), (None, 4)]
    assert shapes(hub_of(replaced, ROWS, ROWS[:2], free={0: [0], 1: [0]}, dims=two)) == [(None, 4)]


def masked(units: int, *, sequences: bool, both: bool) -> keras.Model:
    inputs = keras.Input((None,), dtype="int32", name="tokens")
    layer = keras.layers.LSTM(units, return_sequences=sequences)
    x = keras.layers.Embedding(20, 6, mask_zero=True)(inputs)
    x = (keras.layers.Bidirectional(layer) if both else layer)(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="scores")(x))


@pytest.mark.parametrize("both", [False, True])
def test_masked_recurrent_layers(both: bool) -> None:
    last = read_tensorflow(masked(4, sequences=False, both=both))
    assert [spec.shape for spec in last.signature.outputs] == [("batch", 3)]
    every = read_tensorflow(masked(4, sequences=True, both=both))
    assert [spec.shape for spec in every.signature.outputs] == [(*every.signature.inputs[0].shape, 3)]
    assert every.signature.inputs[0].shape[0] == "batch"


def test_recurrent_convolution() -> None:
    inputs = keras.Input((3, 5, 5, 2))
    frames = keras.layers.ConvLSTM2D(4, 3, return_sequences=True)(inputs)
    hub = read_tensorflow(keras.Model(inputs, [frames, keras.layers.ConvLSTM2D(2, 2)(frames)]))
    assert [spec.shape for spec in hub.signature.outputs] == [("batch", 3, 3, 3, 4), ("batch", 2, 2, 2)]


ROW, PLACES = tf.TensorSpec([None, 4]), tf.TensorSpec([None], tf.int32)


@pytest.mark.parametrize(
    ("function", "specs", "names"),
    [
        (lambda x, i: tf.gather(x * 2, i), [ROW, PLACES], ["x_dim_0", "batch"]),
        (
            lambda x, i, u: tf.tensor_scatter_nd_update(x, tf.expand_dims(i, 1), u),
            [ROW, PLACES, ROW],
            ["x_dim_0", "batch", "batch"],
        ),
        (lambda x, y: x + y, [ROW, ROW], ["batch", "batch"]),
        (lambda x, i: tf.gather(x, tf.expand_dims(i, 1), batch_dims=1), [ROW, PLACES], ["batch", "batch"]),
        (lambda x, y: tf.boolean_mask(x, y > 0), [ROW, tf.TensorSpec([None])], ["batch", "batch"]),
        (
            lambda splits, x, i: tf.gather(tf.RaggedTensor.from_row_splits(x, splits, validate=False), i).flat_values,
            [PLACES, PLACES, PLACES],
            ["splits_dim_0", "x_dim_0", "batch"],
        ),
    ],
    ids=["gathered", "updated", "added", "gathered within", "masked", "ragged"],
)
def test_rows_that_another_input_picks_are_no_batch(
    function: Callable[..., Any], specs: list[tf.TensorSpec], names: list[str]
) -> None:
    hub = read_tensorflow(tf.function(function).get_concrete_function(*specs))
    assert [spec.shape[0] for spec in hub.signature.inputs if spec.shape] == names
    if names[0] != "batch":
        told = {spec.name: ["batch", *(spec.shape or ())[1:]] for spec in hub.signature.inputs}
        asked = read_tensorflow(tf.function(function).get_concrete_function(*specs), dynamic_shapes=told)
        assert {spec.shape[0] for spec in asked.signature.inputs if spec.shape} == {"batch"}


def test_inputs_of_other_sizes_have_no_batch_in_common() -> None:
    function = tf.function(lambda x, y, z: tf.matmul(x + z, y, transpose_b=True))
    given = (ROWS, ROWS[:2], ROWS)
    hub = read_tensorflow(function.get_concrete_function(ROW, ROW, ROW), inputs=given)
    assert [spec.shape for spec in hub.signature.inputs] == [("batch", 4), ("y_dim_0", 4), ("batch", 4)]
    assert hub.signature.outputs[0].shape == ("batch", "y_dim_0")
