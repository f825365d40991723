"""Keras models at every opset that can be pinned: valid files, which ONNX Runtime runs as Keras does."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import keras
import onnx
import onnx_ir as ir
import onnxruntime
from keras import Input, Sequential
from keras import layers as L
from training_nets import attention

from isthmus.hub.model import HUB_OPSET, Hub
from isthmus.readers.tensorflow import read_tensorflow
from isthmus.types import Options
from isthmus.writers.onnx import write_onnx

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

NETS: Mapping[str, Callable[[], keras.Model]] = {
    "images": lambda: Sequential(
        [
            Input((8, 8, 3)),
            L.Conv2D(4, 3, strides=2, padding="same", activation="gelu"),
            L.GroupNormalization(2),
            L.DepthwiseConv2D(3, padding="same", activation="silu"),
            L.BatchNormalization(),
            L.Activation("hard_silu"),
            L.ZeroPadding2D(1),
            L.MaxPooling2D(3, strides=2),
            L.UpSampling2D(2, interpolation="bilinear"),
            L.Conv2DTranspose(2, 3, strides=2),
            L.AveragePooling2D(2, padding="same"),
            L.Flatten(),
            L.RMSNormalization(),
            L.Dense(5, activation="softmax"),
        ]
    ),
    "sequences": lambda: Sequential(
        [
            Input((6, 4)),
            L.LSTM(5, return_sequences=True),
            L.GRU(4, return_sequences=True),
            L.LayerNormalization(),
            L.Dense(4, activation=keras.activations.gelu),
            L.Conv1D(3, 2, padding="causal", activation="mish"),
            L.Bidirectional(L.SimpleRNN(2)),
        ]
    ),
    "attention": attention,
}


@pytest.fixture(scope="module")
def read() -> Mapping[str, tuple[keras.Model, Hub]]:
    keras.utils.set_random_seed(0)
    models = {name: make() for name, make in NETS.items()}
    return {name: (model, read_tensorflow(model)) for name, model in models.items()}


@pytest.mark.parametrize("opset", range(18, HUB_OPSET + 1))
@pytest.mark.parametrize("name", NETS)
def test_pinned(name: str, opset: int, read: Mapping[str, tuple[keras.Model, Hub]]) -> None:
    model, hub = read[name]
    proto = ir.to_proto(write_onnx(hub, None, options=Options(opset=opset)).model)
    onnx.checker.check_model(proto, full_check=True)
    assert {entry.domain: entry.version for entry in proto.opset_import}[""] == opset
    if name == "attention":  # the operator came with 23, and ONNX Runtime's kernel ends with 24
        assert ("Attention" in {node.op_type for node in proto.graph.node}) is (opset in (23, 24))
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(opset).normal(size=(3, *model.inputs[0].shape[1:])).astype(np.float32)
    made = session.run(None, {session.get_inputs()[0].name: x})[0]
    np.testing.assert_allclose(made, model(x, training=False).numpy(), rtol=1e-4, atol=1e-5)
