"""The same steps of training in PyTorch and on the loaded SavedModel: the same losses, the same weights after."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
torch = pytest.importorskip("torch")

from isthmus.readers.torch import read_torch  # noqa: E402
from isthmus.types import Options  # noqa: E402
from isthmus.writers.tensorflow import write_saved_model  # noqa: E402
from isthmus.writers.tensorflow.saved_model import RECORD  # noqa: E402

pytestmark = [pytest.mark.tensorflow, pytest.mark.torch]

RATE, STEPS = 0.1, 6


class Net(torch.nn.Module):
    """Convolutions plain and grouped, batch norms, a recurrent layer, an embedded scalar and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3, bias=False), torch.nn.BatchNorm2d(8), torch.nn.ReLU()
        )
        self.grouped = torch.nn.Conv2d(8, 8, 3, groups=4, padding=1)
        self.norm = torch.nn.LayerNorm(8)
        self.rnn = torch.nn.GRU(8, 6, batch_first=True)
        self.head = torch.nn.Linear(6, 3)
        self.scale = torch.nn.Parameter(torch.tensor(1.5))
        self.register_buffer("shift", torch.linspace(-1, 1, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = x + torch.nn.functional.gelu(self.grouped(x))
        x = self.norm(x.mean(3).transpose(1, 2)) + self.shift
        return self.head(self.rnn(x)[0][:, -1] * self.scale)


def test_six_steps_agree(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Net()
    hub = read_torch(
        net.eval(),
        inputs=(torch.randn(4, 3, 7, 7),),
        dynamic_shapes=({0: "batch"},),
        options=Options(trainable=True),
    )
    write_saved_model(hub, tmp_path / "m", options=Options(trainable=True))
    model = tf.saved_model.load(str(tmp_path / "m"))
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), RATE)
    draw = np.random.default_rng(0)
    for _ in range(STEPS):
        x, wanted = draw.standard_normal((6, 3, 7, 7)).astype(np.float32), draw.integers(0, 3, 6)
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(torch.from_numpy(x)), torch.from_numpy(wanted))
        loss.backward()
        optimizer.step()
        with tf.GradientTape() as tape:
            (logits,) = model(tf.constant(x), training=True).values()
            ours = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(tf.constant(wanted), logits))
        gradients = tape.gradient(ours, model.trainable_variables)
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
            variable.assign_sub(RATE * tf.convert_to_tensor(gradient))
        assert float(ours) == pytest.approx(loss.item(), rel=1e-4)
    stored = json.loads((tmp_path / "m" / RECORD).read_text())["weights"]
    trained = {name for name, weight in stored.items() if weight.get("trainable")}
    assert trained == {name for name, _ in net.named_parameters()}
    for name, tensor in net.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        array = model.parameters[name].numpy()
        perm = stored[name].get("perm", range(array.ndim))
        np.testing.assert_allclose(
            array.transpose(np.argsort(perm)), tensor.numpy(), rtol=1e-3, atol=2e-5, err_msg=name
        )
