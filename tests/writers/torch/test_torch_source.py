"""Source that is written of a model: readable, valid whatever the names, and the same model without Isthmus."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

torch = pytest.importorskip("torch")

import isthmus  # noqa: E402
from isthmus.readers.onnx import read_onnx  # noqa: E402
from isthmus.types import Options  # noqa: E402
from isthmus.writers.torch.source import write_python  # noqa: E402

pytestmark = pytest.mark.torch

HOSTILE = ["__class__", "lambda", "a.b", "x\ny", "é", "名", "n" * 300, 'q"""); boom(', "a b", "a_b"]


def written(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "net.py"
    write_python(read_onnx(model, options=Options(verify=False)), path)
    return path


def outputs_of(path: Path, x: np.ndarray) -> np.ndarray:
    """What the source gives in a process that has no Isthmus."""
    np.save(path.with_name("x.npy"), x)
    program = (
        "import sys, numpy as np, torch, net\n"
        "y = net.load_model()(torch.from_numpy(np.load('x.npy')))\n"
        "np.save('y.npy', (y[0] if isinstance(y, tuple) else y).detach().numpy())\n"
        "assert not any(name.startswith('isthmus') for name in sys.modules)\n"
    )
    command = [sys.executable, "-c", program]
    subprocess.run(command, cwd=path.parent, check=True, timeout=120, env={"PATH": "", "PYTHONPATH": "."})
    return np.load(path.with_name("y.npy"))


def test_hostile_names_give_valid_source(tmp_path: Path) -> None:
    weights = {name: np.full(3, i + 1, np.float32) for i, name in enumerate(HOSTILE)}
    nodes, last = [], "the input"
    for i, name in enumerate(HOSTILE):
        nodes.append(helper.make_node("Add", [last, name], [f"import os; {i}"], name=f"{name}/{name}"))
        last = f"import os; {i}"
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["evil\nname", 3]) for n in ("the input", last)]
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", info[:1], info[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    path = written(model, tmp_path)
    assert "boom(" not in path.read_text().replace('boom(",', "").replace("boom_", "")
    x = np.zeros((2, 3), np.float32)
    np.testing.assert_array_equal(outputs_of(path, x), x + sum(weights.values()))
    first = path.read_text()
    assert written(model, tmp_path).read_text() == first


class Block(torch.nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = torch.nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.norm(self.conv(x)))


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stages = torch.nn.Sequential(Block(3, 4), Block(4, 8), Block(8, 8))
        self.head = torch.nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.stages(x).mean((2, 3)))


def test_repeated_blocks_are_one_class_and_sources_are_tidy(tmp_path: Path) -> None:
    net = Net().eval()
    target = tmp_path / "net.py"
    options = Options(samples=1)
    x = torch.randn(2, 3, 6, 6)
    made = isthmus.convert(net, target, inputs=(x,), dynamic_shapes=({0: "batch"},), options=options)
    assert made and set(made.artifact.files) == {"net.py", "net.safetensors"}
    text = target.read_text()
    assert text.count("class ") == 2 and "nn.Sequential(Block(3, 4), Block(4, 8), Block(8, 8))" in text
    assert list(made.model.state_dict()) == list(net.state_dict())
    for command in (["check"], ["format", "--check", "--line-length", "100"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, "--isolated", str(target)], check=True)
    np.testing.assert_allclose(outputs_of(target, x.numpy()), net(x).detach().numpy(), rtol=1e-5, atol=1e-6)
    with pytest.raises(isthmus.errors.UsageError, match="exists"):
        isthmus.convert(net, target, inputs=(x,), options=options)


@pytest.mark.parametrize("kind", ["torch", "python"])
def test_the_model_in_memory_is_a_module(kind: str) -> None:
    net = Net().eval()
    made = isthmus.convert(net, to=kind, inputs=(torch.randn(2, 3, 6, 6),), options=Options(samples=1))
    assert made and isinstance(made.model, torch.nn.Module)
    assert {name for name, _ in made.model.named_modules()} == {name for name, _ in net.named_modules()}


@pytest.mark.parametrize(
    "code",
    ["y = f({0})", "y = x + ({0})", "y = x[{0}]", "y = [{0}]", "y = ({0},)", "y = f(({0},), {0})", "y = x[{0},]"],
)
def test_a_long_line_is_wrapped_into_the_same_statement(code: str) -> None:
    import ast

    from isthmus.writers.torch.lines import wrapped

    long = code.format(f"{'a' * 60} @ {'b' * 60}")
    assert ast.dump(ast.parse("\n".join(wrapped(long, "")))) == ast.dump(ast.parse(long))
