"""Control flow of TensorFlow 1: frames and switches, built by hand or lowered when a graph was frozen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import keras
import tensorflow as tf
from frozen_graphs import ROW, Build, X, frozen, lowered, old_control_flow, ops, v1
from reading import assert_equal, run_hub
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from isthmus.errors import Unsupported
from isthmus.readers.tensorflow import read_tensorflow

pytestmark = pytest.mark.tensorflow


def test_a_loop(tmp_path: Path) -> None:
    hub = frozen(
        tmp_path,
        lambda x: v1.while_loop(lambda i, y: i < 5, lambda i, y: (i + 1, y * 1.5 + 1), [0, x]),
        X,
        free={0: [0]},
        more=ROW,
    )
    assert ops(hub).count("Loop") == 1


def test_loops_and_choices_in_one_another(tmp_path: Path) -> None:
    def nested(x: Any) -> Any:
        def body(i: Any, y: Any) -> Any:
            z = v1.while_loop(lambda j, u: j < i, lambda j, u: (j + 1, u + tf.cast(j, tf.float32)), [0, y])[1]
            return i + 1, v1.cond(tf.reduce_sum(z) > 3, lambda: z - 1, lambda: z * 2)

        total = v1.while_loop(lambda i, y: i < 4, body, [0, x])[1]
        double = lambda i, y: (i + 1, y * 2)  # noqa: E731
        return v1.cond(
            tf.reduce_sum(x) > 0, lambda: v1.while_loop(lambda i, y: i < 3, double, [0, total])[1], lambda: x
        )

    frozen(tmp_path, nested, X, free={0: [0]}, more=[*ROW, [X + 1]])


@pytest.mark.parametrize(
    "build",
    [
        lambda x: v1.map_fn(lambda b: tf.reduce_sum(b) * b, x),
        lambda x: v1.scan(lambda a, b: a + b, x),
        lambda x: v1.foldl(lambda a, b: a * 2.0 + b, x),
        lambda x: v1.foldr(lambda a, b: a * 2.0 + b, x),
    ],
    ids=["map", "scan", "foldl", "foldr"],
)
def test_functions_of_higher_order(build: Build, tmp_path: Path) -> None:
    frozen(tmp_path, build, X, free={0: [0, 1]}, more=ROW)


@pytest.mark.parametrize("is_resource", [False, True])
def test_a_variable_in_a_loop(is_resource: bool, tmp_path: Path) -> None:
    def build(x: Any) -> Any:
        weight = v1.get_variable("w", [4], initializer=v1.ones_initializer(), use_resource=is_resource)
        return v1.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * weight + 1), [0, x])[1]

    frozen(tmp_path, build, X)


def test_a_loop_that_changes_a_variable_is_refused_by_name(tmp_path: Path) -> None:
    with old_control_flow(), tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [2], name="x")
        count = v1.get_variable("count", [], initializer=v1.zeros_initializer(), use_resource=True)

        def body(i: Any, y: Any) -> Any:
            with tf.control_dependencies([count.assign_add(1.0)]):
                return i + 1, y + 1.0

        y = v1.while_loop(lambda i, y: i < 3, body, [0, x])[1]
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(tmp_path / "net"), {"x": x}, {"y": y})
    with pytest.raises(Unsupported, match="AssignAddVariableOp"):
        read_tensorflow(tmp_path / "net")


@pytest.mark.parametrize("is_resource", [False, True])
def test_a_variable_that_is_changed_on_the_way_is_refused_by_name(is_resource: bool, tmp_path: Path) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [2], name="x")
        count = v1.get_variable("count", [], initializer=v1.zeros_initializer(), use_resource=is_resource)
        with tf.control_dependencies([v1.assign_add(count, 1.0)]):
            y = x * count.read_value()
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(tmp_path / "net"), {"x": x}, {"y": y})
    with pytest.raises(Unsupported, match="AssignAdd"):
        read_tensorflow(tmp_path / "net")


# ---------------------------------------------------------------------------------------------------- cells


def test_an_array_that_grows_in_a_loop(tmp_path: Path) -> None:
    def build(x: Any) -> Any:
        rows = tf.TensorArray(tf.float32, size=tf.shape(x)[0], clear_after_read=False).unstack(x)
        grown = tf.TensorArray(tf.float32, size=0, dynamic_size=True)
        grown = v1.while_loop(
            lambda i, b: i < tf.shape(x)[0], lambda i, b: (i + 1, b.write(i, rows.read(i) * 2)), [0, grown]
        )[1]
        return grown.stack(), rows.size(), rows.concat()

    frozen(tmp_path, build, X, more=[[X + 1]])


def test_an_array_that_is_read_while_it_is_written(tmp_path: Path) -> None:
    def build(x: Any) -> Any:
        array = tf.TensorArray(tf.float32, size=8, clear_after_read=False, element_shape=x.shape)
        array = array.write(0, x).write(1, x + 1)
        step = lambda i, a: (i + 1, a.write(i, a.read(i - 1) + a.read(i - 2)))  # noqa: E731
        return v1.while_loop(lambda i, a: i < 8, step, [2, array])[1].stack()

    frozen(tmp_path, build, X, more=[[X + 1]])


def test_arrays_that_are_split_scattered_and_gathered(tmp_path: Path) -> None:
    def build(x: Any) -> Any:
        parts = tf.TensorArray(tf.float32, size=3, clear_after_read=False).split(x, [1, 1, 1])
        placed = tf.TensorArray(tf.float32, size=3, clear_after_read=False).scatter([2, 0, 1], x)
        return parts.concat(), parts.read(1), placed.stack(), placed.gather([1, 1])

    frozen(tmp_path, build, X)


# -------------------------------------------------------------------------------------------------- choices


@pytest.mark.parametrize(
    "build",
    [
        lambda x: v1.cond(tf.reduce_sum(x) > 1, lambda: x * 2, lambda: x - 1),
        lambda x: v1.cond(tf.reduce_sum(x) > 1, lambda: tf.constant(2.0), lambda: tf.constant(3.0)),
        lambda x: v1.cond(tf.reduce_sum(x) > 1, lambda: (x, x * 2), lambda: (x - 1, x)),
        lambda x: v1.cond(
            tf.reduce_sum(x) > 0,
            lambda: v1.cond(x[0, 0] > 0, lambda: x * 3, lambda: tf.ones_like(x)),
            lambda: x * 7,
        ),
    ],
    ids=["one", "constants", "two", "nested"],
)
def test_choices(build: Build, tmp_path: Path) -> None:
    frozen(tmp_path, build, X, more=[[X + 1], [X + 6], [X - 1]])


def test_two_choices_by_one_test_one_after_the_other(tmp_path: Path) -> None:
    def build(x: Any) -> Any:
        test = tf.reduce_sum(x) > 1
        first = v1.cond(test, lambda: x * 2, lambda: x - 1)
        return v1.cond(test, lambda: first * 2, lambda: first - 1)

    hub = frozen(tmp_path, build, X, more=[[X + 1]])
    assert ops(hub).count("If") == 2


def test_what_one_choice_gives_is_one_operator(tmp_path: Path) -> None:
    hub = frozen(tmp_path, lambda x: v1.cond(tf.reduce_sum(x) > 1, lambda: (x + 3, x * 2), lambda: (x - 1, x)), X)
    assert ops(hub).count("If") == 1


def test_cases(tmp_path: Path) -> None:
    def build(x: Any, i: Any) -> Any:
        return v1.case(
            [(tf.equal(i, 0), lambda: x * 2), (tf.equal(i, 1), lambda: x - 1)],
            default=lambda: x + 5,
            exclusive=True,
        )

    frozen(tmp_path, build, X, np.int32(0), more=[[X, np.int32(k)] for k in (-1, 1, 2, 7)])


def test_a_phase_that_has_a_default_leaves_its_branch(tmp_path: Path) -> None:
    def build(x: Any) -> Any:
        training = v1.placeholder_with_default(False, [], name="training")
        return v1.cond(training, lambda: tf.nn.dropout(x, 0.5), lambda: x * 3.0)

    assert ops(frozen(tmp_path, build, X)) == ["Mul"]


def test_a_default_is_told(tmp_path: Path) -> None:
    hub = frozen(tmp_path, lambda x: x * v1.placeholder_with_default([2.0], [None], name="scale"), X)
    assert "'scale' is what it is by default" in "".join(note.text for note in hub.notes)


def test_a_table_that_was_left_behind_has_no_size(tmp_path: Path) -> None:
    def build(x: Any) -> Any:
        filled = tf.lookup.KeyValueTensorInitializer(["a", "b"], tf.constant([1, 2], tf.int64))
        table = tf.lookup.StaticHashTable(filled, -1)
        return tf.cast(table.size(), tf.float32) + x

    with pytest.raises(Unsupported, match="what fills"):
        frozen(tmp_path, build, X)


# -------------------------------------------------------------------------------------------------- lowered


def broken_off(x: Any) -> Any:
    y, array = x, tf.TensorArray(tf.float32, size=3)
    for i in tf.range(3):
        if tf.reduce_sum(y) > 10.0:
            break
        y = y + 1.0
        array = array.write(i, y)
    return y, array.stack(), i


@pytest.mark.parametrize(
    "function",
    [
        lambda x: tf.map_fn(lambda b: tf.reduce_sum(b) * b, x),
        lambda x: tf.scan(lambda a, b: a + b, x),
        lambda x: tf.cond(tf.reduce_sum(x) > 1, lambda: x * 2, lambda: x - 1),
        lambda x: tf.while_loop(lambda i, y: tf.reduce_sum(y) < 9.0, lambda i, y: (i + 1, y + 1.0), [0, x]),
    ],
    ids=["map", "scan", "cond", "while"],
)
def test_lowered_functions(function: Build) -> None:
    lowered(function, X, free={0: [0, 1]}, more=[[X[:2]]])


def test_a_lowered_loop_that_breaks_off() -> None:
    lowered(tf.function(broken_off), X, more=[[X + 1]])


def test_the_ports_of_a_frozen_graph_with_loops_and_choices(tmp_path: Path) -> None:
    @tf.function
    def function(x: Any) -> Any:
        y = tf.map_fn(lambda b: tf.reduce_sum(b) * b, x)
        return tf.cond(tf.reduce_sum(x) > 0, lambda: y * 2, lambda: y)

    concrete = function.get_concrete_function(tf.TensorSpec([None, 4], name="x"))
    proto = convert_variables_to_constants_v2(concrete, lower_control_flow=True).graph.as_graph_def()
    (tmp_path / "net.pb").write_bytes(proto.SerializeToString())
    hub = read_tensorflow(tmp_path / "net.pb")
    assert [str(i) for i in hub.signature.inputs] == ["x: float32[batch, 4]"]
    assert [o.name for o in hub.signature.outputs] == ["Identity"]
    assert_equal(run_hub(hub, X)[0], function(X).numpy(), 1e-5, 1e-6)


def test_a_lowered_choice_by_number() -> None:
    def function(x: Any, i: Any) -> Any:
        return tf.switch_case(i, [lambda: x * 2, lambda: x - 1, lambda: x + 5])

    lowered(function, X, np.int32(0), more=[[X, np.int32(k)] for k in (-1, 1, 2, 7)])


@pytest.mark.parametrize("name", ["LSTM", "GRU", "SimpleRNN"])
def test_recurrent_layers_are_found_in_lowered_loops(name: str) -> None:
    layer = getattr(keras.layers, name)(4, return_sequences=True)
    x = np.random.default_rng(0).standard_normal((2, 5, 6)).astype(np.float32)
    layer(x)
    hub = lowered(lambda x: layer(x), x, free={0: [0, 1]}, more=[[x[:1, :2]]])
    assert {"SimpleRNN": "RNN"}.get(name, name) in ops(hub)
    assert "Loop" not in ops(hub)
