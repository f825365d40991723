"""Runs a hub, read from torch, in what it is written for."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., list[np.ndarray]]


def on_onnxruntime(hub: Any, *inputs: Any) -> list[np.ndarray]:
    """The outputs of ONNX Runtime for the flat inputs of the source."""
    import onnxruntime

    from isthmus.writers.onnx import write_onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        write_onnx(hub, path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 4
        session = onnxruntime.InferenceSession(str(path), options)
        feeds = {spec.name: np.asarray(value) for spec, value in zip(hub.signature.inputs, inputs, strict=True)}
        return session.run(None, feeds)


def on_tensorflow(hub: Any, *inputs: Any) -> list[np.ndarray]:
    """The outputs of the recorded TensorFlow function."""
    import tensorflow as tf

    from isthmus.writers.tensorflow.record import record

    serving = record(hub).signatures["serving_default"]
    feeds = {spec.name: tf.constant(np.asarray(v)) for spec, v in zip(hub.signature.inputs, inputs, strict=True)}
    outputs = serving(**feeds)
    return [outputs[spec.name].numpy() for spec in hub.signature.outputs]


@pytest.fixture(
    params=[
        pytest.param(on_onnxruntime, marks=pytest.mark.onnxruntime, id="onnx"),
        pytest.param(on_tensorflow, marks=pytest.mark.tensorflow, id="tensorflow"),
    ]
)
def run(request: pytest.FixtureRequest) -> Run:
    """A function of a hub and the flat inputs of its source: the outputs, once for every writer."""
    return request.param
