"""The layout pass: the same numbers, as few Transposes as can be, parameters that map back."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import numpy as np
import onnx_ir as ir
import pytest
from evaluate import feeds_of, run
from layout_nets import NETS, Net, hub_of

from isthmus.errors import UsageError
from isthmus.passes.base import run as passes_run
from isthmus.passes.cleanup import RemoveNoOps
from isthmus.passes.edit import PARAMETER, PERM
from isthmus.passes.layout.anchors import RULES as ANCHORS
from isthmus.passes.layout.asked import AskLayouts
from isthmus.passes.layout.layout import AssignLayout
from isthmus.passes.layout.problem import LAST, SOURCE, Problem
from isthmus.passes.layout.rewrite import transposes
from isthmus.passes.layout.solve import solve


@pytest.mark.onnxruntime
@pytest.mark.parametrize("trainable", [False, True], ids=["inference", "trainable"])
@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_numbers_and_transposes(net: Net, trainable: bool) -> None:
    hub = hub_of(net.text, net.weights)
    feeds = feeds_of(hub, free=4)
    golden = run(hub.model, feeds)
    result = AssignLayout(trainable=trainable)(hub)
    for ours, theirs in zip(run(result.hub.model, feeds), golden, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    turns = transposes(result.hub.model)
    if not trainable:
        assert len(turns) == net.turns, turns
    left = [n for n in hub.graph.all_nodes() if n.domain == "" and n.op_type in ANCHORS and n.op_type != "Resize"]
    assert not left


CONV = """net (float[n, 3, 6, 6] x) => (float[n, 3, 6, 6] y) {
    a = Conv <pads = [1, 1, 1, 1]> (x, w)
    y = Add (a, p)
}"""


def test_parameters_map_back() -> None:
    hub = hub_of(CONV, {"w": (3, 3, 3, 3), "p": (1, 3, 6, 6)})
    sources = {name: value.const_value.numpy() for name, value in hub.graph.initializers.items()}
    AssignLayout()(hub)
    assert set(hub.graph.initializers) == set(sources)
    for name, value in hub.graph.initializers.items():
        if PERM not in value.metadata_props:
            assert np.array_equal(value.const_value.numpy(), sources[name])
            continue
        perm = [int(axis) for axis in value.metadata_props[PERM].split(",")]
        assert np.array_equal(value.const_value.numpy(), sources[name].transpose(perm))
        assert tuple(value.shape.numpy()) == value.const_value.numpy().shape
    assert hub.graph.initializers["w"].metadata_props[PERM] == "2,3,1,0"


SHARED = """net (float[n, 4, 6, 6] x) => (float[n, 4, 6, 6] y, float[4, 4, 3, 3] v) {
    y = Conv <pads = [1, 1, 1, 1]> (x, w)
    v = Relu (w)
}"""


def test_a_shared_weight_is_copied_for_inference_and_tied_for_training() -> None:
    hub = AssignLayout()(hub_of(SHARED, {"w": (4, 4, 3, 3)})).hub
    copy = next(v for v in hub.graph.initializers.values() if PARAMETER in v.metadata_props)
    assert copy.metadata_props == {PARAMETER: "w", PERM: "2,3,1,0"}
    assert PERM not in hub.graph.initializers["w"].metadata_props
    tied = AssignLayout(trainable=True)(hub_of(SHARED, {"w": (4, 4, 3, 3)})).hub
    assert list(tied.graph.initializers) == ["w"]
    assert (2, 3, 1, 0) in transposes(tied.model)


def test_weights_are_permuted_lazily() -> None:
    hub = hub_of(CONV, {"w": (3, 3, 3, 3), "p": (1, 3, 6, 6)})
    AssignLayout()(hub)
    assert isinstance(hub.graph.initializers["w"].const_value, ir.LazyTensor)


@pytest.mark.onnxruntime
@pytest.mark.parametrize("ask_input", [False, True])
@pytest.mark.parametrize("ask_output", [False, True])
def test_layouts_that_are_asked_for(ask_input: bool, ask_output: bool) -> None:
    net = next(net for net in NETS if net.name == "residual")
    hub = hub_of(net.text, net.weights)
    feeds = feeds_of(hub, free=5)
    (golden,) = run(hub.model, feeds)
    ask = AskLayouts({"x": "NHWC" if ask_input else "NCHW"}, {"y": "NHWC"} if ask_output else {})
    after = passes_run(hub, (ask, AssignLayout(), RemoveNoOps()))
    assert len(transposes(after.model)) == 2 - ask_input - ask_output
    assert after.signature.inputs[0].shape == (("n", "h", "w", 4) if ask_input else ("n", 4, "h", "w"))
    assert after.signature.outputs[0].layout == ("NHWC" if ask_output else None)
    assert [d if isinstance(d, int) else d.value for d in after.graph.inputs[0].shape] == list(
        after.signature.inputs[0].shape or ()
    )
    given = {"x": feeds["x"].transpose(0, 2, 3, 1) if ask_input else feeds["x"]}
    (ours,) = run(after.model, given)
    np.testing.assert_allclose(ours.transpose(0, 3, 1, 2) if ask_output else ours, golden, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("layouts", "message"),
    [({"z": "NHWC"}, "no input 'z'"), ({"x": "NDHWC"}, "does not fit"), ({"x": "HWCN"}, "does not fit")],
)
def test_layouts_that_cannot_be(layouts: dict[str, str], message: str) -> None:
    net = NETS[0]
    with pytest.raises(UsageError, match=message):
        AskLayouts(layouts)(hub_of(net.text, net.weights))


DECLINED = {
    "reshape": (
        (
            "net (float[n, 4, 6, 6] x) => (float[n, 8, 3, 6] y) <int64[4] s = {-1, 8, 3, 6}> "
            "{ a = Conv (x, w)  b = Reshape (a, s)  y = Relu (b) }"
        ),
        "it mixes channels with other axes",
    ),
    "flatten": (
        "net (float[n, 4, 6, 6] x) => (float[n, 144] y) { a = Conv (x, w)  y = Flatten (a) }",
        "it mixes channels with spatial axes",
    ),
    "axes": (
        "net (float[n, 4, 6, 6] x, int64[1] at) => (float[n, 4, 6, 1] y) { a = Conv (x, w)  y = ReduceSum (a, at) }",
        "its axes are computed at run time",
    ),
    "order": (
        (
            "net (float[n, 4, 6, 6] x) => (float[4, 6, 6] y) <int64[1] at = {0}> "
            "{ a = Conv (x, w)  y = ReduceSum <keepdims = 0> (a, at) }"
        ),
        "the axes that are left would be in an order of their own",
    ),
}


@pytest.mark.parametrize("name", DECLINED)
def test_a_rule_that_does_not_match_says_why(name: str) -> None:
    text, reason = DECLINED[name]
    result = AssignLayout()(hub_of(text, {"w": (4, 4, 1, 1)}))
    assert reason in [d.reason for d in result.declined]
    assert result.declined[0].where.op


def test_what_has_no_rank_has_no_layout() -> None:
    hub = hub_of(CONV, {"w": (3, 3, 3, 3), "p": (1, 3, 6, 6)})
    hub.graph.outputs[0].shape = None
    result = AssignLayout()(hub)
    assert "the rank of its operand or result is not known" in [d.reason for d in result.declined]
    assert result.hub.graph.outputs[0].producer().domain == ""


def test_the_solver_takes_the_cheapest_cut() -> None:
    problem = Problem()
    a, b, c = problem.choice(), problem.choice(), problem.choice()
    problem.link(LAST, (a,), 10)
    problem.link(a, (b, c), 3)
    problem.link(b, (SOURCE,), 5)
    problem.link(c, (SOURCE,), 5)
    assert solve(problem) == [False, True, True, False, False]


def test_the_solver_counts_a_value_once_for_all_its_users() -> None:
    problem = Problem()
    users = [problem.choice() for _ in range(4)]
    problem.link(SOURCE, tuple(users), 10)
    for user in users:
        problem.link(user, (LAST,), 3)
    assert solve(problem)[2:] == [True] * 4


# ---- random chains ----------------------------------------------------------------------------------
STEPS = {
    "relu": "Relu ({0})",
    "conv": "Conv <pads = [1, 1, 1, 1]> ({0}, w)",
    "depthwise": "Conv <group = 4> ({0}, k)",
    "pool": "AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> ({0})",
    "norm": "BatchNormalization ({0}, scale, scale, scale, var)",
    "add": "Add ({0}, {1})",
    "gain": "Mul ({0}, g)",
    "row": "Add (r, {0})",
    "softmax": "Softmax <axis = 1> ({0})",
    "swap": "Transpose <perm = [0, 1, 3, 2]> ({0})",
    "last": "Transpose <perm = [0, 2, 3, 1]> ({0})",
    "first": "Transpose <perm = [0, 3, 1, 2]> ({0})",
    "mean": "ReduceMean ({0}, axes)",
    "halves": "Concat <axis = 1> ({0}, {1})",
    "front": "Slice ({0}, zero, four, one)",
    "pad": 'Pad <mode = "edge"> ({0}, pads)',
}


@pytest.mark.onnxruntime
@hypothesis.settings(max_examples=60, derandomize=True)
@hypothesis.given(
    st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 3)), min_size=1, max_size=9), st.booleans()
)
def test_random_chains(steps: list[tuple[str, int]], trainable: bool) -> None:
    """Spatial sizes equal the channels, so that every step fits nearly every value; what does not is skipped."""
    shapes, lines = {"x": (2, 4, 4, 4)}, []
    for count, (kind, back) in enumerate(steps):
        names = list(shapes)
        first, other = names[-1], names[-1 - back % len(names)]
        shape = _shape_after(kind, shapes[first], shapes[other])
        if shape is None:
            continue
        shapes[f"v{count}"] = shape
        lines.append(f"v{count} = {STEPS[kind].format(first, other)}")
    last, (n, *rest) = list(shapes.items())[-1]
    hypothesis.assume(lines)
    body = "\n".join([*lines, f"y = Neg ({last})"])
    text = f"""net (float[n, 4, 4, 4] x) => (float[n, {rest[0]}, {rest[1]}, {rest[2]}] y)
        <int64[1] axes = {{1}}, int64[1] zero = {{0}}, int64[1] four = {{4}}, int64[1] one = {{1}},
         int64[8] pads = {{0, 0, 0, 0, 0, 0, 0, 0}}> {{ {body} }}"""
    weights = {"w": (4, 4, 3, 3), "k": (4, 1, 1, 1), "scale": (4,), "var": (4,), "g": (4, 1, 1), "r": (4,)}
    hub = hub_of(text, weights)
    feeds = feeds_of(hub, free=n)
    golden = run(hub.model, feeds)
    after = AssignLayout(trainable=trainable)(hub).hub
    np.testing.assert_allclose(run(after.model, feeds)[0], golden[0], rtol=1e-3, atol=1e-3)


def _shape_after(kind: str, shape: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...] | None:
    n, c, h, w = shape
    if kind in ("conv", "depthwise", "norm", "gain") and c != 4:
        return None
    if kind == "row" and w != 4:
        return None
    if kind == "add" and shape != other:
        return None
    if kind == "halves":
        return (n, c + other[1], h, w) if (n, h, w) == (other[0], *other[2:]) and c + other[1] <= 16 else None
    if kind == "front":
        return (n, min(c, 4), h, w)
    if kind == "mean":
        return (n, 1, h, w)
    moved = {"swap": (n, c, w, h), "last": (n, h, w, c), "first": (n, w, c, h)}
    return moved.get(kind, shape)
