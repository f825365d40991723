"""PyTorch → an ONNX file → PyTorch, for every kind of layer: the same keys, bits, modules and numbers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from layer_nets import NETS  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils import _pytree as pytree  # noqa: E402

import isthmus  # noqa: E402
from isthmus.readers.onnx import read_onnx  # noqa: E402
from isthmus.readers.torch import read_torch  # noqa: E402
from isthmus.types import Options  # noqa: E402
from isthmus.writers.onnx import write_onnx  # noqa: E402
from isthmus.writers.torch.record import Recorded, record  # noqa: E402
from isthmus.writers.torch.source import save_weights, source  # noqa: E402

pytestmark = pytest.mark.torch

OPTIONS = Options(verify=False)


@pytest.fixture(scope="module")
def there_and_back(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[nn.Module, Recorded]]:
    """A net by its name, and what comes back of it through a file; made once."""
    folder = tmp_path_factory.mktemp("files")
    return functools.cache(lambda name: net_and_return(name, folder))


def net_and_return(name: str, folder: Path) -> tuple[nn.Module, Recorded]:
    torch.manual_seed(0)
    case = NETS[name]
    net = case.make().eval()
    with torch.no_grad():
        for buffer in net.buffers():
            if buffer.dtype == torch.int64:
                buffer.add_(3)
    hub = read_torch(net, inputs=case.inputs(), dynamic_shapes=case.free, options=OPTIONS)
    write_onnx(hub, folder / "net.onnx")
    return net, record(read_onnx(folder / "net.onnx", options=OPTIONS))


def outputs(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    return list(pytree.tree_leaves(module(*inputs)))


@pytest.mark.parametrize("name", NETS)
def test_everything_comes_back(name: str, there_and_back: Callable[[str], tuple[nn.Module, Recorded]]) -> None:
    net, recorded = there_and_back(name)
    made = recorded.module
    before, after = net.state_dict(), made.state_dict()
    assert set(before) == set(after)
    names = [[key for key, _ in module.named_parameters()] for module in (net, made)]
    assert names[0] == names[1], "optimizers count their parameters"
    for key, tensor in before.items():
        assert tensor.dtype == after[key].dtype and torch.equal(tensor, after[key]), key
    assert {path for path, _ in net.named_modules(remove_duplicate=False)} == {
        path for path, _ in made.named_modules()
    }
    trained = [{key: p.requires_grad for key, p in m.named_parameters(remove_duplicate=False)} for m in (net, made)]
    assert trained[0] == trained[1]
    groups = [
        {frozenset(k for k, o in m.named_parameters(remove_duplicate=False) if o is p) for p in m.parameters()}
        for m in (net, made)
    ]
    assert groups[0] == groups[1], "tied weights stay tied, others apart"
    with torch.no_grad():
        inputs = NETS[name].inputs()
        for got, expected in zip(outputs(made, inputs), outputs(net, inputs), strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NETS)
def test_the_source_has_the_same_state(
    name: str, there_and_back: Callable[[str], tuple[nn.Module, Recorded]], tmp_path: Path
) -> None:
    net, recorded = there_and_back(name)
    text, constants = source(recorded)
    path = tmp_path / "printed.py"
    path.write_text(text)
    save_weights(recorded, path.with_suffix(".safetensors"), constants)
    space = {"__file__": str(path), "__name__": f"printed_{name}"}
    exec(compile(text, str(path), "exec"), space)
    made = space["load_model"]()
    assert set(made.state_dict()) == set(net.state_dict())
    assert all(torch.equal(tensor, made.state_dict()[key]) for key, tensor in net.state_dict().items())
    assert {path for path, _ in made.named_modules()} == {path for path, _ in recorded.module.named_modules()}
    assert len(list(made.parameters())) == len(list(net.parameters()))
    with torch.no_grad():
        inputs = NETS[name].inputs()
        for got, expected in zip(outputs(made, inputs), outputs(net, inputs), strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


class Nested(nn.Module):
    def forward(self, x: torch.Tensor) -> dict[str, object]:
        return {"a": x + 1, "pair": (x * 2, [x - 1, x * 3])}


def test_outputs_come_back_as_they_were_given(tmp_path: Path) -> None:
    net, x = Nested(), torch.randn(2, 3)
    made = isthmus.convert(net, tmp_path / "net.onnx", inputs=(x,), options=Options(samples=1))
    assert made
    back = isthmus.convert(tmp_path / "net.onnx", tmp_path / "net.py", options=Options(samples=1))
    assert back
    got, expected = back.model(x), net(x)
    assert pytree.tree_structure(got) == pytree.tree_structure(expected)
    assert all(map(torch.equal, pytree.tree_leaves(got), pytree.tree_leaves(expected)))
    assert '"pair": (' in (tmp_path / "net.py").read_text()
    program = isthmus.convert(tmp_path / "net.onnx", tmp_path / "net.pt2", options=Options(samples=1))
    assert program and list(torch.export.load(tmp_path / "net.pt2").module()(x)) == ["a", "pair"]
