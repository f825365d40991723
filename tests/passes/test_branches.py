"""Conditionals whose branches differ in rank: decided where one alone is possible, and left where both are."""

from __future__ import annotations

import numpy as np
import pytest
from evaluate import run
from layout_nets import hub_of

from isthmus.hub.model import op_counts
from isthmus.passes.branches import DecideBranches
from isthmus.passes.pipelines import simplify

SQUEEZED = """
s = Shape <start = 2> (x)  c = Equal (s, one)
z = If (c) <
    then_branch = dropped () => (float[n, 3] d) { d = Squeeze (x, last) },
    else_branch = kept () => (float[n, 3, t] k) { k = Identity (x) }
>
"""
"""What PyTorch's older exporter makes of ``x.squeeze(2)``."""

HEAD = """<ir_version: 10, opset_import: ["" : 26]>
net (float[n, 3, t] x, float[3, 4] w, bool b) => (float y)
<int64[1] last = {2}, int64[1] one = {1}, int64[1] first = {0}, int64 two = {2}>
"""

CELL = """
r = Shape (z)  n0 = Size (r)  flat = Equal (n0, two)  deep = Not (flat)
cell = If (deep) <
    then_branch = lone () => (float[p, q, u] a) { a = Unsqueeze (z, first) },
    else_branch = many () => (float[p, q] e) { e = Identity (z) }
>
sequence = Unsqueeze (cell, first)
hidden, state, memory = LSTM <hidden_size = 2> (sequence, kernel, recurrent)
y = ReduceSum <keepdims = 0> (state)
"""
"""How an LSTMCell asks whether it has a batch: what it may be follows from the LSTM behind both conditionals."""


def test_a_cell_behind_a_squeeze() -> None:
    weights = {"kernel": (1, 8, 3), "recurrent": (1, 8, 2)}
    hub = hub_of(f"{HEAD}{{ {SQUEEZED} {CELL} }}", weights)
    x = np.random.default_rng(0).normal(size=(5, 3, 1)).astype(np.float32)
    feeds = {"x": x, "w": np.ones((3, 4), np.float32), "b": np.array(True)}
    before = run(hub.model, feeds)
    after = simplify(trainable=True)(hub).hub
    assert not {"If", "Loop"} & op_counts(after.model).keys()
    assert np.allclose(run(after.model, feeds)[0], before[0], atol=1e-6)


INNER = """
g = If (b) <
    then_branch = one_way () => (float m) { f = Gemm (z, w)  m = ReduceSum <keepdims = 0> (f) },
    else_branch = other_way () => (float o) { o = ReduceSum <keepdims = 0> (z) }
>
y = Identity (g)
"""
LOOPED = """
y = Loop (n0, , zero_f) <body = step (int64 i, bool going, float had) => (bool on, float sum) {
    on = Identity (going)  f = Gemm (z, w)  m = ReduceSum <keepdims = 0> (f)  sum = Add (had, m)
}>
"""

OPEN = {
    "anything goes": "f = MatMul (z, w)  y = ReduceSum <keepdims = 0> (f)",
    "asked in one branch only": INNER,
    "asked in a loop that may not run": f"n0 = Size (x)  zero_f = Constant <value_float = 0.0> ()  {LOOPED}",
    "neither will do": "t = Transpose <perm = [3, 2, 1, 0]> (z)  y = ReduceSum <keepdims = 0> (t)",
}


@pytest.mark.parametrize("rest", OPEN.values(), ids=OPEN)
def test_what_may_go_either_way_stays_open(rest: str) -> None:
    hub = hub_of(f"{HEAD}{{ {SQUEEZED} {rest} }}")
    result = DecideBranches()(hub)
    assert not result.modified
    assert "If" in op_counts(result.hub.model)


def test_both_ways_of_a_later_choice_ask_the_same() -> None:
    both = INNER.replace("o = ReduceSum <keepdims = 0> (z)", "h = Gemm (z, w)  o = ReduceSum <keepdims = 0> (h)")
    hub = hub_of(f"{HEAD}{{ {SQUEEZED} {both} }}")
    assert DecideBranches()(hub).modified


def test_many_in_a_row_take_no_longer_than_one_after_the_other() -> None:
    rows, last = [], "x"
    for at in range(60):
        then = f"then_branch = t{at} () => (float[n, 3, t] d{at}) {{ d{at} = Relu ({last}) }}"
        other = f"else_branch = e{at} () => (float[n, 3, t] k{at}) {{ k{at} = Identity ({last}) }}"
        rows.append(f"z{at} = If (b) < {then}, {other} >")
        last = f"z{at}"
    squeezed = SQUEEZED.replace("(x", f"({last}")
    hub = hub_of(f"{HEAD}{{ {' '.join(rows)} {squeezed} f = Gemm (z, w)  y = ReduceSum <keepdims = 0> (f) }}")
    result = DecideBranches()(hub)
    assert result.modified
    assert sum(node.op_type == "If" and node.inputs[0].name != "b" for node in result.hub.graph) == 1
