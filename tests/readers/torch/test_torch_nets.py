"""Small nets, at the sizes of the example and at two others of every free axis, against torch in eager mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import torch
from nets import NetCase, all_nets
from torch.utils import _pytree as pytree

from isthmus.readers.torch import read_torch

pytestmark = pytest.mark.torch

NETS = {case.name: case for case in all_nets()}
QUICK = (
    "activations",
    "lstm",
    "lstm_projected",
    "gru",
    "rnn_relu",
    "transformer_encoder",
    "bert",
    "resnet_basic",
    "swin",
)


def check(case: NetCase, run: Callable[..., Any]) -> None:
    """Read the net, keep every axis free and every weight's name, and compare."""
    module = case.module()
    hub = read_torch(module, inputs=case.inputs(), dynamic_shapes=case.shapes)
    asked = {name for axes in case.shapes if axes for name in axes.values()}
    assert asked <= set(hub.signature.free_dims), [note.text for note in hub.notes]
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        for sizes in (case.sizes, *case.others):
            inputs = case.inputs(sizes)
            with torch.no_grad():
                wanted = [leaf.numpy() for leaf in pytree.tree_leaves(module(*inputs))]
            got = run(hub, *inputs)
            assert [g.shape for g in got] == [w.shape for w in wanted]
            for g, w in zip(got, wanted, strict=True):
                np.testing.assert_allclose(g, w, rtol=case.tolerance, atol=case.tolerance, err_msg=str(sizes))
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


@pytest.mark.parametrize("name", QUICK)
def test_net_is_right(name: str, run: Callable[..., Any]) -> None:
    check(NETS[name], run)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NETS if name not in QUICK])
def test_every_net_is_right(name: str, run: Callable[..., Any]) -> None:
    check(NETS[name], run)


def test_there_are_enough() -> None:
    assert len(NETS) >= 60
