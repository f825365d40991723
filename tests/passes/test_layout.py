"""The layout pass: the same numbers, as few Transposes as can be, parameters that map back."""

from __future__ import annotations

import numpy as np
import pytest
from evaluate import feeds_of, run
from nets import NETS, Net, hub_of

from isthmus.passes.layout.anchors import RULES as ANCHORS
from isthmus.passes.layout.layout import AssignLayout
from isthmus.passes.layout.rewrite import transposes


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
