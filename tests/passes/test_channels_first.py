"""Sources with their channels last: how many Transposes are left, and the numbers before and after."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from evaluate import feeds_of, run
from layout_nets import hub_of

from isthmus.hub.model import Hub
from isthmus.passes.edit import PERM, SHAPE
from isthmus.passes.layout.first import ChannelsFirst
from isthmus.passes.layout.rewrite import transposes

TO_FIRST, TO_LAST, FILTER = "<perm = [0, 3, 1, 2]>", "<perm = [0, 2, 3, 1]>", "<perm = [3, 2, 0, 1]>"
INTS = """int64[2] hw = {1, 2}, int64[2] flat = {-1, 320}, int64[8] pads = {0, 1, 1, 0, 0, 0, 1, 0}, float two = {2},
    int64[2] rows = {-1, 4}, int64[3] tokens = {0, -1, 4}, int64[1] three = {3}, int64[4] target = {6, 1, 3, 3}"""
WEIGHTS = {
    "w": (3, 3, 3, 4),
    "v": (1, 1, 4, 4),
    "d": (3, 3, 3, 2),
    "b": (4,),
    "e": (1, 1, 1, 4),
    "m": (4, 4),
    "s": (4,),
    "row": (10, 4),
}


def conv(image: str, weight: str, made: str, pads: str = "[1, 1, 1, 1]") -> str:
    """A convolution as a channels-last source has it."""
    return f"""{made}_i = Transpose {TO_FIRST} ({image}) {made}_w = Transpose {FILTER} ({weight})
        {made}_c = Conv <pads = {pads}> ({made}_i, {made}_w) {made} = Transpose {TO_LAST} ({made}_c)"""


POINT = "[0, 0, 0, 0]"
# name: (lines from x (n, 8, 10, 3) to y, its type, Transposes that must stay)
NETS: dict[str, tuple[str, str, int]] = {
    "residual": (
        f"""{conv("x", "w", "a")} c = Add (a, b) f = Relu (c) {conv("f", "v", "g", POINT)} h = Add (g, f)
        k = Mul (h, s) {conv("k", "v", "y", POINT)}""",
        "float[n, 8, 10, 4]",
        2,
    ),
    "pooled": (
        f"{conv('x', 'w', 'a')} c = Relu (a) p = ReduceMean <keepdims = 0> (c, hw) y = MatMul (p, m)",
        "float[n, 4]",
        1,
    ),
    "padded": (
        f"""q = Pad (x, pads) {conv("q", "w", "a", POINT)} c = Add (a, e) r = Clip (c, , two)
        {conv("r", "v", "y", POINT)}""",
        "float[n, 7, 9, 4]",
        2,
    ),
    "flattened": (f"{conv('x', 'w', 'a')} c = Relu (a) y = Reshape (c, flat)", "float[n, 320]", 2),
    "excited": (
        f"""{conv("x", "w", "a")} p = ReduceMean (a, hw) {conv("p", "v", "g", POINT)} q = Sigmoid (g)
        h = Mul (a, q) {conv("h", "v", "y", POINT)}""",
        "float[n, 8, 10, 4]",
        2,
    ),
    "joined": (
        f"""{conv("x", "w", "a")} c = Relu (a) t = Tanh (a) z = Concat <axis = 3> (c, t)
        u, k = Split <axis = -1, num_outputs = 2> (z)
        {conv("k", "v", "y", POINT)}""",
        "float[n, 8, 10, 4]",
        2,
    ),
    "rows": (f"{conv('x', 'w', 'a')} c = Add (a, row) {conv('c', 'v', 'y', POINT)}", "float[n, 8, 10, 4]", 2),
    "tokens": (f"{conv('x', 'w', 'a')} t = Reshape (a, tokens) y = MatMul (t, m)", "float[n, 80, 4]", 2),
    "depthwise": (
        f"""i = Transpose {TO_FIRST} (x) k0 = Transpose <perm = [2, 3, 0, 1]> (d) k = Reshape (k0, target)
        a0 = Conv <group = 3> (i, k) a = Transpose {TO_LAST} (a0) y = Relu (a)""",
        "float[n, 6, 8, 6]",
        2,
    ),
}


def net(name: str) -> Hub:
    lines, result, _ = NETS[name]
    used = {key: shape for key, shape in WEIGHTS.items() if f" {key})" in lines or f"({key})" in lines}
    return hub_of(f"net (float[n, 8, 10, 3] x) => ({result} y) <{INTS}> {{ {lines} }}", used)


@pytest.mark.onnxruntime
@pytest.mark.parametrize("trainable", [False, True], ids=["inference", "trainable"])
@pytest.mark.parametrize("name", NETS)
def test_net(name: str, trainable: bool) -> None:
    hub = net(name)
    feeds = feeds_of(hub)
    golden = run(hub.model, feeds)
    after = ChannelsFirst(trainable=trainable)(hub).hub
    for ours, theirs in zip(run(after.model, feeds), golden, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    images = [perm for perm in transposes(after.model) if perm != (3, 2, 0, 1)]
    assert len(images) == NETS[name][2]


@pytest.mark.onnxruntime
def test_a_bias_is_the_convolutions_and_keeps_its_name() -> None:
    after = ChannelsFirst(trainable=True)(net("padded")).hub
    first = next(node for node in after.graph if node.op_type == "Conv")
    assert first.inputs[2] is not None and first.inputs[2].name == "e"
    assert list(first.inputs[2].shape) == [4]
    assert first.inputs[2].metadata_props[SHAPE] == "1,1,1,4"


@pytest.mark.onnxruntime
def test_a_bias_that_is_added_to_channels_last_results_is_the_convolutions() -> None:
    lines = f"{conv('x', 'w', 'a')} c = Add (b, a) y = Reshape (c, flat)"
    hub = hub_of(
        f"net (float[n, 8, 10, 3] x) => (float[n, 320] y) <{INTS}> {{ {lines} }}", {"w": (3, 3, 3, 4), "b": (4,)}
    )
    feeds = feeds_of(hub)
    golden = run(hub.model, feeds)
    after = ChannelsFirst()(hub).hub
    assert [node.op_type for node in after.graph] == ["Transpose", "Conv", "Transpose", "Reshape"]
    np.testing.assert_allclose(run(after.model, feeds)[0], golden[0], rtol=1e-5, atol=1e-5)


def test_a_filter_keeps_its_name_and_is_read_when_it_is_written() -> None:
    hub = net("pooled")
    before = hub.graph.initializers["w"].const_value.numpy()
    weight = ChannelsFirst(trainable=True)(hub).hub.graph.initializers["w"]
    assert isinstance(weight.const_value, ir.LazyTensor)
    assert weight.metadata_props[PERM] == "3,2,0,1"
    np.testing.assert_array_equal(weight.const_value.numpy(), before.transpose(3, 2, 0, 1))


@pytest.mark.onnxruntime
def test_filters_of_channels_first_images_are_stored_as_they_are_used() -> None:
    lines = f"k = Transpose {FILTER} (w) a = Conv (x, k) c = Reshape (b, target) y = Add (a, c)"
    text = f"net (float[n, 3, 8, 10] x) => (float[n, 4, 6, 8] y) <int64[4] target = {{1, 4, 1, 1}}> {{ {lines} }}"
    hub = hub_of(text, {"w": (3, 3, 3, 4), "b": (4,)})
    feeds = feeds_of(hub)
    golden = run(hub.model, feeds)
    after = ChannelsFirst()(hub).hub
    assert [node.op_type for node in after.graph] == ["Conv"]
    np.testing.assert_allclose(run(after.model, feeds)[0], golden[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "lines",
    [
        "a = Conv <pads = [1, 1, 1, 1]> (x, k) y = Relu (a)",
        "t = Transpose <perm = [0, 2, 3, 1]> (x) r = Softmax (t) y = Transpose <perm = [0, 3, 1, 2]> (r)",
    ],
    ids=["no Transpose", "no image"],
)
def test_other_models_are_left_as_they_are(lines: str) -> None:
    hub = hub_of(f"net (float[n, 3, 8, 10] x) => (float[n, c, 8, 10] y) {{ {lines} }}", {"k": (3, 3, 3, 3)})
    before = str(hub.model)
    assert not ChannelsFirst()(hub).modified
    assert str(hub.model) == before
