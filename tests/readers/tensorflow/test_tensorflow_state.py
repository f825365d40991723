"""Variables that a signature changes: inputs and outputs of the model, call after call as TensorFlow has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import keras
import tensorflow as tf
from reading import run_hub

import isthmus
from isthmus.errors import Unsupported
from isthmus.hub.model import Hub
from isthmus.readers.tensorflow import read_tensorflow

pytestmark = pytest.mark.tensorflow


def calls_agree(module: Any, *spec: Any, feeds: list[np.ndarray], variables: dict[str, tf.Variable]) -> Hub:
    """Call after call: the outputs, and what the variables hold, fed back."""
    hub = read_tensorflow(module.__call__.get_concrete_function(*spec))
    names = [i.name for i in hub.signature.inputs]
    outputs = [o.name for o in hub.signature.outputs]
    held = {name: np.asarray(variable.numpy()) for name, variable in variables.items()}
    assert set(names[len(spec) :]) == set(held)
    for feed in feeds:
        expected = [np.asarray(t) for t in tf.nest.flatten(module(tf.constant(feed)))]
        found = dict(zip(outputs, run_hub(hub, feed, *(held[n] for n in names[len(spec) :])), strict=True))
        for name, value in zip(outputs, expected, strict=False):
            np.testing.assert_allclose(found[name], value, rtol=1e-6)
        for name, variable in variables.items():
            np.testing.assert_allclose(found[f"{name}_next"], variable.numpy(), rtol=1e-6)
            held[name] = found[f"{name}_next"]
    return hub


def test_a_counter_and_a_sum() -> None:
    class Net(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.total, self.count = tf.Variable([1.0, 2.0], name="total"), tf.Variable(0, name="count")

        @tf.function
        def __call__(self, x: Any) -> Any:
            before = self.total.read_value()
            self.total.assign_add(x)
            self.count.assign(self.count + 1)
            if self.count > 2:
                self.total.assign(x * 0)
            for _ in tf.range(3):
                self.total.assign_sub(x * 0.5)
            return before + self.total

    net = Net()
    hub = calls_agree(
        net,
        tf.TensorSpec([2]),
        feeds=[np.array([k, 0.5], np.float32) for k in range(4)],
        variables={"total": net.total, "count": net.count},
    )
    assert {note.topic for note in hub.notes} == {"state"}


def test_rows_of_a_variable() -> None:
    class Net(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rows = tf.Variable(np.zeros((4, 2), np.float32), name="rows")

        @tf.function
        def __call__(self, x: Any) -> Any:
            self.rows.scatter_add(tf.IndexedSlices(x, tf.constant([1, 1, 3])))
            self.rows.scatter_update(tf.IndexedSlices(x[:1] * 5, tf.constant([0])))
            self.rows.scatter_nd_sub([[2], [3]], x[:2])
            self.rows.scatter_max(tf.IndexedSlices(x[:1], tf.constant([2])))
            self.rows.scatter_mul(tf.IndexedSlices(x[1:2], tf.constant([3])))
            self.rows[1:3].assign(self.rows[1:3] * 2)
            return self.rows.sparse_read(tf.constant([1, 0]))

    net = Net()
    feeds = [np.arange(6, dtype=np.float32).reshape(3, 2) - k for k in range(3)]
    calls_agree(net, tf.TensorSpec([3, 2]), feeds=feeds, variables={"rows": net.rows})


def test_a_variable_that_is_assigned_in_a_function_that_is_called() -> None:
    class Net(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen = tf.Variable(0.0, name="seen")

        @tf.function
        def remember(self, x: Any) -> None:
            self.seen.assign(tf.maximum(self.seen, tf.reduce_max(x)))

        @tf.function
        def __call__(self, x: Any) -> Any:
            self.remember(x)
            return x / self.seen

    net = Net()
    feeds = [np.array(v, np.float32) for v in ([1, 2], [5, 3], [4, 4])]
    calls_agree(net, tf.TensorSpec([2]), feeds=feeds, variables={"seen": net.seen})


def test_a_weight_that_is_only_read_stays_a_weight() -> None:
    class Net(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.steps = tf.Variable([2.0], name="weight"), tf.Variable(0, name="steps")

        @tf.function
        def __call__(self, x: Any) -> Any:
            self.steps.assign_add(1)
            return x * self.weight

    net = Net()
    hub = calls_agree(net, tf.TensorSpec([1]), feeds=[np.ones(1, np.float32)] * 2, variables={"steps": net.steps})
    assert "weight" in hub.graph.initializers


def test_a_model_with_state_is_judged_by_its_state_too() -> None:
    class Net(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.total = tf.Variable(tf.zeros([3]), name="total")

        @tf.function(input_signature=[tf.TensorSpec([3], tf.float32, name="x")])
        def __call__(self, x: Any) -> Any:
            return {"sum": self.total.assign_add(x)}

    conversion = isthmus.convert(Net(), to="onnx")
    assert [i.name for i in conversion.artifact.signature.inputs] == ["x", "total"]
    assert [o.name for o in conversion.artifact.signature.outputs] == ["sum", "total_next"]
    assert conversion, conversion.verdict


def test_a_stateful_recurrent_layer_of_keras() -> None:
    model = keras.Sequential([keras.Input((None, 3), batch_size=2), keras.layers.GRU(4, stateful=True)])
    hub = read_tensorflow(model)
    state = next(i for i in hub.signature.inputs[1:])
    held = np.zeros((2, 4), np.float32)
    for seed in range(3):
        x = np.random.default_rng(seed).standard_normal((2, 5, 3)).astype(np.float32)
        expected = model(x).numpy()
        found = dict(zip([o.name for o in hub.signature.outputs], run_hub(hub, x, held), strict=True))
        np.testing.assert_allclose(found[hub.signature.outputs[0].name], expected, rtol=1e-5, atol=1e-6)
        held = found[f"{state.name}_next"]


def test_states_of_keras_are_judged() -> None:
    layer = keras.layers.LSTM(4, stateful=True)
    conversion = isthmus.convert(keras.Sequential([keras.Input((5, 3), batch_size=2), layer]), to="onnx")
    assert len(conversion.artifact.signature.inputs) == 3
    assert conversion, conversion.verdict


def test_a_table_that_changes_is_refused_by_name() -> None:
    class Net(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.int64, -1)

        @tf.function
        def __call__(self, x: Any) -> Any:
            self.table.insert(x, x * 2)
            return self.table.lookup(x)

    net = Net()
    with pytest.raises(Unsupported, match="LookupTableInsertV2"):
        read_tensorflow(net.__call__.get_concrete_function(tf.TensorSpec([2], tf.int64)))
