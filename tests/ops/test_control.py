"""Control flow, as ONNX text, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from matrix import equal, made_by_each, on_onnxruntime

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

HEADER = '<ir_version: 10, opset_import: ["" : 21]>\n'
RNG = np.random.default_rng(6)


def _floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


MODELS = {
    "if_captures": """
        g (bool c, float[n, 3] x) => (float[n, 3] y) {
            two = Constant <value_float = 2.0> ()
            y = If (c) <
                then_branch = t () => (float[n, 3] a) { a = Mul(x, two) },
                else_branch = e () => (float[n, 3] b) { b = Neg(x) }
            >
        }""",
    "if_of_differing_shapes": """
        g (bool c, float[n, 4] x) => (float[m, 4] y, float z) {
            y, z = If (c) <
                then_branch = t () => (float[k, 4] a, float u) {
                    a = Concat <axis = 0> (x, x)  u = ReduceSum <keepdims = 0> (x)
                },
                else_branch = e () => (float[l, 4] b, float v) {
                    b = Identity(x)  v = Constant <value_float = 1.0> ()
                }
            >
        }""",
    "if_nested": """
        g (bool c, float[n] x) => (float[n] y) {
            y = If (c) <
                then_branch = t () => (float[n] a) {
                    zero = Constant <value_float = 0.0> ()
                    s = ReduceSum <keepdims = 0> (x)
                    d = Greater(s, zero)
                    a = If (d) <
                        then_branch = tt () => (float[n] p) { p = Exp(x) },
                        else_branch = te () => (float[n] q) { q = Abs(x) }
                    >
                },
                else_branch = e () => (float[n] b) { b = Neg(x) }
            >
        }""",
    "loop_for": """
        g (int64 trips, float[n, 3] x) => (float[n, 3] y, float[t, n, 3] ys) {
            go = Constant <value = bool {1}> ()
            y, ys = Loop (trips, go, x) <
                body = b (int64 i, bool c, float[n, 3] s) => (bool o, float[n, 3] r, float[n, 3] w) {
                    o = Identity(c)  f = Cast <to = 1> (i)  r = Add(s, f)  w = Mul(r, x)
                }
            >
        }""",
    "loop_while": """
        g (float limit, float[n] x) => (float[n] y, int64 count) {
            zero = Constant <value_int = 0> ()
            one = Constant <value_int = 1> ()
            go = Constant <value = bool {1}> ()
            y, count = Loop ("", go, x, zero) <
                body = b (int64 i, bool c, float[n] s, int64 k) => (bool o, float[n] r, int64 l) {
                    r = Add(s, s)  l = Add(k, one)
                    a = Abs(r)  m = ReduceMax <keepdims = 0> (a)  o = Less(m, limit)
                }
            >
        }""",
    "loop_stopped_early": """
        g (int64 trips, int64 stop, float[n] x) => (float[n] y, int64[t] seen) {
            y, seen = Loop (trips, "", x) <
                body = b (int64 i, bool c, float[n] s) => (bool o, float[n] r, int64 w) {
                    r = Add(s, x)  w = Identity(i)  o = Less(i, stop)
                }
            >
        }""",
    "loop_growing": """
        g (int64 trips, float[n, 2] x) => (float[m, 2] y) {
            go = Constant <value = bool {1}> ()
            y = Loop (trips, go, x) <
                body = b (int64 i, bool c, float[k, 2] s) => (bool o, float[l, 2] r) {
                    o = Identity(c)  r = Concat <axis = 0> (s, x)
                }
            >
        }""",
    "loop_nested": """
        g (int64 trips, float[n] x) => (float[n] y) {
            go = Constant <value = bool {1}> ()
            y = Loop (trips, go, x) <
                body = b (int64 i, bool c, float[n] s) => (bool o, float[n] r) {
                    o = Identity(c)
                    r = Loop (i, c, s) <
                        body = bb (int64 j, bool d, float[n] u) => (bool p, float[n] v) {
                            p = Identity(d)  v = Add(u, x)
                        }
                    >
                }
            >
        }""",
    "loop_with_sequence": """
        g (int64 trips, float[n] x) => (float[m] y, int64 count) {
            go = Constant <value = bool {1}> ()
            e = SequenceEmpty <dtype = 1> ()
            s = Loop (trips, go, e) <
                body = b (int64 i, bool c, seq(float[l]) q) => (bool o, seq(float[l]) r) {
                    o = Identity(c)  f = Cast <to = 1> (i)  z = Add(x, f)  r = SequenceInsert(q, z)
                }
            >
            y = ConcatFromSequence <axis = 0> (s)
            count = SequenceLength(s)
        }""",
    "scan_sum": """
        g (float[3] initial, float[t, 3] x) => (float[3] final, float[t, 3] ys) {
            final, ys = Scan (initial, x) <num_scan_inputs = 1,
                body = b (float[3] s, float[3] row) => (float[3] r, float[3] w) { r = Add(s, row)  w = Identity(r) }
            >
        }""",
    "scan_axes_and_directions": """
        g (float[2] initial, float[2, t] x, float[t, 2] z) => (float[2] final, float[2, t] ys, float[t, 2] zs) {
            final, ys, zs = Scan (initial, x, z) <num_scan_inputs = 2, scan_input_axes = [-1, 0],
                scan_input_directions = [1, 0], scan_output_axes = [1, 0], scan_output_directions = [0, 1],
                body = b (float[2] s, float[2] u, float[2] v) => (float[2] r, float[2] p, float[2] q) {
                    m = Mul(s, u)  r = Add(m, v)  p = Identity(r)  q = Sub(u, v)
                }
            >
        }""",
    "scan_captures": """
        g (float[n, 3] w, float[t, 3] x) => (float[t, n] ys) {
            ys = Scan (x) <num_scan_inputs = 1,
                body = b (float[3] row) => (float[n] p) {
                    k = Constant <value_ints = [1]> ()  c = Unsqueeze(row, k)  m = MatMul(w, c)  p = Squeeze(m, k)
                }
            >
        }""",
}

TRUE, FALSE = np.array(True), np.array(False)
FEEDS: list[tuple[str, dict[str, Any]]] = [
    ("if_captures", {"c": TRUE, "x": _floats(2, 3)}),
    ("if_captures", {"c": FALSE, "x": _floats(5, 3)}),
    ("if_of_differing_shapes", {"c": TRUE, "x": _floats(2, 4)}),
    ("if_of_differing_shapes", {"c": FALSE, "x": _floats(2, 4)}),
    ("if_nested", {"c": TRUE, "x": _floats(4)}),
    ("if_nested", {"c": TRUE, "x": -np.abs(_floats(4))}),
    ("if_nested", {"c": FALSE, "x": _floats(4)}),
    ("loop_for", {"trips": np.array(4), "x": _floats(2, 3)}),
    ("loop_for", {"trips": np.array(1), "x": _floats(5, 3)}),
    ("loop_while", {"limit": np.array(100, np.float32), "x": _floats(4)}),
    ("loop_stopped_early", {"trips": np.array(9), "stop": np.array(3), "x": _floats(4)}),
    ("loop_stopped_early", {"trips": np.array(2), "stop": np.array(3), "x": _floats(4)}),
    ("loop_growing", {"trips": np.array(3), "x": _floats(2, 2)}),
    ("loop_growing", {"trips": np.array(0), "x": _floats(2, 2)}),
    ("loop_nested", {"trips": np.array(4), "x": _floats(3)}),
    ("loop_with_sequence", {"trips": np.array(3), "x": _floats(2)}),
    ("scan_sum", {"initial": _floats(3), "x": _floats(5, 3)}),
    ("scan_axes_and_directions", {"initial": _floats(2), "x": _floats(2, 4), "z": _floats(4, 2)}),
    ("scan_captures", {"w": _floats(4, 3), "x": _floats(5, 3)}),
]


def _model(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(HEADER + text)


@pytest.mark.parametrize(("name", "feeds"), FEEDS, ids=[f"{i}-{name}" for i, (name, _) in enumerate(FEEDS)])
def test_control_flow(name: str, feeds: dict[str, Any]) -> None:
    model = _model(MODELS[name])
    expected = on_onnxruntime(model, feeds)
    for title, outputs in made_by_each(model, feeds):
        for golden, made in zip(expected, outputs, strict=True):
            equal(golden, made, title, rtol=1e-5, atol=1e-6)


def test_a_loop_without_trips_gives_empty_scan_outputs() -> None:
    x = _floats(2, 3)
    for title, (y, ys) in made_by_each(_model(MODELS["loop_for"]), {"trips": np.array(0), "x": x}):
        np.testing.assert_array_equal(y, x, title)
        assert ys.shape[0] == 0 and ys.ndim == 3
