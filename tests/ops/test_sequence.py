"""Sequences and optionals inside a graph, against ONNX Runtime: known and unknown lengths and positions."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from matrix import equal, made_by_each, on_onnxruntime

from isthmus.errors import Unsupported

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

A, B, C = (np.full((2, n), n, np.float32) for n in (1, 2, 3))
HEAD = '<ir_version: 10, opset_import: ["" : 24]> one '
LISTS = "(float[2,a] a, float[2,b] b, float[2,c] c, int64 p)"


def agrees(body: str, feeds: dict[str, Any]) -> None:
    model = onnx.parser.parse_model(HEAD + body)
    expected = on_onnxruntime(model, feeds)
    for title, outputs in made_by_each(model, feeds):
        for golden, made in zip(expected, outputs, strict=True):
            equal(np.asarray(golden), made, title)


def lists(body: str, position: int, outputs: str = "float[k,m] y") -> None:
    feeds = {"a": A, "b": B, "c": C, "p": np.array(position)}
    names = [name for name in feeds if f"({name}" in body or f", {name}" in body]
    inputs = ", ".join(i.strip() for i in LISTS.strip("()").replace("2,", "2;").split(",") if i.split()[-1] in names)
    agrees(f"({inputs.replace(';', ',')}) => ({outputs}) {{ {body} }}", {n: feeds[n] for n in names})


@pytest.mark.parametrize("position", [0, 2, -1, -3])
def test_at(position: int) -> None:
    lists("s = SequenceConstruct(a, b, c) y = SequenceAt(s, p)", position)


@pytest.mark.parametrize("position", [0, 1, 2, -1, -2])
def test_insert(position: int) -> None:
    lists("s = SequenceConstruct(a, b) t = SequenceInsert(s, c, p) y = ConcatFromSequence<axis=1>(t)", position)


@pytest.mark.parametrize("position", [0, 1, -1])
def test_erase(position: int) -> None:
    lists("s = SequenceConstruct(a, b, c) t = SequenceErase(s, p) y = ConcatFromSequence<axis=-1>(t)", position)


def test_ends() -> None:
    body = (
        "s = SequenceConstruct(a, b) t = SequenceInsert(s, c) u = SequenceErase(t) y = ConcatFromSequence<axis=1>(u)"
    )
    lists(body, 0)


def test_known_positions() -> None:
    body = (
        "e = SequenceEmpty<dtype=1>() s = SequenceInsert(e, a) zero = Constant<value_int=0>() "
        "t = SequenceInsert(s, b, zero) y = SequenceAt(t, zero) n = SequenceLength(t)"
    )
    lists(body, 0, "float[k,m] y, int64 n")


def test_stacked() -> None:
    lists("s = SequenceConstruct(a, a) y = ConcatFromSequence<axis=1, new_axis=1>(s)", 0, "float[k,m,n] y")


X = np.arange(24, dtype=np.float32).reshape(4, 6)


@pytest.mark.parametrize("declared", ["4,6", "n,m"])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_split_each(axis: int, keepdims: int, declared: str) -> None:
    agrees(
        f"(float[{declared}] x, int64 p) => (float y, int64 n) {{ s = SplitToSequence<axis={axis}, "
        f"keepdims={keepdims}>(x) t = SequenceAt(s, p) y = ReduceSum<keepdims=0>(t) n = SequenceLength(s) }}",
        {"x": X, "p": np.array(2)},
    )


@pytest.mark.parametrize("declared", ["4,6", "n,m"])
@pytest.mark.parametrize("split", [np.array(4), np.array([1, 3, 2])])
def test_split_and_join(split: np.ndarray, declared: str) -> None:
    kind = "int64" if split.ndim == 0 else "int64[k]"
    agrees(
        f"(float[{declared}] x, {kind} split, int64 p) => (float[a,b] y, float[c,d] z, int64 n) {{ "
        "s = SplitToSequence<axis=1>(x, split) y = SequenceAt(s, p) z = ConcatFromSequence<axis=1>(s) "
        "n = SequenceLength(s) }",
        {"x": X, "split": split, "p": np.array(-1)},
    )


@pytest.mark.parametrize("position", [0, 1, 3, -1])
def test_lists_of_unknown_length_change(position: int) -> None:
    agrees(
        "(float[n,6] x, int64 p) => (float[a,b] y, float[c,d] z, int64 n) { s = SplitToSequence(x) "
        "e = SequenceErase(s, p) one = Constant<value_ints=[1]>() six = Constant<value_ints=[0]>() "
        "row = Slice(x, six, one) i = SequenceInsert(e, row, p) y = ConcatFromSequence<axis=0>(i) "
        "z = ConcatFromSequence<axis=0>(e) n = SequenceLength(i) }",
        {"x": X, "p": np.array(position)},
    )


def test_stacked_at_run_time() -> None:
    agrees(
        "(float[n,6] x) => (float[a,b] y) { s = SplitToSequence<keepdims=0>(x) "
        "y = ConcatFromSequence<axis=1, new_axis=1>(s) }",
        {"x": X},
    )


@pytest.mark.parametrize("declared", ["4,6", "n,6"])
def test_map(declared: str) -> None:
    body = (
        f"(float[{declared}] x, float[6] w) => (float[a,b] y) {{ s = SplitToSequence(x) "
        "t = SequenceMap<body = each (float[1,6] e, float[6] v) => (float[1,6] o) { o = Mul(e, v) }>(s, w) "
        "y = ConcatFromSequence<axis=0>(t) }"
    )
    w = np.arange(6, dtype=np.float32)
    for title, (y,) in made_by_each(onnx.parser.parse_model(HEAD + body), {"x": X, "w": w}):
        np.testing.assert_array_equal(y, X * w, title)


def test_optional() -> None:
    agrees(
        "(float[n,6] x) => (float[n,6] y, bool h) { o = Optional(x) y = OptionalGetElement(o) "
        "h = OptionalHasElement(o) }",
        {"x": X},
    )


def test_a_position_beyond_the_list_fails_the_run() -> None:
    import tensorflow as tf
    from conformance import run_tensorflow

    body = "(float[2,2] x, int64 p) => (float[a,b] y) { s = SequenceConstruct(x, x) y = SequenceAt(s, p) }"
    with pytest.raises(tf.errors.InvalidArgumentError):
        run_tensorflow(onnx.parser.parse_model(HEAD + body), {"x": B, "p": np.array(2)})


def test_a_known_position_beyond_the_list_is_refused() -> None:
    from conformance import run_tensorflow

    body = (
        "(float[2,2] x) => (float[a,b] y) { p = Constant<value_int=5>() s = SequenceConstruct(x, x) "
        "y = SequenceAt(s, p) }"
    )
    with pytest.raises(Unsupported, match="not within"):
        run_tensorflow(onnx.parser.parse_model(HEAD + body), {"x": B})


ROW = "c2 = Identity(c) zero = Constant<value_ints=[0]>() one = Constant<value_ints=[1]>() u = Unsqueeze(i, zero) "
LOOPS = {
    "append": (
        "(float[n,6] x, int64 m) => (float[a,b] y, int64 k) { t = Constant<value = bool {1}>() "
        "e = SequenceEmpty<dtype=1>() s = Loop<body = each (int64 i, bool c, seq(float[p,q]) acc) => "
        f"(bool c2, seq(float[p,q]) acc2) {{ {ROW} v = Add(u, one) row = Slice(x, u, v) "
        "acc2 = SequenceInsert(acc, row) }>(m, t, e) y = ConcatFromSequence<axis=0>(s) k = SequenceLength(s) }"
    ),
    "erase": (
        "(float[n,6] x, int64 m) => (float[a,b] y) { t = Constant<value = bool {1}>() s = SplitToSequence(x) "
        "r = Loop<body = each (int64 i, bool c, seq(float[p,q]) acc) => (bool c2, seq(float[p,q]) acc2) "
        "{ c2 = Identity(c) acc2 = SequenceErase(acc) }>(m, t, s) y = ConcatFromSequence<axis=0>(r) }"
    ),
    "read-unknown": (
        "(float[n,6] x, int64 m) => (float[6] y) { t = Constant<value = bool {1}>() "
        "s = SplitToSequence<keepdims=0>(x) z = Constant<value_floats=[0.0,0.0,0.0,0.0,0.0,0.0]>() "
        "y = Loop<body = each (int64 i, bool c, float[6] acc) => (bool c2, float[6] acc2) "
        "{ c2 = Identity(c) row = SequenceAt(s, i) acc2 = Add(acc, row) }>(m, t, z) }"
    ),
    "read-known": (
        "(float[n,6] x, int64 m) => (float[a,b] y) { t = Constant<value = bool {1}>() w = Neg(x) "
        "s = SequenceConstruct(x, w, x) "
        "y = Loop<body = each (int64 i, bool c, float[a,b] acc) => (bool c2, float[a,b] acc2) "
        "{ c2 = Identity(c) row = SequenceAt(s, i) acc2 = Add(acc, row) }>(m, t, x) }"
    ),
}


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize("turns", [1, 3])
def test_in_a_loop(name: str, turns: int) -> None:
    agrees(LOOPS[name], {"x": X, "m": np.array(turns)})


@pytest.mark.parametrize("taken", [True, False])
def test_out_of_a_branch(taken: bool) -> None:
    """The branches' sequences differ in length, so the length is known at run time only."""
    agrees(
        "(float[n,6] x, bool p) => (float[a,b] y, int64 k) { s = If<then_branch = a () => (seq(float[p,q]) q) "
        "{ q = SequenceConstruct(x, x) }, else_branch = b () => (seq(float[p,q]) r) { r = SequenceConstruct(x) }>(p) "
        "y = ConcatFromSequence<axis=0>(s) k = SequenceLength(s) }",
        {"x": X, "p": np.array(taken)},
    )
