"""Each layout rule by itself: a convolution, the operator, and the numbers before and after."""

from __future__ import annotations

import re

import numpy as np
import pytest
from evaluate import feeds_of, run
from layout_nets import hub_of

from isthmus.hub.model import Hub
from isthmus.passes.base import Reasons
from isthmus.passes.base import run as run_passes
from isthmus.passes.layout.assign import pose
from isthmus.passes.layout.layout import RULES
from isthmus.passes.layout.perms import TO_FIRST
from isthmus.passes.layout.rewrite import rewrite, transposes
from isthmus.passes.pipelines import tensorflow_passes
from isthmus.types import Options

INTS = """int64 i0 = {0}, int64 i1 = {1}, int64[1] l1 = {1}, int64[1] lm1 = {-1}, int64[2] l23 = {2, 3},
    int64[2] l12 = {1, 2}, int64[2] pick = {2, 0}, int64[1] k2 = {2}, int64[4] reps = {1, 2, 1, 1},
    int64[2] split = {1, 3}, int64[2] big = {9, 5}, int64[2] zeros = {0, 1}, int64[2] l03 = {0, 3},
    int64[4] wide = {2, 4, 5, 6}, int64[8] pads = {0, 1, 0, 2, 0, 0, 1, 0}, int64[2] two_pads = {1, 2},
    int64[5] five = {2, 4, 5, 2, 3}, int64[3] nc_hw = {0, 4, -1}, float half = {0.5}, uint8 zp = {3},
    float tenth = {0.1}, float[4] scales = {0.1, 0.2, 0.3, 0.4}, uint8[4] zps = {1, 2, 3, 4},
    float[4] up = {1, 1, 2, 1.5}, int64[2] sizes = {7, 8}"""

# name: (lines from a (2, 4, 5, 6) to y, type and rank of y, whether the rule is meant to take part)
CASES: dict[str, tuple[str, str, bool]] = {
    "add_vector": ("y = Add (a, w6)", "float[n, c, h, w]", True),
    "add_rows": ("y = Sub (r, a)", "float[n, c, h, w]", True),
    "add_image": ("y = Mul (a, chw_in)", "float[n, c, h, w]", True),
    "add_full": ("y = Div (a, f)", "float[n, c, h, w]", True),
    "add_computed_channels": ("e = Exp (c11) y = Add (a, e)", "float[n, c, h, w]", True),
    "add_computed_rows": ("e = Exp (r) y = Add (a, e)", "float[n, c, h, w]", True),
    "add_scalar": ("y = Mul (a, half)", "float[n, c, h, w]", True),
    "where": ("m = Greater (a, half) y = Where (m, a, r)", "float[n, c, h, w]", True),
    "prelu": ("y = PRelu (a, c11)", "float[n, c, h, w]", True),
    "clip": ("y = Clip (a, half)", "float[n, c, h, w]", True),
    "sum_many": ("y = Sum (a, r, c11, f)", "float[n, c, h, w]", True),
    "cast": ("y = Cast <to = 7> (a)", "int64[n, c, h, w]", True),
    "isnan": ("y = IsNaN (a)", "bool[n, c, h, w]", True),
    "softmax": ("y = Softmax <axis = -2> (a)", "float[n, c, h, w]", True),
    "argmax": ("y = ArgMax <axis = 1, keepdims = 0> (a)", "int64[n, h, w]", True),
    "argmin_h": ("y = ArgMin <axis = 2, keepdims = 0> (a)", "int64[n, c, w]", True),
    "topk": ("y, z = TopK <axis = 1> (a, k2)", "float[n, c, h, w]", True),
    "cumsum": ("y = CumSum (a, i1)", "float[n, c, h, w]", True),
    "concat": ("y = Concat <axis = -1> (a, f)", "float[n, c, h, w]", True),
    "split": ("u, y = Split <axis = 1> (a, split)", "float[n, c, h, w]", True),
    "gather": ("y = Gather <axis = 1> (a, pick)", "float[n, c, h, w]", True),
    "gather_scalar": ("y = Gather <axis = 1> (a, i1)", "float[n, h, w]", True),
    "gather_row": ("y = Gather <axis = 2> (a, i0)", "float[n, c, w]", True),
    "gather_sample": ("y = Gather <axis = 0> (a, i0)", "float[c, h, w]", False),
    "gather_elements": ("y = GatherElements <axis = 1> (a, full_index)", "float[n, c, h, w]", True),
    "mean_hw": ("y = ReduceMean <keepdims = 0> (a, l23)", "float[n, c]", True),
    "mean_keep": ("y = ReduceMean (a, l23)", "float[n, c, h, w]", True),
    "max_c": ("y = ReduceMax <keepdims = 0> (a, l1)", "float[n, h, w]", True),
    "sum_w": ("y = ReduceSum <keepdims = 0> (a, lm1)", "float[n, c, h]", True),
    "sum_all": ("y = ReduceSum <keepdims = 0> (a)", "float", True),
    "l2_n_w": ("y = ReduceL2 <keepdims = 0> (a, l03)", "float[c, h]", False),
    "squeeze": ("m = ReduceMax (a, l1) y = Squeeze (m, l1)", "float[n, h, w]", True),
    "unsqueeze": ("y = Unsqueeze (a, k2)", "float[n, c, d, h, w]", True),
    "unsqueeze_far": ("y = Unsqueeze (a, l1)", "float[n, d, c, h, w]", True),
    "slice": ("y = Slice (a, zeros, big, l12)", "float[n, c, h, w]", True),
    "slice_plain": ("y = Slice (a, zeros, big)", "float[n, c, h, w]", True),
    "pad": ("y = Pad (a, pads)", "float[n, c, h, w]", True),
    "pad_axes": ("y = Pad (a, two_pads, , l1)", "float[n, c, h, w]", True),
    "tile": ("y = Tile (a, reps)", "float[n, c, h, w]", True),
    "expand": ("y = Expand (a, wide)", "float[n, c, h, w]", True),
    "expand_small": ("e = Exp (c11) b = Expand (e, wide) y = Add (a, b)", "float[n, c, h, w]", True),
    "shape": ("y = Shape <start = 1, end = 3> (a)", "int64[d]", True),
    "size": ("y = Size (a)", "int64", True),
    "reshape_in": ("y = Reshape (a, nc_hw)", "float[2, 4, 30]", True),
    "reshape_out": ("y = Reshape (a, five)", "float[2, 4, 5, 2, 3]", True),
    "quantize": ("q = QuantizeLinear (a, tenth, zp) y = DequantizeLinear (q, tenth, zp)", "float[n, c, h, w]", True),
    "quantize_axis": (
        "q = QuantizeLinear <axis = 1> (a, scales, zps) y = DequantizeLinear <axis = 1> (q, scales, zps)",
        "float[n, c, h, w]",
        True,
    ),
    "transpose_hw": ("y = Transpose <perm = [0, 1, 3, 2]> (a)", "float[n, c, w, h]", True),
    "transpose_cn": ("y = Transpose <perm = [1, 0, 3, 2]> (a)", "float[c, n, w, h]", True),
    "flatten": ("g = GlobalMaxPool (a) y = Flatten (g)", "float[n, c]", True),
    "dropout": ("y = Dropout (a)", "float[n, c, h, w]", True),
    "resize_scales": ('y = Resize <mode = "linear"> (a, , up)', "float[n, c, h, w]", True),
    "resize_sizes": ("y = Resize <axes = [3, 2]> (a, , , sizes)", "float[n, c, h, w]", True),
    "depth": ("y = DepthToSpace <blocksize = 2> (a)", "float[n, c, h, w]", True),
    "lrn": ("y = LRN <size = 3> (a)", "float[n, c, h, w]", True),
    "group_norm": ("y = GroupNormalization <num_groups = 2> (a, gain, gain)", "float[n, c, h, w]", True),
    "max_pool_indices": ("u, y = MaxPool <kernel_shape = [2, 2]> (a)", "int64[n, c, h, w]", True),
}
KERNEL = (4, 3, 1, 1)
WEIGHTS = {"w6": (6,), "r": (5, 6), "f": (2, 4, 5, 6), "c11": (4, 1, 1), "chw_in": (4, 5, 6), "gain": (4,)}


def hub_with(name: str, *, computed: bool = False) -> Hub:
    """A convolution and the case behind it. ``computed``: its float operands are graph inputs."""
    lines, result, _ = CASES[name]
    used = {key: shape for key, shape in WEIGHTS.items() if re.search(rf"\b{key}\b", lines)}
    inputs = [f"float[{', '.join(map(str, shape))}] {key}" for key, shape in used.items() if computed]
    inputs += ["int64[2, 1, 5, 6] full_index"] if "full_index" in lines else []
    text = f"""net ({", ".join(["float[2, 3, 5, 6] x", *inputs])}) => ({result} y)
        <{INTS}> {{ a0 = Conv (x, kernel) a = Relu (a0) {lines} }}"""
    return hub_of(text, {"kernel": KERNEL, **({} if computed else used)})


@pytest.mark.onnxruntime
@pytest.mark.parametrize("computed", [False, True], ids=["constant", "computed"])
@pytest.mark.parametrize("name", CASES)
def test_rule(name: str, computed: bool) -> None:
    """Everything that can be channels last is made so, whatever it costs: each rule has to prove itself."""
    hub = hub_with(name, computed=computed)
    feeds = feeds_of(hub)
    golden = run(hub.model, feeds)
    layouts = pose(hub.model, RULES, Reasons())
    nodes = [node for node in hub.graph if node.op_type in CASES[name][0] and node.op_type != "Transpose"]
    if CASES[name][2]:
        assert all(node in layouts.plans for node in nodes if node.op_type != "Exp")
    else:
        assert nodes[-1] not in layouts.plans
    assert rewrite(hub.model, layouts, [False] + [True] * (layouts.problem.choices - 1), trainable=computed)
    for ours, theirs in zip(run(hub.model, feeds), golden, strict=True):
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.onnxruntime
@pytest.mark.parametrize("computed", [False, True], ids=["constant", "computed"])
@pytest.mark.parametrize("name", CASES)
def test_rule_the_other_way(name: str, computed: bool) -> None:
    """As if the source had its channels last: everything but image operators is moved, whatever it costs."""
    hub = hub_with(name, computed=computed)
    feeds = feeds_of(hub)
    golden = run(hub.model, feeds)
    layouts = pose(hub.model, RULES, Reasons(), move=TO_FIRST)
    moved = [choice not in (0, layouts.pinned) for choice in range(layouts.problem.choices)]
    assert rewrite(hub.model, layouts, moved, trainable=computed)
    assert not any(node.domain for node in hub.graph)
    for ours, theirs in zip(run(hub.model, feeds), golden, strict=True):
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.onnxruntime
@pytest.mark.parametrize("name", CASES)
def test_rule_in_the_whole_pipeline(name: str) -> None:
    hub = hub_with(name)
    feeds = feeds_of(hub)
    golden = run(hub.model, feeds)
    every = {("", node.op_type): None for node in hub.graph}
    after = run_passes(hub, tensorflow_passes(every, trainable=False, options=Options()), check=True)
    np.testing.assert_allclose(run(after.model, feeds)[0], golden[0], rtol=1e-4, atol=1e-5)
    assert len(transposes(after.model)) <= 3


def test_every_rule_is_here_or_plain() -> None:
    """Operators of one operand and no attribute that matters share one rule, as do those of two."""
    text = " ".join(lines for lines, _, _ in CASES.values())
    own = {
        op for op, rule in RULES.items() if rule.__name__ not in ("_unary", "_nary", "_reduce", "_axis", "_anchor")
    }
    missing = {op for op in own if f"{op} " not in text}
    assert missing == {"ScatterElements", "CumProd"}
