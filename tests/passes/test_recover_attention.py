"""Attention is recovered from every spelling that means it, and from none that means something else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from evaluate import feeds_of, run
from layout_nets import hub_of

from isthmus.hub.canonical import check_canonical
from isthmus.hub.model import ROLE, Hub
from isthmus.passes.cleanup import RemoveDead
from isthmus.passes.edit import attribute
from isthmus.passes.recover.attention import RecoverAttention

pytestmark = pytest.mark.onnxruntime

HEADS = "float[b, 2, n, 4] q, float[b, 2, m, 4] k, float[b, 2, m, 3] v"
KEYS = "kt = Transpose <perm = [0, 1, 3, 2]> (k)"
SCORES = f"{KEYS} s = MatMul (q, kt)"
END = "y = MatMul (w, v)"
NUMBERS = (
    "float third = {0.3}, float four = {4.0}, float half = {0.5}, float zero = {0.0}, float near = {-50.0}, "
    "float far = {-1e9}, float big = {1e9}, float infinite = {-inf}, bool yes = {1}, int64 two_below = {-2}, "
    "int64[1] two = {2}, int64[3] flat = {-1, 6, 4}, int64[4] apart = {-1, 2, 4, 6}, "
    "int64[5] twice = {1, 1, 2, 1, 1}, int64[4] merged = {-1, 4, 7, 6}, float unit = {1.0}, float least = {-3.4e38}, "
    "bool[4, 4] triangle = {1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 1}, int64[2] none = {0, 0}, "
    "int64[2] ends = {3, 3}, int64[2] at = {0, 1}"
)


@dataclass(frozen=True)
class Case:
    """A graph from ``inputs`` to y, and what Attention it is: its attributes, or why it is none."""

    body: str
    inputs: str = HEADS
    output: str = "float[b, 2, n, 3] y"
    attributes: dict[str, Any] = field(default_factory=dict)
    mask: bool = False
    reason: str = ""
    leaves: tuple[str, ...] = ()
    """Operators that must not stay."""
    blind: bool = False
    """Whether the mask hides all keys from the first query."""


MASKED = f"{HEADS}, bool[b, 1, n, m] mask"
ADDED = f"{HEADS}, float[b, 1, n, m] mask"
TRIANGLE = "sizes = Shape (s) ones = Expand (yes, sizes) t = Trilu <upper = 0> (ones)"
PLAIN = {"scale": 1.0}

CASES = {
    "plain": Case(f"{SCORES} w = Softmax (s) {END}", attributes=PLAIN),
    "scaled": Case(f"{SCORES} a = Mul (third, s) w = Softmax (a) {END}", attributes={"scale": 0.3}),
    "divided": Case(f"{SCORES} a = Div (s, four) w = Softmax (a) {END}", attributes={"scale": 0.25}),
    "scaled before": Case(
        f"a = Mul (q, third) {KEYS} c = Mul (kt, four) s = MatMul (a, c) w = Softmax (s) {END}",
        attributes={"scale": 1.2},
    ),
    "the usual scale": Case(f"{SCORES} a = Mul (s, half) w = Softmax (a) {END}"),
    "keys turned behind a reshape": Case(
        f"r = Reshape (k, flat) t = Transpose <perm = [0, 2, 1]> (r) kt = Reshape (t, apart) "
        f"s = MatMul (q, kt) w = Softmax (s) {END}",
        inputs="float[3, 2, 6, 4] q, float[3, 2, 6, 4] k, float[3, 2, 6, 3] v",
        output="float[3, 2, 6, 3] y",
        attributes=PLAIN,
        leaves=("Reshape",),
    ),
    "one head": Case(
        "kt = Transpose <perm = [0, 2, 1]> (k) s = MatMul (q, kt) w = Softmax (s) y = MatMul (w, v)",
        inputs="float[b, n, 4] q, float[b, m, 4] k, float[b, m, 3] v",
        output="float[b, n, 3] y",
        attributes={"scale": 1.0, "q_num_heads": 1, "kv_num_heads": 1},
    ),
    "einsum, keys first": Case(
        'p = Einsum <equation = "aecd,abcd->acbe"> (k, q) w = Softmax <axis = 3> (p) '
        'y = Einsum <equation = "acbe,aecd->abcd"> (w, v)',
        inputs="float[b, n, 2, 4] q, float[b, m, 2, 4] k, float[b, m, 2, 3] v",
        output="float[b, n, 2, 3] y",
        attributes=PLAIN,
    ),
    "shared heads": Case(
        "k1 = Unsqueeze (k, two) k2 = Tile (k1, twice) k3 = Reshape (k2, merged) "
        "v1 = Unsqueeze (v, two) v2 = Tile (v1, twice) v3 = Reshape (v2, merged) "
        "kt = Transpose <perm = [0, 1, 3, 2]> (k3) s = MatMul (q, kt) w = Softmax (s) y = MatMul (w, v3)",
        inputs="float[3, 4, 5, 6] q, float[3, 2, 7, 6] k, float[3, 2, 7, 6] v",
        output="float[3, 4, 5, 6] y",
        attributes=PLAIN,
        leaves=("Tile",),
    ),
    "one head for all": Case(
        f"{SCORES} w = Softmax (s) {END}",
        inputs="float[b, 2, n, 4] q, float[b, 1, m, 4] k, float[b, 1, m, 3] v",
        attributes=PLAIN,
    ),
    "added": Case(
        f"f = Cast <to = 1> (mask) c = Mul (f, far) {SCORES} a = Add (c, s) w = Softmax (a) {END}",
        inputs=MASKED,
        attributes=PLAIN,
        mask=True,
    ),
    "hidden": Case(
        f"{SCORES} a = Where (mask, s, far) w = Softmax (a) {END}",
        inputs=MASKED,
        attributes=PLAIN,
        mask=True,
        blind=True,
    ),
    "hidden otherwise": Case(
        f"seen = Not (mask) {SCORES} a = Where (seen, far, s) w = Softmax (a) {END}",
        inputs=MASKED,
        attributes=PLAIN,
        mask=True,
        blind=True,
    ),
    "lowered": Case(
        f"{SCORES} c = Sub (s, big) a = Where (mask, s, c) w = Softmax (a) {END}",
        inputs=f"{HEADS}, bool[b, 1, 1, m] mask",
        attributes=PLAIN,
        mask=True,
    ),
    "hidden keys of one head": Case(
        "kt = Transpose <perm = [0, 2, 1]> (k) s = MatMul (q, kt) a = Where (mask, s, far) w = Softmax (a) "
        "y = MatMul (w, v)",
        inputs="float[b, n, 4] q, float[b, m, 4] k, float[b, m, 3] v, bool[b, 1, m] mask",
        output="float[b, n, 3] y",
        attributes={"scale": 1.0, "q_num_heads": 1, "kv_num_heads": 1},
        mask=True,
        blind=True,
    ),
    "guarded": Case(
        f"{SCORES} a = Where (mask, s, infinite) w = Softmax (a) no = IsNaN (w) g = Where (no, zero, w) "
        "y = MatMul (g, v)",
        inputs=MASKED,
        attributes=PLAIN,
        mask=True,
        blind=True,
        leaves=("IsNaN",),
    ),
    "a mask as wide as one key": Case(
        f"{SCORES} a = Where (mask, s, far) w = Softmax (a) {END}",
        inputs=f"{HEADS}, bool[b, 1, n, 1] mask",
        attributes=PLAIN,
        mask=True,
        blind=True,
    ),
    "triangle": Case(
        f"{SCORES} {TRIANGLE} a = Where (t, s, infinite) w = Softmax (a) {END}",
        attributes={"scale": 1.0, "is_causal": 1},
        leaves=("Trilu", "MatMul"),
    ),
    "triangle that is added": Case(
        f"{SCORES} sizes = Shape <start = 2> (s) ones = Expand (four, sizes) t = Trilu <upper = 0> (ones) "
        f"no = Equal (t, zero) c = Where (no, infinite, zero) a = Add (s, c) w = Softmax (a) {END}",
        attributes={"scale": 1.0, "is_causal": 1},
        leaves=("Trilu", "MatMul"),
    ),
    "sizes of the scores": Case(
        f"{SCORES} sizes = Shape <start = 2> (s) ones = Expand (yes, sizes) t = Trilu <upper = 0> (ones, two_below) "
        f"no = Not (t) a = Where (no, s, far) w = Softmax (a) {END}",
        attributes=PLAIN,
        mask=True,
        leaves=("MatMul",),
    ),
    "nothing seen is no number": Case(
        f"{SCORES} a = Where (mask, s, infinite) w = Softmax (a) {END}", inputs=MASKED, reason="hide every key"
    ),
    "what is added may be infinite": Case(
        f"{SCORES} a = Add (s, mask) w = Softmax (a) {END}", inputs=ADDED, reason="hide every key"
    ),
    "hidden too little": Case(
        f"{SCORES} a = Where (mask, s, near) w = Softmax (a) {END}", inputs=MASKED, reason="no product"
    ),
    "scaled behind the mask": Case(
        f"{SCORES} a = Where (mask, s, far) c = Mul (a, third) w = Softmax (c) {END}",
        inputs=MASKED,
        reason="no product",
    ),
    "weights are wanted": Case(
        f"{SCORES} w = Softmax (s) {END}",
        output="float[b, 2, n, 3] y, float[b, 2, n, m] w",
        reason="used otherwise",
    ),
    "scores are wanted": Case(
        f"{SCORES} w = Softmax (s) {END}",
        output="float[b, 2, n, 3] y, float[b, 2, n, m] s",
        attributes=PLAIN,
    ),
    "another axis": Case(f"{SCORES} w = Softmax <axis = 2> (s) {END}", reason="does not weigh the last"),
    "negative": Case(f"{SCORES} a = Mul (s, far) w = Softmax (a) {END}", reason="no positive number"),
    "weighs itself": Case(
        f"{SCORES} w = Softmax (s) y = MatMul (w, w)",
        inputs="float[b, 2, 4, 4] q, float[b, 2, 4, 4] k",
        output="float[b, 2, 4, 4] y",
        reason="used otherwise",
    ),
}


def hub_of_case(case: Case) -> Hub:
    text = f'<ir_version: 10, opset_import: ["": 26]> net ({case.inputs}) => ({case.output})'
    return hub_of(f"{text} <{NUMBERS}> {{{case.body}}}")


def after_recovery(case: Case, version: int | None = None) -> tuple[Hub, list[str]]:
    result = RecoverAttention(version).call(hub_of_case(case))
    return RemoveDead()(result.hub).hub, [declined.reason for declined in result.declined]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.reason])
def test_attention(name: str) -> None:
    case = CASES[name]
    hub, _ = after_recovery(case)
    (node,) = [node for node in hub.graph if node.op_type == "Attention"]
    assert {key: attribute(node, key) for key in node.attributes} == pytest.approx(case.attributes, rel=1e-6)
    assert (len(node.inputs) == 4) is case.mask
    assert not {other.op_type for other in hub.graph} & {"Softmax", *case.leaves}
    assert not check_canonical(hub.model)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.reason])
def test_numbers_on_the_runtime(name: str) -> None:
    case = CASES[name]
    hub = hub_of_case(case)
    feeds = feeds_of(hub)
    if case.blind:
        feeds["mask"][:, :, :1] = "otherwise" in name
    golden = run(hub.model, feeds)
    after, _ = after_recovery(case, version=24)
    assert "Attention" in {node.op_type for node in after.graph}
    for ours, theirs in zip(run(after.model, feeds), golden, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.reason])
def test_what_is_no_attention_stays(name: str) -> None:
    hub, reasons = after_recovery(CASES[name])
    assert "Attention" not in {node.op_type for node in hub.graph}
    assert any(CASES[name].reason in reason for reason in reasons), reasons


@pytest.mark.parametrize("role", ["constant", "buffer"])
def test_a_triangle_that_is_a_weight_stays(role: str) -> None:
    """It is part of the state dict; what it says today is enough to know that every query sees a key."""
    body = f"{SCORES} t = Slice (triangle, none, ends, at) a = Where (t, s, infinite) w = Softmax (a) {END}"
    inputs = "float[3, 2, 3, 4] q, float[3, 2, 3, 4] k, float[3, 2, 3, 3] v"
    hub = hub_of_case(Case(body, inputs, "float[3, 2, 3, 3] y"))
    hub.graph.initializers["triangle"].metadata_props[ROLE] = role
    feeds = feeds_of(hub)
    golden = run(hub.model, feeds)
    after = RemoveDead()(RecoverAttention(24).call(hub).hub).hub
    assert ("triangle" in after.graph.initializers) is (role == "buffer")
    (node,) = [node for node in after.graph if node.op_type == "Attention"]
    assert attribute(node, "is_causal", 0) == (role == "constant")
    np.testing.assert_allclose(run(after.model, feeds)[0], golden[0], rtol=1e-5, atol=1e-6)


def test_masks_of_whole_numbers() -> None:
    """As transformers make them: one less the mask, times the least number."""
    body = (
        f"f = Cast <to = 1> (mask) h = Sub (unit, f) c = Mul (h, least) {SCORES} a = Add (s, c) w = Softmax (a) {END}"
    )
    case = Case(body, f"{HEADS}, int64[b, 1, 1, m] mask")
    hub, feeds = hub_of_case(case), feeds_of(hub_of_case(case))
    feeds["mask"] = np.minimum(feeds["mask"], 1)
    feeds["mask"][1] = 0
    golden = run(hub.model, feeds)
    after, _ = after_recovery(case, version=24)
    assert "Attention" in {node.op_type for node in after.graph}
    np.testing.assert_allclose(run(after.model, feeds)[0], golden[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("version", "dtype"), [(22, "float"), (24, "double"), (24, "bfloat16")])
def test_what_the_runtime_has_no_kernel_for_stays(version: int, dtype: str) -> None:
    plain = CASES["plain"]
    case = Case(plain.body, plain.inputs.replace("float", dtype), plain.output.replace("float", dtype))
    hub, reasons = after_recovery(case, version)
    assert "Attention" not in {node.op_type for node in hub.graph}
    assert reasons == ["no kernel takes its type"]
