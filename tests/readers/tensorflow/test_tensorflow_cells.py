"""Cells over time of TensorFlow 1: what `dynamic_rnn` and its like make is a layer again, or stays a loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from frozen_graphs import frozen, ops, v1

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def cells() -> Any:
    return pytest.importorskip("tf_keras.src.layers.rnn.legacy_cells")


def time(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


CELLS = {
    "BasicLSTMCell": "LSTM",
    "LSTMCell": "LSTM",
    "GRUCell": "GRU",
    "BasicRNNCell": "RNN",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CELLS)
def test_cells_over_time_are_layers(name: str, cells: Any, tmp_path: Path) -> None:
    hub = frozen(
        tmp_path,
        lambda x: v1.nn.dynamic_rnn(getattr(cells, name)(4), x, dtype=tf.float32),
        time(2, 5, 6),
        free={0: [0, 1]},
        more=[[time(1, 2, 6)]],
    )
    assert ops(hub).count(CELLS[name]) == 1
    assert not {"Loop", "Pad", "Range"} & set(ops(hub))


@pytest.mark.filterwarnings("ignore")
def test_two_directions(cells: Any, tmp_path: Path) -> None:
    hub = frozen(
        tmp_path,
        lambda x: v1.nn.bidirectional_dynamic_rnn(cells.LSTMCell(4), cells.LSTMCell(3), x, dtype=tf.float32),
        time(2, 5, 6),
        free={0: [0, 1]},
        more=[[time(1, 2, 6)]],
    )
    assert ops(hub).count("LSTM") == 2


@pytest.mark.filterwarnings("ignore")
def test_gates_that_see_the_cell(cells: Any, tmp_path: Path) -> None:
    hub = frozen(
        tmp_path,
        lambda x: v1.nn.dynamic_rnn(
            cells.LSTMCell(4, use_peepholes=True, initializer=v1.random_normal_initializer(seed=1)),
            x,
            dtype=tf.float32,
        ),
        time(2, 5, 6),
        free={0: [0, 1]},
        more=[[time(1, 2, 6)]],
    )
    (node,) = [node for node in hub.graph if node.op_type == "LSTM"]
    assert node.inputs[7] is not None
    assert "Loop" not in ops(hub)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("has_lengths", [False, True])
def test_cells_that_are_stacked(has_lengths: bool, cells: Any, tmp_path: Path) -> None:
    def build(x: Any, lengths: Any) -> Any:
        stack = cells.MultiRNNCell([cells.BasicLSTMCell(4), cells.GRUCell(3), cells.BasicLSTMCell(2)])
        outputs, states = v1.nn.dynamic_rnn(stack, x, lengths if has_lengths else None, dtype=tf.float32)
        return outputs, states, lengths + 1

    hub = frozen(
        tmp_path,
        build,
        time(2, 5, 6),
        np.asarray([3, 5], np.int32),
        free={0: [0, 1], 1: [0]},
        more=[[time(3, 4, 6), np.asarray([0, 1, 4], np.int32)], [time(2, 4, 6), np.asarray([9, 0], np.int32)]],
    )
    assert (ops(hub).count("LSTM"), ops(hub).count("GRU"), ops(hub).count("Loop")) == (2, 1, 0)


@pytest.mark.filterwarnings("ignore")
def test_a_projection_stays_a_loop_and_what_is_before_it_goes_apart(cells: Any, tmp_path: Path) -> None:
    def build(x: Any) -> Any:
        stack = cells.MultiRNNCell([cells.BasicLSTMCell(4), cells.LSTMCell(4, num_proj=3), cells.GRUCell(3)])
        return v1.nn.dynamic_rnn(stack, x, dtype=tf.float32)

    hub = frozen(tmp_path, build, time(2, 5, 6), free={0: [0, 1]}, more=[[time(1, 2, 6)]])
    assert (ops(hub).count("LSTM"), ops(hub).count("Loop")) == (1, 1)


class Watched:
    """A cell whose second half sees more of the first one than its output."""

    def __init__(self, cells: Any, seen: str) -> None:
        self.first, self.second, self.seen = cells.BasicLSTMCell(4), cells.GRUCell(4), seen

    def __call__(self, x: Any, states: Any) -> Any:
        (c, h), other = states
        output, (new_c, new_h) = self.first(x, (c, h))
        extra = {"cell": new_c, "old_state": h, "old_cell": c}[self.seen]
        output, new_other = self.second(output + extra, other)
        return output, ((new_c, new_h), new_other)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seen", ["cell", "old_state", "old_cell"])
def test_a_cell_that_another_one_looks_into_stays_in_the_loop(seen: str, cells: Any, tmp_path: Path) -> None:
    def build(x: Any) -> Any:
        cell, steps = Watched(cells, seen), tf.shape(x)[1]
        rows = tf.TensorArray(tf.float32, steps)

        def body(i: Any, rows: Any, c: Any, h: Any, other: Any) -> Any:
            output, ((c, h), other) = cell(x[:, i], ((c, h), other))
            return i + 1, rows.write(i, output), c, h, other

        none = tf.zeros([tf.shape(x)[0], 4])
        _, rows, *states = tf.while_loop(lambda i, *_: i < steps, body, [0, rows, none, none, none])
        return rows.stack(), states

    assert "Loop" in ops(frozen(tmp_path, build, time(2, 5, 6), free={0: [0, 1]}, more=[[time(1, 2, 6)]]))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CELLS)
def test_sequences_of_several_lengths(name: str, cells: Any, tmp_path: Path) -> None:
    hub = frozen(
        tmp_path,
        lambda x, lengths: v1.nn.dynamic_rnn(getattr(cells, name)(4), x, lengths, dtype=tf.float32),
        time(2, 5, 6),
        np.asarray([3, 5], np.int32),
        free={0: [0, 1], 1: [0]},
        more=[
            [time(3, 4, 6), np.asarray([0, 1, 4], np.int32)],
            [time(1, 4, 6), np.asarray([2], np.int32)],
            [time(2, 4, 6), np.asarray([9, 0], np.int32)],
        ],
    )
    (node,) = [node for node in hub.graph if node.op_type == CELLS[name]]
    assert node.inputs[4] is not None
    assert not {"Loop", "Pad"} & set(ops(hub))


@pytest.mark.filterwarnings("ignore")
def test_lengths_and_states_that_begin_elsewhere_stay_a_loop(cells: Any, tmp_path: Path) -> None:
    """What the state of an empty sequence is, is its first one here, and zeros in ONNX Runtime."""

    def build(x: Any, lengths: Any) -> Any:
        cell = cells.GRUCell(6)
        return v1.nn.dynamic_rnn(cell, x, lengths, initial_state=x[:, 0] * 2)

    hub = frozen(tmp_path, build, time(2, 5, 6), np.asarray([0, 5], np.int32), free={0: [0, 1], 1: [0]})
    assert "Loop" in ops(hub)


@pytest.mark.filterwarnings("ignore")
def test_both_directions_of_sequences_of_several_lengths(cells: Any, tmp_path: Path) -> None:
    def build(x: Any, lengths: Any) -> Any:
        forward, backward = cells.LSTMCell(4), cells.LSTMCell(3)
        return v1.nn.bidirectional_dynamic_rnn(forward, backward, x, lengths, dtype=tf.float32)

    hub = frozen(
        tmp_path,
        build,
        time(2, 5, 6),
        np.asarray([3, 5], np.int32),
        free={0: [0, 1], 1: [0]},
        more=[[time(3, 4, 6), np.asarray([0, 1, 4], np.int32)]],
    )
    assert ops(hub).count("LSTM") == 2


@pytest.mark.filterwarnings("ignore")
def test_steps_that_are_unrolled(cells: Any, tmp_path: Path) -> None:
    frozen(
        tmp_path,
        lambda x: v1.nn.static_rnn(cells.LSTMCell(4), tf.unstack(x, axis=1), dtype=tf.float32),
        time(2, 3, 6),
        free={0: [0]},
        more=[[time(1, 3, 6)]],
    )


# --------------------------------------------------------------------------------------------------- arrays
