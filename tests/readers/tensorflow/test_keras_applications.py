"""The smallest models of keras.applications; ``make models`` carries them all."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

from keras_nets import Net
from reading import run_hub

from isthmus.readers.tensorflow import read_tensorflow
from isthmus.writers.onnx import write_onnx

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]


@pytest.mark.parametrize(
    ("net", "transposes"),
    [
        (Net("MobileNet", 32, {"alpha": 0.25}), 1),
        (Net("MobileNetV2", None, {"alpha": 0.35}), 2),
        (Net("MobileNet", 32, {"alpha": 0.25}, layout="channels_first"), 1),
    ],
    ids=lambda given: given.label if isinstance(given, Net) else None,
)
def test_onnx(net: Net, transposes: int) -> None:
    model = net.build()
    hub = read_tensorflow(model)
    for images in net.feeds():
        expected = model(images, training=False).numpy()
        np.testing.assert_allclose(run_hub(hub, images)[0], expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    graph = write_onnx(hub, None).model.graph
    assert sum(node.op_type == "Transpose" for node in graph) <= transposes
    assert {weight.path for weight in model.weights} <= set(graph.initializers)
