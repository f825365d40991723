"""Exported programs take every size that the module takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import onnx  # noqa: E402

from isthmus.readers.onnx import read_onnx  # noqa: E402
from isthmus.readers.torch import read_torch  # noqa: E402
from isthmus.types import Options  # noqa: E402
from isthmus.writers.torch.export import exported, write_program  # noqa: E402
from isthmus.writers.torch.record import Recorded, record  # noqa: E402

pytestmark = pytest.mark.torch

POOLED = """
<ir_version: 10, opset_import: ["" : 20]>
pooled (float[batch, 2, height, width] x) => (float[batch, 3, h, w] y) <float[3, 2, 3, 3] w>
{
   c = Conv (x, w)
   m = MaxPool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (c)
   s = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (m)
   y = Softmax <axis = 1> (s)
}
"""


TEXT = """
<ir_version: 10, opset_import: ["" : 20]>
words (int64[batch, time] tokens, float[batch, 4] speaker) => (float[batch, time, 4] y)
<float[9, 4] table>
{
   e = Gather (table, tokens)
   one = Constant <value_ints = [1]> ()
   s = Unsqueeze (speaker, one)
   y = Add (e, s)
}
"""
ALONE = """
import sys, torch
program = torch.export.load("words.pt2")
assert not any(name.partition(".")[0] in ("isthmus", "onnx_ir", "onnx") for name in sys.modules)
print(*program.graph_signature.user_inputs, *program.state_dict, *sorted(map(str, program.range_constraints)))
for n, t in ((2, 5), (7, 3)):
    assert program.module()(torch.ones(n, t, dtype=torch.int64), torch.ones(n, 4)).shape == (n, t, 4)
"""


def test_a_program_has_the_names_of_its_source_and_needs_torch_alone(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(TEXT)
    del model.graph.initializer[:]
    model.graph.initializer.append(onnx.numpy_helper.from_array(torch.randn(9, 4).numpy(), "table"))
    write_program(read_onnx(model), tmp_path / "words.pt2")
    done = subprocess.run(
        [sys.executable, "-c", ALONE], cwd=tmp_path, check=True, capture_output=True, text=True, timeout=240
    )
    first, second, *rest = done.stdout.split()
    assert (first, second) == ("tokens", "speaker")
    assert rest[0].startswith("table") and len(rest) == 3, "one weight, two free dimensions"


def test_an_image_may_shrink_to_one_pixel_and_may_not() -> None:
    """Neither the sizes of the example nor those that become 1 on the way are fixed or barred."""
    model = onnx.parser.parse_model(POOLED)
    weight = torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(0)).numpy()
    del model.graph.initializer[:]
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    recorded = record(read_onnx(model))
    program, _ = exported(recorded)
    module = program.module()
    for shape in ((1, 2, 6, 9), (2, 2, 40, 6), (3, 2, 300, 17), (1, 2, 33, 34)):
        x = torch.randn(shape)
        torch.testing.assert_close(module(x), recorded.module(x))


STRIDED = """
<ir_version: 10, opset_import: ["" : 20]>
strided (float[batch, height, width, 3] x) => (float[batch, h, w, 3] y)
<float[3, 1, 3, 3] weight, int64[8] pads = {0, 0, 0, 0, 0, 1, 1, 0}>
{
   p = Pad (x, pads)
   i = Transpose <perm = [0, 3, 1, 2]> (p)
   c = Conv <group = 3, strides = [2, 2]> (i, weight)
   y = Transpose <perm = [0, 2, 3, 1]> (c)
}
"""


def test_a_program_takes_a_batch_of_one() -> None:
    """torch.export bars it in some ways of asking, as of this strided convolution by channel, and not in others."""
    model = onnx.parser.parse_model(STRIDED)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((3, 1, 3, 3), np.float32), "weight"))
    program, _ = exported(record(read_onnx(model)))
    for shape in ((1, 64, 96, 3), (2, 33, 35, 3)):
        assert program.module()(torch.ones(shape)).shape[0] == shape[0]


FIXED = """
<ir_version: 10, opset_import: ["" : 20]>
fixed (float[batch, channels, height, width] x) => (float[batch, k, h, w] y) <float[4, 3, 3, 3] filter>
{
   r = Relu (x)
   y = Conv <pads = [1, 1, 1, 1]> (r, filter)
}
"""


def test_a_free_dimension_that_weights_fix_is_fixed_and_told() -> None:
    """Exporters declare channels free; and all four sizes together are no larger than memory."""
    model = onnx.parser.parse_model(FIXED)
    weight = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0)).numpy()
    del model.graph.initializer[:]
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "filter"))
    recorded = record(read_onnx(model))
    program, notes = exported(recorded)
    assert [note.text for note in notes] == ["torch.export fixed the size of channels"]
    for shape in ((1, 3, 6, 9), (5, 3, 40, 31)):
        x = torch.randn(shape)
        torch.testing.assert_close(program.module()(x), recorded.module(x))


STATE = """
<ir_version: 10, opset_import: ["" : 20]>
state (float[time, batch, 2] x, float[1, 1, 3] h) => (float[time, 1, batch, 3] y)
<float[1, 9, 2] w, float[1, 9, 3] r>
{
   y = GRU <hidden_size = 3, linear_before_reset = 1> (x, w, r, , , h)
}
"""


def test_a_batch_that_is_declared_free_and_bound_by_a_state_is_fixed_and_told() -> None:
    model = onnx.parser.parse_model(STATE)
    del model.graph.initializer[:]
    for name, width in (("w", 2), ("r", 3)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(torch.randn(1, 9, width).numpy(), name))
    recorded = record(read_onnx(model))
    program, notes = exported(recorded)
    assert [note.text for note in notes] == ["torch.export fixed the size of batch"]
    for time in (4, 9):
        x, h = torch.randn(time, 1, 2), torch.randn(1, 1, 3)
        torch.testing.assert_close(program.module()(x, h), recorded.module(x, h))


PYRAMID = """
<ir_version: 10, opset_import: ["" : 20]>
pyramid (float[batch, 3, height, width] x) => (float[batch, 3, h, w] y) <float[4] scales = {1, 1, 2, 2}>
{
   a = AveragePool <kernel_shape = [3, 3], strides = [4, 4], pads = [1, 1, 1, 1]> (x)
   b = AveragePool <kernel_shape = [3, 3], strides = [4, 4], pads = [1, 1, 1, 1]> (a)
   c = AveragePool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (b)
   d = Resize <mode = "nearest", nearest_mode = "floor", coordinate_transformation_mode = "asymmetric"> (c, , scales)
   y = Add (b, d)
}
"""


def test_an_image_whose_sides_are_to_be_halved_many_times_is_shown_with_such_sides() -> None:
    """Also where several such sides and a batch together ask for less than the usual sizes."""
    recorded = record(read_onnx(onnx.parser.parse_model(PYRAMID)))
    module = exported(recorded)[0].module()
    for shape in ((1, 3, 64, 96), (2, 3, 32, 160)):
        x = torch.randn(shape)
        torch.testing.assert_close(module(x), recorded.module(x))


SOUND = """
<ir_version: 10, opset_import: ["" : 20]>
sound (float[1, samples] x) => (float[1, samples] y) { y = Relu (x) }
"""


class Frames(torch.nn.Module):
    """Treats a sound of one frame as another thing than one of many."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        count = x.shape[1] // 256
        frames = x[:, : count * 256].reshape(1, count, 256)
        return frames[:, 0] if count == 1 else frames.mean(1)


def test_what_holds_for_the_sizes_of_the_example_alone_is_no_program() -> None:
    hub = read_onnx(onnx.parser.parse_model(SOUND))
    program, notes = exported(Recorded(hub, Frames().eval(), {}))
    assert ["takes only sizes of which" in note.text for note in notes] == [True]  # those of many frames
    for size in (600, 5000):
        x = torch.randn(1, size)
        torch.testing.assert_close(program.module()(x), Frames()(x))


class Block(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.conv(x)) + x


class Blocks(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = torch.nn.ModuleList(Block() for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return x


def test_a_program_tells_the_modules_of_its_source_and_nothing_of_this_machine(tmp_path: Path) -> None:
    net, x = Blocks().eval(), torch.randn(2, 3, 64, 64)
    hub = read_torch(net, inputs=(x,), dynamic_shapes=({0: "batch"},), options=Options(), weights=None)
    write_program(hub, tmp_path / "net.pt2")
    program = torch.export.load(tmp_path / "net.pt2")
    held = {
        list(node.meta["nn_module_stack"].values())[-1]
        for node in program.graph.nodes
        if str(node.target).startswith("aten.relu")
    }
    assert {(path, str(kind).rpartition(".")[2]) for path, kind in held} == {
        ("blocks.0", "Block"),
        ("blocks.1", "Block"),
    }
    assert not any({"stack_trace", "from_node"} & node.meta.keys() for node in program.graph.nodes)
    torch.testing.assert_close(program.module()(x), net(x))
    program.module()(*program.example_inputs[0])
    size = (tmp_path / "net.pt2").stat().st_size
    assert size < 3 * 64 * 64 * 4 * 8, "it is not saved with the large inputs that it was traced with"
