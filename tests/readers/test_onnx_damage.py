"""Damaged files: whatever was changed in a model's bytes, reading it works or says what is wrong."""

from __future__ import annotations

import random
from pathlib import Path

import onnx
import pytest

from isthmus.errors import IsthmusError
from isthmus.readers.onnx import read_onnx

MODELS = (
    """<ir_version: 8, opset_import: ["": 11]> g (float[N,3,8] x) => (float[] y)
       <float[8] w = {1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0}, int64[2] s = {0,-1}> {
         h = Mul(x, w) p = Softmax<axis=1>(h) q = Reshape(p, s) y = Clip<min=0.0>(q)
       }""",
    """<ir_version: 8, opset_import: ["": 10]> g (float[1,2,4,4] x) => (float[] y)
       <float[4] s = {1.0,1.0,2.0,0.5}> { h = Resize<mode="nearest">(x, s) y = ReduceMean<axes=[2,3]>(h) }""",
    """<ir_version: 8, opset_import: ["": 16]> g (float[2] x, bool b) => (float[2] y) {
         y = If<then_branch = t () => (float[2] u) { c = Constant<value_float=1.0>() u = Add(x, c) },
                else_branch = e () => (float[2] v) { v = Neg(x) }>(b)
       }""",
)


def _damaged(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at, kind = rng.randrange(len(out)), rng.random()
        if kind < 0.6:
            out[at] = rng.randrange(256)
        elif kind < 0.8:
            del out[at : at + rng.randint(1, 5)]
        else:
            out[at:at] = rng.randbytes(rng.randint(1, 4))
    return bytes(out)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("text", MODELS)
def test_damage_is_named(tmp_path: Path, text: str) -> None:
    rng, path = random.Random(3), tmp_path / "model.onnx"
    data = onnx.parser.parse_model(text).SerializeToString()
    refused = 0
    for _ in range(400):
        path.write_bytes(_damaged(data, rng))
        try:
            read_onnx(path)
        except IsthmusError as error:
            assert error.exit_code in (2, 3, 6)
            refused += 1
    assert refused > 200
