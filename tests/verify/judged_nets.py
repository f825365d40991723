"""Small models in ONNX text, written where a test wants them."""

from __future__ import annotations

from pathlib import Path

import onnx

HEAD = '<ir_version: 10, opset_import: ["": 21]> '


def save(path: Path, text: str) -> str:
    """Write a graph in ONNX text, checked; returns the path."""
    model = onnx.parser.parse_model(HEAD + text)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return str(path)


SCALE = "g (float[n, 3] x) => (float[n, 3] y) <float[1] k = {{{k}}}> {{ y = Mul(x, k) }}"


def scale(path: Path, k: float = 2.0) -> str:
    """y = k x, n free."""
    return save(path, SCALE.format(k=k))
