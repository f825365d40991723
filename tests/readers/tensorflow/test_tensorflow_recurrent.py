"""Recurrent layers of Keras become LSTM, GRU and RNN; what is none of these stays a loop. Numbers always agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import keras
import tensorflow as tf
from reading import agree

from isthmus.hub.model import Hub

pytestmark = pytest.mark.tensorflow

layers = keras.layers
OPERATOR = {"LSTM": "LSTM", "GRU": "GRU", "SimpleRNN": "RNN"}
EACH = ["LSTM", *(pytest.param(name, marks=pytest.mark.slow) for name in ("GRU", "SimpleRNN"))]
"""One kind of layer in the fast run, all in the slow one."""


def ops(hub: Hub) -> Counter[str]:
    return Counter(node.op_type for node in hub.graph.all_nodes())


def carried(
    model: Any,
    *,
    free: Sequence[int] = (0, 1),
    sizes: Sequence[tuple[int, ...]] = ((2, 5, 6), (3, 7, 6), (1, 1, 6)),
    call: Any = None,
) -> Counter[str]:
    """The operators of what a layer became; it agrees with the layer at several sizes, with random weights."""
    rng = np.random.default_rng(0)
    feeds = [rng.standard_normal(size).astype(np.float32) for size in sizes]
    if call is None:
        model(feeds[0])
    for weight in model.weights:
        weight.assign(rng.standard_normal(weight.shape) * 0.5)
    hub = agree(
        call or (lambda x: model(x)),
        feeds[0],
        free={0: list(free)},
        more=[[x] for x in feeds[1:]],
        rtol=2e-5,
        atol=2e-5,
    )
    return ops(hub)


SETTINGS: dict[str, dict[str, Any]] = {
    "last": {},
    "sequence": {"return_sequences": True},
    "state": {"return_sequences": True, "return_state": True},
    "backwards": {"return_sequences": True, "go_backwards": True},
    "no_bias": {"use_bias": False},
    "linear": {"activation": None},
    "softsign": {"activation": "softsign"},
    "dropout": {"dropout": 0.5, "recurrent_dropout": 0.5},
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", EACH)
def test_settings(name: str, setting: str) -> None:
    found = carried(getattr(layers, name)(4, **SETTINGS[setting]))
    assert found[OPERATOR[name]] == 1
    assert "Loop" not in found


@pytest.mark.parametrize("activation", ["relu", "elu", "leaky_relu", "softplus", "hard_sigmoid"])
@pytest.mark.parametrize("name", EACH)
def test_activations(name: str, activation: str) -> None:
    gates = {} if name == "SimpleRNN" else {"recurrent_activation": "hard_sigmoid"}
    found = carried(getattr(layers, name)(4, activation=activation, **gates))
    assert found[OPERATOR[name]] == 1
    assert "Loop" not in found


def test_an_activation_that_onnx_does_not_have_stays_a_loop() -> None:
    found = carried(layers.SimpleRNN(4, activation="gelu"))
    assert found["Loop"] == 1
    assert "RNN" not in found


@pytest.mark.parametrize("sequences", [False, True])
def test_a_reset_before_the_product(sequences: bool) -> None:
    found = carried(layers.GRU(4, reset_after=False, return_sequences=sequences))
    assert found["GRU"] == 1


@pytest.mark.parametrize("merge", ["concat", "sum", "mul", "ave", None])
@pytest.mark.parametrize("name", EACH)
def test_both_directions(name: str, merge: str | None) -> None:
    found = carried(layers.Bidirectional(getattr(layers, name)(4, return_sequences=True), merge_mode=merge))
    assert found[OPERATOR[name]] == 1
    assert not {"Loop", "Slice"} & set(found)


@pytest.mark.parametrize("states", [False, True])
def test_the_last_of_both_directions(states: bool) -> None:
    found = carried(layers.Bidirectional(layers.LSTM(4, return_state=states), merge_mode=None))
    assert (found["LSTM"], found["Loop"], found["Slice"]) == (1, 0, 0)


def test_both_directions_with_states_that_are_given() -> None:
    layer = layers.Bidirectional(layers.GRU(6, return_sequences=True, return_state=True))
    layer(np.zeros((1, 2, 6), np.float32))
    assert carried(layer, call=lambda x: layer(x, initial_state=[x[:, 0] * 2, x[:, 0] + 1]))["GRU"] == 1


def test_directions_that_are_not_two_of_one_layer() -> None:
    """They differ in activation, or in their sequence."""
    x = layers.LSTM(4, activation="relu", go_backwards=True)
    forward, other = layers.LSTM(4), layers.LSTM(4, go_backwards=True, return_sequences=True)
    for layer in (forward, other, x):
        layer(np.zeros((1, 2, 6), np.float32))
    assert carried(forward, call=lambda v: (forward(v), x(v)))["LSTM"] == 2
    assert carried(forward, call=lambda v: (forward(v), other(v * 2)))["LSTM"] == 2


def test_a_direction_whose_rows_stay_turned_round() -> None:
    forward, backward = layers.LSTM(4), layers.LSTM(4, go_backwards=True, return_sequences=True)

    def call(x: Any) -> Any:
        rows = backward(x)
        return forward(x), rows, rows[:, ::-1]

    call(np.zeros((1, 2, 6), np.float32))
    for layer in (forward, backward):
        assert carried(layer, call=call)["LSTM"] == 1


def test_two_directions_of_two_kinds_of_layer() -> None:
    backward = layers.GRU(4, go_backwards=True)
    found = carried(layers.Bidirectional(layers.LSTM(4), backward_layer=backward))
    assert (found["LSTM"], found["GRU"]) == (1, 1)


@pytest.mark.parametrize("name", OPERATOR)
def test_layers_one_behind_the_other(name: str) -> None:
    layer = getattr(layers, name)
    assert carried(keras.Sequential([layer(4, return_sequences=True), layer(3)]))[OPERATOR[name]] == 2


@pytest.mark.parametrize("name", OPERATOR)
def test_a_fixed_number_of_steps(name: str) -> None:
    found = carried(getattr(layers, name)(4, return_sequences=True), free=(0,), sizes=((2, 5, 6), (3, 5, 6)))
    assert found[OPERATOR[name]] == 1


def test_a_layer_that_is_called_twice() -> None:
    layer = layers.LSTM(4)
    layer(np.zeros((1, 2, 6), np.float32))
    assert carried(layer, call=lambda x: layer(x) + layer(x * 2))["LSTM"] == 2


def test_a_state_that_is_given() -> None:
    layer = layers.GRU(6)
    layer(np.zeros((1, 2, 6), np.float32))
    assert carried(layer, call=lambda x: layer(x, initial_state=x[:, 0] * 2))["GRU"] == 1


def test_an_encoder_and_a_decoder() -> None:
    encoder, decoder = layers.LSTM(4, return_state=True), layers.LSTM(4, return_sequences=True)

    def call(x: Any) -> Any:
        _, *state = encoder(x)
        return decoder(x * 2, initial_state=state)

    call(np.zeros((1, 2, 6), np.float32))
    for layer in (encoder, decoder):
        assert carried(layer, call=call)["LSTM"] == 2


@pytest.mark.parametrize("cell", ["LSTMCell", "GRUCell", "SimpleRNNCell"])
def test_cells(cell: str) -> None:
    found = carried(layers.RNN(getattr(layers, cell)(4)))
    assert found[OPERATOR[cell.removesuffix("Cell")]] == 1


def test_cells_that_are_stacked() -> None:
    found = carried(layers.RNN([layers.LSTMCell(4), layers.GRUCell(3), layers.SimpleRNNCell(2)]))
    assert [found[name] for name in ("LSTM", "GRU", "RNN", "Loop")] == [1, 1, 1, 0]


@pytest.mark.parametrize(("dtype", "operator"), [("float64", "Loop"), ("float16", "LSTM")])
def test_other_floats(dtype: str, operator: str) -> None:
    """ONNX Runtime has no recurrent layers of float64."""
    layer = layers.LSTM(4, dtype=dtype)
    x = np.random.default_rng(0).standard_normal((2, 5, 6)).astype(dtype)
    layer(x)
    tolerance = 1e-2 if dtype == "float16" else 1e-9
    assert ops(agree(lambda x: layer(x), x, free={0: [0, 1]}, rtol=tolerance, atol=tolerance))[operator] == 1


# ------------------------------------------------------------------------------- masks that are lengths

LENGTHS = np.asarray([3, 5], np.int32)
STEPS: dict[str, Any] = {
    "sequence_mask": lambda x, lengths: tf.sequence_mask(lengths, tf.shape(x)[1]),
    "range": lambda x, lengths: tf.range(tf.shape(x)[1])[None, :] < lengths[:, None],
    "turned": lambda x, lengths: tf.logical_not(lengths[:, None] <= tf.range(tf.shape(x)[1])),
    "fixed": lambda x, lengths: tf.sequence_mask(lengths, 5),
}
OTHERS: dict[str, Any] = {
    "suffix": lambda x, lengths: tf.range(tf.shape(x)[1])[None, :] >= lengths[:, None],
    "from one": lambda x, lengths: tf.range(1, tf.shape(x)[1] + 1)[None, :] < lengths[:, None],
    "floats": lambda x, lengths: (
        tf.cast(tf.range(5), tf.float32)[None, :] < tf.cast(lengths, tf.float32)[:, None] - 0.5
    ),
    "by sequence": lambda x, lengths: (
        tf.range(tf.shape(x)[0])[:, None] < lengths[:1, None] - tf.zeros([1, 5], tf.int32)
    ),
}


def masked(layer: Any, mask: Any, *, free: bool = True, **options: Any) -> Counter[str]:
    """The operators of a layer with a mask made of lengths; some are 0, or longer than the steps."""
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal(size).astype(np.float32) for size in ((2, 5, 6), (3, 5, 6)))
    layer(x)

    def call(x: Any, lengths: Any) -> Any:
        return layer(x, mask=mask(x, lengths), **options)

    more = [[y, np.asarray([0, 9, 1], np.int32)]]
    return ops(agree(call, x, LENGTHS, free={0: [0, 1] if free else [0], 1: [0]}, more=more, rtol=2e-5, atol=2e-5))


def first_fast(names: Sequence[str]) -> list[Any]:
    """All names; those behind the first one in the slow run."""
    return [name if k == 0 else pytest.param(name, marks=pytest.mark.slow) for k, name in enumerate(names)]


@pytest.mark.parametrize("steps", first_fast(list(STEPS)))
def test_a_mask_of_lengths(steps: str) -> None:
    found = masked(layers.LSTM(4), STEPS[steps], free=steps != "fixed")
    assert (found["LSTM"], found["Loop"]) == (1, 0)


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("name", EACH)
def test_all_steps_of_sequences_with_lengths(name: str, zeros: bool) -> None:
    """Behind the end of a sequence, Keras repeats its last output, or gives zeros."""
    layer = getattr(layers, name)(4, return_sequences=True, return_state=True, zero_output_for_mask=zeros)
    found = masked(layer, STEPS["sequence_mask"])
    assert (found[OPERATOR[name]], found["Loop"]) == (1, 0)


def test_stacked_cells_over_sequences_with_lengths() -> None:
    layer = layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)], return_sequences=True)
    found = masked(layer, STEPS["sequence_mask"])
    assert [found[name] for name in ("LSTM", "GRU", "Loop")] == [1, 1, 0]


@pytest.mark.parametrize("steps", first_fast(list(OTHERS)))
def test_a_mask_that_is_no_length(steps: str) -> None:
    assert masked(layers.LSTM(4, return_sequences=True), OTHERS[steps], free=False)["Loop"] == 1


def test_lengths_seen_from_back_to_front_stay_a_loop() -> None:
    assert masked(layers.LSTM(4, go_backwards=True), STEPS["sequence_mask"])["Loop"] == 1


# --------------------------------------------------------------------------------- what stays spelled out


@pytest.mark.parametrize("name", OPERATOR)
def test_a_mask_of_values_skips_steps(name: str) -> None:
    """Any step may be masked, so no length tells which."""
    model = keras.Sequential([layers.Masking(), getattr(layers, name)(4, return_sequences=True)])
    x = np.random.default_rng(0).standard_normal((2, 5, 6)).astype(np.float32)
    x[0, 1] = x[0, 4] = x[1, 0] = 0
    model(x)
    found = ops(agree(lambda x: model(x), x, free={0: [0, 1]}, more=[[x[:1, :2]]], rtol=2e-5, atol=2e-5))
    assert found["Loop"] == 1


def test_a_mask_of_an_embedding() -> None:
    model = keras.Sequential(
        [layers.Embedding(9, 3, mask_zero=True), layers.Bidirectional(layers.GRU(4)), layers.Dense(2)]
    )
    x = np.asarray([[3, 4, 0, 0], [1, 0, 2, 8]], np.int32)
    model(x)
    agree(lambda x: model(x), x, free={0: [0, 1]}, more=[[x[:1, :3]]], rtol=2e-5, atol=2e-5)


def test_a_product_with_the_state_element_by_element_stays_a_loop() -> None:
    class Independent(layers.Layer):
        units = state_size = 6

        def build(self, shape: Any) -> None:
            self.kernel = self.add_weight(shape=(6, 6), name="kernel")
            self.own = self.add_weight(shape=(6,), name="own")

        def call(self, x: Any, states: Any) -> Any:
            new = tf.tanh(x @ self.kernel + states[0] * self.own)
            return new, [new]

    found = carried(layers.RNN(Independent(), return_sequences=True))
    assert found["Loop"] == 1
    assert not found["RNN"]


@pytest.mark.parametrize("name", OPERATOR)
def test_steps_that_are_unrolled(name: str) -> None:
    found = carried(getattr(layers, name)(4, unroll=True), free=(0,), sizes=((2, 3, 6), (1, 3, 6)))
    assert "Loop" not in found


def test_a_cell_of_ones_own() -> None:
    class Minimal(layers.Layer):
        units = state_size = 6

        def call(self, x: Any, states: Any) -> Any:
            gate = tf.sigmoid(x + states[0])
            new = gate * states[0] + (1 - gate) * tf.tanh(x)
            return new, [new]

    assert carried(layers.RNN(Minimal(), return_sequences=True))["Loop"] == 1


def test_recurrent_images() -> None:
    layer = layers.ConvLSTM2D(2, 3, return_sequences=True, padding="same")
    found = carried(layer, sizes=((2, 3, 5, 5, 1), (1, 4, 5, 5, 1)))
    assert found["Loop"] == 1


def test_layers_in_time() -> None:
    carried(layers.TimeDistributed(layers.Dense(3)), free=(0,), sizes=((2, 5, 6), (3, 5, 6)))
