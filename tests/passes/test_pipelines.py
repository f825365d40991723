"""Whole pipelines: the same numbers, names and provenance; the ledger tells what was done."""

from __future__ import annotations

import numpy as np
import pytest
from evaluate import feeds_of, run
from layout_nets import NETS, Net, hub_of

from isthmus.hub.canonical import check_canonical
from isthmus.hub.schema import op_names
from isthmus.passes.base import run as run_passes
from isthmus.passes.layout.rewrite import transposes
from isthmus.passes.pipelines import for_tensorflow, tensorflow_passes
from isthmus.types import Options

EVERY_OPERATOR = {("", op): None for op in op_names()}


@pytest.mark.onnxruntime
@pytest.mark.parametrize("trainable", [False, True], ids=["inference", "trainable"])
@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_numbers(net: Net, trainable: bool) -> None:
    hub = hub_of(net.text, net.weights)
    feeds = feeds_of(hub, free=4)
    golden = run(hub.model, feeds)
    parameters = set(hub.graph.initializers)
    steps = tensorflow_passes(EVERY_OPERATOR, trainable=trainable, options=Options())
    after = run_passes(hub, steps, check=True)
    for ours, theirs in zip(run(after.model, feeds), golden, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    assert not check_canonical(after.model)
    assert all(node.metadata_props.get("isthmus.module") == "net" for node in after.graph.all_nodes())
    assert [v.name for v in after.graph.outputs] == [s.name for s in after.signature.outputs]
    assert after.ledger and all(change.seconds >= 0 for change in after.ledger)
    assert after.ledger[0].before != {}
    if trainable:
        assert set(net.weights) <= set(after.graph.initializers) & parameters
    else:
        assert len(transposes(after.model)) <= net.turns


def test_what_a_writer_calls() -> None:
    net = NETS[0]
    after = for_tensorflow(
        hub_of(net.text, net.weights), EVERY_OPERATOR, options=Options(input_layouts={"x": "NHWC"})
    )
    assert after.signature.inputs[0].shape == ("n", 8, 8, 3)
    assert transposes(after.model) == []
    assert [change.name for change in after.ledger][-3:] == ["SimplifyMoves", "RemoveNoOps", "RemoveDead"]
