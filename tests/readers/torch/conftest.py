"""Makes the lists of cases in this folder importable by name, and runs a hub on ONNX Runtime."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def run() -> Callable[..., list[np.ndarray]]:
    """A function of a hub and the flat inputs of its source: the outputs of ONNX Runtime."""
    import onnxruntime

    from isthmus.writers.onnx import write_onnx

    def outputs(hub: Any, *inputs: Any) -> list[np.ndarray]:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            write_onnx(hub, path)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.log_severity_level = 1, 4
            session = onnxruntime.InferenceSession(str(path), options)
            feeds = {spec.name: np.asarray(value) for spec, value in zip(hub.signature.inputs, inputs, strict=True)}
            return session.run(None, feeds)

    return outputs
