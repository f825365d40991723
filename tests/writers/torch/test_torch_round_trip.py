"""PyTorch → ONNX → PyTorch: the same keys, the same bits, the same tree, the same numbers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

sys.path.insert(0, str(Path(__file__).parents[2] / "readers" / "torch"))

import nets  # noqa: E402

from isthmus.readers.onnx import read_onnx  # noqa: E402
from isthmus.readers.torch import read_torch  # noqa: E402
from isthmus.types import Options  # noqa: E402
from isthmus.writers.onnx import write_onnx  # noqa: E402
from isthmus.writers.torch.record import record  # noqa: E402

pytestmark = pytest.mark.torch

CASES = {
    c.name: c
    for held in vars(nets).values()
    if isinstance(held, tuple | list)
    for c in held
    if isinstance(c, nets.NetCase)
}
CHOSEN = (
    *(
        "linear",
        "glu",
        "adaptive_avg_one",
        "batch_norm",
        "group_norm",
        "conv2d_same",
        "layer_norm",
        "flatten",
        "lstm",
    ),
    *("gru", "rnn", "multihead_attention", "transformer_encoder", "transformer", "bilinear", "experts"),
)


@pytest.mark.parametrize("name", CHOSEN)
def test_state_and_tree_come_back(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    net, inputs = case.module(), case.inputs()
    options = Options(verify=False)
    write_onnx(read_torch(net, inputs=inputs, dynamic_shapes=case.shapes, options=options), tmp_path / "net.onnx")
    made = record(read_onnx(tmp_path / "net.onnx", options=options)).module
    before, after = net.state_dict(), made.state_dict()
    assert set(before) == set(after)
    assert all(before[key].dtype == after[key].dtype and torch.equal(before[key], after[key]) for key in before)
    weighted = {path for path, part in net.named_modules() if any(True for _ in part.parameters())}
    assert weighted <= {path for path, _ in made.named_modules()}
    assert {k for k, p in net.named_parameters()} == {k for k, p in made.named_parameters() if p.requires_grad}
    with torch.no_grad():
        pairs = zip(*(torch.utils._pytree.tree_leaves(m(*inputs)) for m in (net, made)), strict=True)
        assert all(torch.allclose(a, b, atol=case.tolerance) for a, b in pairs)
