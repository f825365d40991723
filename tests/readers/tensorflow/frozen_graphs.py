"""Graphs as TensorFlow 1 froze them, and functions whose control flow was lowered: read, and held to TensorFlow."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from reading import assert_equal, run_hub
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from isthmus.hub.model import Hub
from isthmus.readers.tensorflow import read_tensorflow
from isthmus.types import Options

v1 = tf.compat.v1
X = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)
ROW = [[X[:1]]]
Build = Callable[..., Any]
Free = Mapping[int, Sequence[int]]


def ops(hub: Hub) -> list[str]:
    return [node.op_type for node in hub.graph.all_nodes()]


@contextlib.contextmanager
def old_control_flow() -> Iterator[None]:
    v1.disable_control_flow_v2()
    try:
        yield
    finally:
        v1.enable_control_flow_v2()


def frozen(folder: Path, build: Build, *feeds: Any, free: Free | None = None, more: Sequence[Any] = ()) -> Hub:
    """What is read of the frozen graph that ``build`` makes; it agrees with a session for all feeds."""
    with old_control_flow(), tf.Graph().as_default() as graph:
        inputs = [
            v1.placeholder(
                np.asarray(x).dtype,
                [None if axis in (free or {}).get(k, ()) else size for axis, size in enumerate(np.shape(x))],
                name=f"x{k}",
            )
            for k, x in enumerate(feeds)
        ]
        outputs = [tf.identity(t, name=f"out{k}") for k, t in enumerate(tf.nest.flatten(build(*inputs)))]
        with v1.Session(graph=graph) as session:
            session.run(v1.global_variables_initializer())
            expected = [
                session.run(outputs, {t.name: np.asarray(x) for t, x in zip(inputs, given, strict=True)})
                for given in (feeds, *more)
            ]
            proto = tf.compat.v1.graph_util.convert_variables_to_constants(
                session, graph.as_graph_def(), [t.op.name for t in outputs]
            )
    (folder / "net.pb").write_bytes(proto.SerializeToString())
    asked = ",".join(t.name for t in inputs) + "->" + ",".join(t.name for t in outputs)
    hub = read_tensorflow(folder / "net.pb", options=Options(signature=asked))
    for given, wanted in zip((feeds, *more), expected, strict=True):
        found = run_hub(hub, *[np.asarray(x) for x in given])
        for ours, theirs in zip(found, wanted, strict=True):
            assert_equal(ours, np.asarray(theirs), 1e-5, 1e-6)
    return hub


def lowered(function: Build, *feeds: Any, free: Free | None = None, more: Sequence[Any] = ()) -> Hub:
    """What is read of a function whose control flow was lowered when its variables became constants."""
    traced = tf.function(function)
    specs = [
        tf.TensorSpec(
            [None if axis in (free or {}).get(k, ()) else size for axis, size in enumerate(np.shape(x))],
            np.asarray(x).dtype,
            name=f"x{k}",
        )
        for k, x in enumerate(feeds)
    ]
    concrete = convert_variables_to_constants_v2(traced.get_concrete_function(*specs), lower_control_flow=True)
    hub = read_tensorflow(concrete)
    for given in (feeds, *more):
        expected = [np.asarray(t) for t in tf.nest.flatten(function(*map(tf.constant, given)))]
        found = run_hub(hub, *[np.asarray(x) for x in given])
        for ours, theirs in zip(found, expected, strict=True):
            assert_equal(ours, theirs, 1e-5, 1e-6)
    return hub


# ---------------------------------------------------------------------------------------------------- loops
