"""TensorFlow called eagerly against what was read from its graph, run by ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import tensorflow as tf

from isthmus.hub.canonical import check_canonical
from isthmus.hub.model import Hub
from isthmus.readers.tensorflow import read_tensorflow
from isthmus.writers.onnx import write_onnx

Free = Mapping[int, Sequence[int]]
"""Which axes are free, by the number of the argument."""


def hub_of(
    function: Callable[..., Any],
    *arrays: np.ndarray,
    free: Free | None = None,
    dims: Mapping[str, Sequence[str | int]] | None = None,
) -> Hub:
    """The hub of a function of these arrays; it is canonical. ``dims`` names the free axes of ``x0``, ``x1``…"""
    specs = [_spec(array, (free or {}).get(i, ()), f"x{i}") for i, array in enumerate(arrays)]
    hub = read_tensorflow(tf.function(function).get_concrete_function(*specs), dynamic_shapes=dims)
    assert check_canonical(hub.model) == []
    return hub


def run_hub(hub: Hub, *arrays: np.ndarray) -> list[np.ndarray]:
    """The outputs of the file that is written of a hub: checked by onnx, run by ONNX Runtime."""
    proto = ir.to_proto(write_onnx(hub, None).model)
    onnx.checker.check_model(proto, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [spec.name for spec in hub.signature.inputs]
    return session.run(None, dict(zip(names, arrays, strict=True)))


def agree(
    function: Callable[..., Any],
    *arrays: Any,
    free: Free | None = None,
    more: Sequence[Sequence[Any]] = (),
    rtol: float = 1e-5,
    atol: float = 1e-6,
) -> Hub:
    """Assert that TensorFlow, eagerly, and ONNX Runtime give the same for ``arrays``, and ``more`` of other sizes.

    Floats within the tolerances; integers, booleans and strings exactly; shapes and element types always.
    """
    given = [np.asarray(array) for array in arrays]
    hub = hub_of(function, *given, free=free)
    for feeds in (given, *([np.asarray(a) for a in other] for other in more)):
        expected = [np.asarray(t.numpy()) for t in tf.nest.flatten(function(*map(tf.constant, feeds)))]
        found = run_hub(hub, *feeds)
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert_equal(ours, theirs, rtol, atol)
    return hub


def assert_equal(ours: np.ndarray, theirs: np.ndarray, rtol: float, atol: float) -> None:
    assert ours.shape == theirs.shape, f"shape {ours.shape}, and TensorFlow's is {theirs.shape}"
    if theirs.dtype.kind in "OSU":
        texts = [text.decode() if isinstance(text, bytes) else text for text in theirs.reshape(-1).tolist()]
        assert ours.reshape(-1).tolist() == texts
        return
    assert ours.dtype == theirs.dtype, f"{ours.dtype}, and TensorFlow's is {theirs.dtype}"
    if theirs.dtype.kind in "biu":
        np.testing.assert_array_equal(ours, theirs)
    else:
        np.testing.assert_allclose(ours.astype(np.float64), theirs.astype(np.float64), rtol=rtol, atol=atol)


def _spec(array: np.ndarray, free: Sequence[int], name: str) -> tf.TensorSpec:
    shape = [None if axis in free else size for axis, size in enumerate(array.shape)]
    dtype = tf.string if array.dtype.kind in "OSU" else tf.as_dtype(array.dtype)
    return tf.TensorSpec(shape, dtype, name=name)
