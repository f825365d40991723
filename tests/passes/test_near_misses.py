"""What looks like a known layer and is none stays as it was spelled."""

from __future__ import annotations

import numpy as np
import onnx.parser
import pytest

from isthmus.hub.model import ROLE, Hub
from isthmus.passes.base import run
from isthmus.passes.cleanup import RemoveNoOps
from isthmus.passes.recover.activations import RecoverSwish
from isthmus.passes.recover.batchnorm import RecoverBatchNorm
from isthmus.passes.recover.gelu import RecoverGelu
from isthmus.readers.onnx import read_onnx

GELU = """<ir_version: 10, opset_import: ["": 26]>
net ({dtype}[n] x) => ({dtype}[n] y)
<{dtype} half = {{{half}}}, {dtype} root = {{{root}}}, {dtype} one = {{{one}}}> {{
    a = Mul (x, root) e = Erf (a) c = Add (one, e) h = Mul (half, x) y = Mul (h, c)
}}"""

BATCH_NORM = """<ir_version: 10, opset_import: ["": 26]>
net (float[n, 2] x) => (float[n, 2] y)
<float[2] gamma = {2, 3}, float[2] beta = {1, 1}, float[2] mean = {1, 0}, float[2] var = {4, 9}, float eps = {0.25}> {
    a = Add (var, eps) b = Sqrt (a) r = Reciprocal (b) s = Mul (r, gamma)
    p = Mul (x, s) m = Mul (mean, s) t = Sub (beta, m) y = Add (p, t)
}"""


def ops(hub: Hub) -> set[str]:
    return {node.op_type for node in hub.graph}


@pytest.mark.parametrize(
    ("dtype", "root", "is_gelu"),
    [
        ("float", 0.70710678, True),
        ("float", 0.7071, False),
        ("double", 0.7071067811865476, True),
        ("double", 0.70710678, False),
        ("float16", 0.7071, True),
        ("float16", 0.72, False),
    ],
)
def test_a_root_is_as_exact_as_its_type(dtype: str, root: float, is_gelu: bool) -> None:
    numbers = {"half": 0.5, "root": root, "one": 1.0}
    if dtype == "float16":  # whose bits are written, as an integer
        numbers = {name: int(np.float16(number).view(np.uint16)) for name, number in numbers.items()}
    hub = read_onnx(onnx.parser.parse_model(GELU.format(dtype=dtype, **numbers)))
    assert ("Gelu" in ops(run(hub, [RecoverGelu()]))) is is_gelu


@pytest.mark.parametrize(
    ("dtype", "alpha", "bend", "is_swish"),
    [
        ("float", "float alpha = {1.7}", "Mul (x, alpha)", True),
        ("float", "float alpha = {1.0}", "Identity (x)", True),
        ("float", "float[1, 1] alpha = {1.7}", "Mul (x, alpha)", False),
        ("float", "float alpha = {1.7}", "Add (x, alpha)", False),
        ("double", "double alpha = {1.5}", "Mul (alpha, x)", True),
        ("double", "double alpha = {1.7}", "Mul (alpha, x)", False),
    ],
)
def test_a_swish_has_one_factor_in_single_precision(dtype: str, alpha: str, bend: str, is_swish: bool) -> None:
    out = f"{dtype}[1, n] y" if "[1, 1]" in alpha else f"{dtype}[n] y"
    text = f'<ir_version: 10, opset_import: ["": 26]> net ({dtype}[n] x) => ({out}) <{alpha}>'
    hub = read_onnx(onnx.parser.parse_model(f"{text} {{ a = {bend} s = Sigmoid (a) y = Mul (s, x) }}"))
    hub = run(hub, [RemoveNoOps(), RecoverSwish()])
    assert ("Swish" in ops(hub)) is is_swish


@pytest.mark.parametrize("trained", ["mean", "var", "gamma", ""])
def test_a_mean_that_trains_is_no_batch_normalization(trained: str) -> None:
    hub = read_onnx(onnx.parser.parse_model(BATCH_NORM))
    for name, value in hub.graph.initializers.items():
        value.metadata_props[ROLE] = "parameter" if name == trained else "buffer" if name != "eps" else "constant"
    assert ("BatchNormalization" in ops(run(hub, [RecoverBatchNorm()]))) is (trained not in ("mean", "var"))
