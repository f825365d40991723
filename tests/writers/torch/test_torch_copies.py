"""Copies of a recorded module, made in memory or by pickle, are the same module."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")

from isthmus.readers.onnx import read_onnx  # noqa: E402
from isthmus.types import Options  # noqa: E402
from isthmus.writers.torch.record import record  # noqa: E402

pytestmark = pytest.mark.torch

WAYS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.deepcopy,
    "pickle": lambda module: pickle.loads(pickle.dumps(module)),
    "both": lambda module: pickle.loads(pickle.dumps(copy.deepcopy(pickle.loads(pickle.dumps(module))))),
}
MODELS = {
    "constants": "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) y = MatMul(d, w)",
    "loop": """
        c = Constant <value = bool {1}> ()
        h = Loop(k, c, x) <body = b (int64 i, bool c1, float[n, 3] u) => (bool c2, float[n, 3] v) {
            c2 = Identity(c1)  v = Mul(u, s)
        }>
        y = MatMul(h, w)""",
    "choice": """
        one = Constant <value_int = 1> ()
        p = Greater(k, one)
        h = If(p) <then_branch = t () => (float[n, 3] a) { a = Mul(x, s) },
                   else_branch = e () => (float[n, 3] b) { b = Neg(x) }>
        y = MatMul(h, w)""",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MODELS)
def test_a_copy_is_the_same_module(name: str, way: str) -> None:
    text = f"net (float[n, 3] x, int64 k) => (float[n, 2] y) {{ {MODELS[name]} }}"
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 21]>\n{text}')
    weights = {"w": np.arange(6, dtype=np.float32).reshape(3, 2), "s": np.float32(0.5), "z": np.uint8(3)}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in weights.items())
    module = record(read_onnx(model, options=Options(verify=False))).module
    made = WAYS[way](module)
    assert list(made.state_dict()) == list(module.state_dict())
    assert [n for n, _ in made.named_modules()] == [n for n, _ in module.named_modules()]
    assert not made.training
    made.load_state_dict(module.state_dict())
    x = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    for k in (1, 3):
        assert torch.equal(made(x, torch.tensor(k)), module(x, torch.tensor(k)))
