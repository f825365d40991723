"""Small nets, at the sizes of the example and at two others of every free axis, against torch in eager mode."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import onnx_ir as ir
import torch
from nets import NetCase, all_nets
from torch import nn
from torch.nn.utils import rnn
from torch.utils import _pytree as pytree

from isthmus.errors import Unsupported
from isthmus.readers.torch import read_torch
from isthmus.types import Options
from isthmus.writers.onnx import write_onnx

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


class Unpacked(nn.Module):
    """Padded sequences through an LSTM and back, ``total`` steps long."""

    def __init__(self, batch_first: bool, total: int | None) -> None:
        super().__init__()
        self.body = nn.LSTM(3, 4, batch_first=batch_first)
        self.batch_first, self.total = batch_first, total

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed = rnn.pack_padded_sequence(x, lengths, self.batch_first, enforce_sorted=False)
        return rnn.pad_packed_sequence(self.body(packed)[0], self.batch_first, total_length=self.total)[0]


@pytest.mark.onnxruntime
@pytest.mark.parametrize("total", [None, 8])
@pytest.mark.parametrize("batch_first", [False, True])
def test_unpacked_sequences_are_as_long_as_in_pytorch(total: int | None, batch_first: bool) -> None:
    import onnxruntime

    net = Unpacked(batch_first, total).eval()
    x = torch.randn(3, 5, 3) if batch_first else torch.randn(5, 3, 3)
    axes = ({0: "n", 1: "t"} if batch_first else {0: "t", 1: "n"}, {0: "n"})
    hub = read_torch(net, inputs=(x, torch.tensor([5, 3, 2])), dynamic_shapes=axes, options=Options(verify=False))
    model = write_onnx(hub, None).model
    session = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString())
    for lengths in ([5, 3, 2], [2, 4, 1], [1, 1, 1]):
        given = torch.tensor(lengths)
        expected = net(x, given).detach().numpy()
        (got,) = session.run(None, {"x": x.numpy(), "lengths": given.numpy()})
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_torchscript_that_unpacks_sequences_is_refused_by_name() -> None:
    inputs = (torch.randn(3, 5, 3), torch.tensor([4, 3, 2]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(Unpacked(True, None).eval(), inputs)
    with pytest.raises(Unsupported, match="_pad_packed_sequence"):
        read_torch(traced, inputs=inputs, options=Options(verify=False))
