"""Small nets as ONNX text, with how many Transposes they need for a channels-last target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from isthmus.hub.model import Hub
from isthmus.readers.onnx import read_onnx
from isthmus.types import Options


@dataclass(frozen=True)
class Net:
    """A graph in ONNX text; weights are drawn by their declared shapes. ``turns``: Transposes with free choice."""

    name: str
    text: str
    weights: dict[str, tuple[int, ...]]
    turns: int


def hub_of(text: str, weights: dict[str, tuple[int, ...]] | None = None, *, seed: int = 7) -> Hub:
    """Parse, add seeded float weights, bring into canonical form."""
    rng = np.random.default_rng(seed)
    header = '<ir_version: 10, opset_import: ["": 26, "com.microsoft": 1]>\n' if "ir_version" not in text else ""
    model = ir.from_onnx_text(header + text)
    for name, shape in (weights or {}).items():
        array = rng.uniform(0.2, 1.0, size=shape) if name.startswith(("var", "scale")) else rng.normal(size=shape) / 3
        tensor = ir.tensor(np.asarray(array, np.float32), name=name)
        value = ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(shape), const_value=tensor)
        model.graph.initializers.add(value)
        for node in model.graph.all_nodes():
            for i, used in enumerate(node.inputs):
                if used is not None and used.name == name:
                    node.replace_input_with(i, value)
    for node in model.graph.all_nodes():
        node.metadata_props["isthmus.module"] = "net"
    return read_onnx(model, options=Options(verify=False))


NETS = [
    Net(
        "chain",
        """net (float[n, 3, 8, 8] x) => (float[n, 10] y) {
            a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)
            b = BatchNormalization (a, scale, b1, b1, var)
            c = Relu (b)
            d = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (c)
            e = Conv (d, w2)
            f = GlobalAveragePool (e)
            g = Flatten (f)
            y = Gemm <transB = 1> (g, w3)
        }""",
        {"w1": (4, 3, 3, 3), "b1": (4,), "scale": (4,), "var": (4,), "w2": (6, 4, 1, 1), "w3": (10, 6)},
        1,
    ),
    Net(
        "residual",
        """net (float[n, 4, h, w] x) => (float[n, 4, h, w] y) {
            a = Conv <pads = [1, 1, 1, 1]> (x, w1)
            b = Relu (a)
            c = Conv <pads = [1, 1, 1, 1]> (b, w1)
            d = Add (c, x)
            y = Relu (d)
        }""",
        {"w1": (4, 4, 3, 3)},
        2,
    ),
    Net(
        "dense",
        """net (float[n, 4, 6, 6] x) => (float[n, 20, 6, 6] y)
        <int64[2] halves = {4, 4}> {
            a = Conv <pads = [1, 1, 1, 1]> (x, w1)
            b = Concat <axis = 1> (x, a)
            c = Conv (b, w2)
            d = Concat <axis = -3> (b, c)
            s, t = Split <axis = 1> (b, halves)
            u = Mul (s, t)
            y = Concat <axis = 1> (d, u)
        }""",
        {"w1": (4, 4, 3, 3), "w2": (8, 8, 1, 1)},
        2,
    ),
    Net(
        "squeeze_excite",
        """net (float[n, 8, 6, 6] x) => (float[n, 8, 6, 6] y)
        <int64[2] hw = {2, 3}, int64[4] back = {0, 8, 1, 1}, float[8, 1, 1] gain = {1, 2, 3, 4, 5, 6, 7, 8}> {
            a = Conv <group = 8, pads = [1, 1, 1, 1]> (x, w1)
            m = ReduceMean <keepdims = 0> (a, hw)
            g = Gemm (m, w2)
            r = Reshape (g, back)
            s = Sigmoid (r)
            b = Mul (a, s)
            c = Mul (gain, b)
            y = Conv (c, w3)
        }""",
        {"w1": (8, 1, 3, 3), "w2": (8, 8), "w3": (8, 8, 1, 1)},
        2,
    ),
    Net(
        "upsample",
        """net (float[n, 4, h, w] x) => (float[n, 3, oh, ow] y)
        <float[4] scales = {1, 1, 2, 2}, int64[8] pads = {0, 0, 1, 2, 0, 0, 0, 1}, int64[2] starts = {0, 1},
         int64[2] ends = {100, -1}, int64[2] axes = {2, 3}> {
            a = ConvTranspose <strides = [2, 2]> (x, w1, b1)
            b = Resize <mode = "nearest"> (a, , scales)
            c = Pad (b, pads)
            d = Slice (c, starts, ends, axes)
            e = PRelu (d, slope)
            f = InstanceNormalization (e, scale, scale)
            y = LRN <size = 3> (f)
        }""",
        {"w1": (4, 3, 2, 2), "b1": (3,), "slope": (3, 1, 1), "scale": (3,)},
        2,
    ),
    Net(
        "patches",
        """net (float[n, 3, 8, 8] x) => (float[n, 4, 6] y) <int64[3] tokens = {0, 6, 4}> {
            a = Conv <kernel_shape = [4, 4], strides = [4, 4]> (x, w1)
            b = Reshape (a, tokens)
            c = Transpose <perm = [0, 2, 1]> (b)
            d = LayerNormalization (c, scale)
            y = MatMul (d, w2)
        }""",
        {"w1": (6, 3, 4, 4), "scale": (6,), "w2": (6, 6)},
        1,
    ),
    Net(
        "convnext",
        """net (float[n, 4, 6, 6] x) => (float[n, 4, 6, 6] y) {
            s = Conv (x, w0)
            a = Conv <group = 4, pads = [1, 1, 1, 1]> (s, w1)
            b = Transpose <perm = [0, 2, 3, 1]> (a)
            c = LayerNormalization (b, scale)
            d = MatMul (c, w2)
            e = Gelu (d)
            f = MatMul (e, w2)
            g = Mul (f, scale)
            h = Transpose <perm = [0, 3, 1, 2]> (g)
            y = Add (s, h)
        }""",
        {"w0": (4, 4, 1, 1), "w1": (4, 1, 3, 3), "scale": (4,), "w2": (4, 4)},
        2,
    ),
    Net(
        "shuffle",
        """net (float[n, 8, 4, 4] x) => (float[n, 8, 4, 4] y)
        <int64[5] split = {-1, 2, 4, 4, 4}, int64[4] merge = {-1, 8, 4, 4}> {
            a = Conv <group = 2> (x, w1)
            b = Reshape (a, split)
            c = Transpose <perm = [0, 2, 1, 3, 4]> (b)
            d = Reshape (c, merge)
            y = Conv <group = 8> (d, w2)
        }""",
        {"w1": (8, 4, 1, 1), "w2": (8, 1, 1, 1)},
        3,
    ),
    Net(
        "detector_head",
        """net (float[n, 4, 5, 5] x) => (float[n, 75, 3] y)
        <int64[5] split = {-1, 3, 3, 5, 5}, int64[3] merge = {-1, 75, 3}> {
            a = Conv (x, w1)
            b = Reshape (a, split)
            c = Transpose <perm = [0, 1, 3, 4, 2]> (b)
            d = Sigmoid (c)
            y = Reshape (d, merge)
        }""",
        {"w1": (9, 4, 1, 1)},
        2,
    ),
    Net(
        "signal",
        """net (float[n, 3, l] x) => (float[n, m, 5] y) {
            a = Conv <pads = [1, 1]> (x, w1)
            b = LeakyRelu (a)
            c = MaxPool <kernel_shape = [2], strides = [2]> (b)
            d = BatchNormalization (c, scale, scale, scale, var)
            y = Transpose <perm = [0, 2, 1]> (d)
        }""",
        {"w1": (5, 3, 3), "scale": (5,), "var": (5,)},
        1,
    ),
    Net(
        "volume",
        """net (float[n, 2, 4, 5, 6] x) => (float[n, 3, 4, 5, 6] y, int64[n, 1, 4, 5, 6] best) {
            a = Conv <pads = [1, 1, 1, 1, 1, 1]> (x, w1)
            y = Softmax <axis = 1> (a)
            best = ArgMax <axis = 1> (y)
        }""",
        {"w1": (3, 2, 3, 3, 3)},
        2,
    ),
    Net(
        "shape_of",
        """net (float[n, 3, h, w] x) => (float[n, 4, hw] y)
        <int64[1] first = {0}, int64[1] rest = {-1}, int64[1] channels = {4}, int64[1] zero = {0},
         int64[1] one = {1}> {
            a = Conv (x, w1)
            s = Shape (a)
            b = Slice (s, zero, one)
            t = Concat <axis = 0> (b, channels, rest)
            r = Relu (a)
            y = Reshape (r, t)
        }""",
        {"w1": (4, 3, 1, 1)},
        2,
    ),
    Net(
        "bodies",
        """net (float[n, 3, 4, 4] x, bool go) => (float[n, 3, 4, 4] y) {
            a = Conv (x, w1)
            b = If (go) <
                then_branch = yes () => (float[n, 3, 4, 4] p) { p1 = Conv (a, w1)  p = Relu (p1) },
                else_branch = no () => (float[n, 3, 4, 4] q) { q = Neg (a) }
            >
            y = Add (b, a)
        }""",
        {"w1": (3, 3, 1, 1)},
        3,
    ),
]
