"""Files and factories: every kind of source, and every kind of bad one."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from isthmus.errors import InvalidModel, UnsafeInput, UsageError
from isthmus.readers.torch import read_torch
from isthmus.source import recognise
from isthmus.types import Options

pytestmark = [pytest.mark.torch, pytest.mark.onnxruntime]

FACTORY = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)

    def forward(self, x):
        return self.layer(x)

def make():
    return Net()

number = 3
"""


class Net(nn.Module):
    """The same net as the factory's."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Bomb:
    """Would create a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"factory_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    return name


X = torch.randn(2, 3)


def agrees(hub: Any, net: nn.Module, run: Callable[..., Any], x: Tensor = X) -> None:
    with torch.no_grad():
        np.testing.assert_allclose(run(hub, x)[0], net(x).numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_factory_with_weights(factory: str, tmp_path: Path, suffix: str, run: Callable[..., Any]) -> None:
    net = Net()
    weights = tmp_path / f"weights{suffix}"
    save_file(net.state_dict(), weights) if suffix == ".safetensors" else torch.save(net.state_dict(), weights)
    hub = read_torch(f"{factory}:make", inputs=(X,), weights=weights, dynamic_shapes={"x": {0: "n"}})
    agrees(hub, net, run)
    agrees(hub, net, run, torch.randn(5, 3))


def test_training_checkpoints_are_unwrapped(factory: str, tmp_path: Path, run: Callable[..., Any]) -> None:
    net = Net()
    state = {f"module.{name}": value for name, value in net.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "c.pt")
    hub = read_torch(f"{factory}:make", inputs=(X,), weights=tmp_path / "c.pt")
    assert [note.topic for note in hub.notes] == ["weights", "weights"]
    agrees(hub, net, run)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"layer.weight": torch.zeros(2, 3)}, "missing layer.bias"),
        ({"layer.weight": torch.zeros(2, 3), "layer.bias": torch.zeros(2), "x": torch.zeros(1)}, "unexpected x"),
        ({"layer.weight": torch.zeros(9, 3), "layer.bias": torch.zeros(2)}, r"\[9, 3\]"),
    ],
)
def test_weights_that_do_not_fit(factory: str, tmp_path: Path, state: Any, message: str) -> None:
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(UsageError, match=message):
        read_torch(f"{factory}:make", inputs=(X,), weights=tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("name", "message"), [("nowhere:make", "cannot import"), ("{}:missing", "has no missing"), ("{}:number", "int")]
)
def test_bad_factories(factory: str, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_torch(name.format(factory), inputs=(X,))


def test_exported_program_keeps_its_free_dimensions(tmp_path: Path, run: Callable[..., Any]) -> None:
    net = Net()
    program = torch.export.export(net, (X,), dynamic_shapes={"x": {0: torch.export.Dim("batch")}})
    torch.export.save(program, tmp_path / "net.pt2")
    for source in (program, tmp_path / "net.pt2"):
        hub = read_torch(source)
        assert isinstance(hub.signature.inputs[0].shape[0], str)
        assert hub.signature.outputs[0].shape[0] == hub.signature.inputs[0].shape[0]
        agrees(hub, net, run, torch.randn(7, 3))
    named = read_torch(tmp_path / "net.pt2", dynamic_shapes={"x": {0: "rows"}})
    assert named.signature.inputs[0].shape == ("rows", 3)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("make", [torch.jit.script, lambda net: torch.jit.trace(net, X)])
def test_torchscript(tmp_path: Path, make: Callable[..., Any], run: Callable[..., Any]) -> None:
    net = Net().eval()
    make(net).save(str(tmp_path / "net.pt"))
    hub = read_torch(tmp_path / "net.pt", inputs={"x": X}, dynamic_shapes={"x": {0: "n"}})
    assert str(hub.signature.inputs[0]) == "x: float32[n, 3]"
    assert [spec.name for spec in hub.signature.outputs] == ["output"]
    assert {"layer.weight", "layer.bias"} <= set(hub.graph.initializers)
    agrees(hub, net, run, torch.randn(6, 3))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_that_fails_says_why_and_is_known_by_its_names(tmp_path: Path) -> None:
    class Paired(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(-1, 2)

    for suffix in (".pt", ".ts", ".jit"):
        torch.jit.script(Paired()).save(str(tmp_path / f"net{suffix}"))
        assert recognise(tmp_path / f"net{suffix}").kind == "torch"
        with pytest.raises(
            UsageError, match=r"fails on the given inputs: RuntimeError: shape '\[-1, 2\]' is invalid"
        ):
            read_torch(tmp_path / f"net{suffix}", inputs=(torch.ones(3),))


def test_bare_state_dict_asks_for_its_module(tmp_path: Path) -> None:
    torch.save(Net().state_dict(), tmp_path / "w.pt")
    save_file(Net().state_dict(), tmp_path / "w.safetensors")
    for name in ("w.pt", "w.safetensors"):
        with pytest.raises(UsageError, match="factory --weights"):
            read_torch(tmp_path / name, inputs=(X,))


@pytest.mark.parametrize("old", [False, True])
def test_pickles_are_refused_and_not_run(tmp_path: Path, old: bool) -> None:
    trap = tmp_path / "sprung"
    torch.save({"x": Bomb(trap)}, tmp_path / "m.pt", _use_new_zipfile_serialization=not old)
    with pytest.raises(UnsafeInput, match="mkdir") as caught:
        read_torch(tmp_path / "m.pt", inputs=(X,))
    assert caught.value.exit_code == 6
    with pytest.raises(UnsafeInput):
        read_torch(Net(), inputs=(X,), weights=tmp_path / "m.pt")
    assert not trap.exists()


def test_bare_pickle_is_refused(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    (tmp_path / "m.pt").write_bytes(pickle.dumps(Bomb(trap)))
    with pytest.raises((UnsafeInput, InvalidModel)):
        read_torch(tmp_path / "m.pt", inputs=(X,))
    assert not trap.exists()


def test_whole_module_needs_trust(tmp_path: Path, run: Callable[..., Any]) -> None:
    net = nn.Sequential(nn.Linear(3, 2))
    torch.save(net, tmp_path / "m.pth")
    with pytest.raises(UnsafeInput, match="Sequential"):
        read_torch(tmp_path / "m.pth", inputs=(X,))
    hub = read_torch(tmp_path / "m.pth", inputs=(X,), options=Options(trust_pickle=True))
    agrees(hub, net, run)


@pytest.mark.parametrize("where", ["sample inputs", "weights"])
@pytest.mark.parametrize("bare", [False, True])
def test_program_with_a_pickle_inside_is_refused(tmp_path: Path, where: str, bare: bool) -> None:
    trap, path = tmp_path / "sprung", tmp_path / "net.pt2"
    torch.export.save(torch.export.export(Net(), (X,)), path)
    evil = io.BytesIO()
    torch.save(Bomb(trap), evil)
    content = pickle.dumps(Bomb(trap)) if bare else evil.getvalue()
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    if where == "weights":
        table = next(name for name in parts if name.endswith("weights_config.json"))
        config = json.loads(parts[table])
        first = next(iter(config["config"].values()))
        first["use_pickle"] = True
        parts[table] = json.dumps(config).encode()
        target = next(name for name in parts if name.endswith("/" + first["path_name"]))
    else:
        target = next(name for name in parts if "sample_inputs" in name and not name.endswith(".json"))
    parts[target] = content
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in parts.items():
            archive.writestr(member, data)
    with pytest.raises(UnsafeInput, match="mkdir"):
        read_torch(path)
    assert not trap.exists()


@pytest.mark.parametrize("name", ["m.pt", "m.pt2", "m.pth", "m.safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello, I am text\n" * 9, b"PK\x03\x04" + b"\0" * 200, b"\x80\x02."])
def test_garbage_is_invalid(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises((InvalidModel, UsageError)):
        read_torch(tmp_path / name, inputs=(X,))


@pytest.mark.parametrize("kind", ["pt2", "script", "checkpoint"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_truncated_files_are_invalid(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("m.pt2" if kind == "pt2" else "m.pt")
    if kind == "pt2":
        torch.export.save(torch.export.export(Net(), (X,)), path)
    elif kind == "script":
        torch.jit.script(Net()).save(str(path))
    else:
        torch.save(Net().state_dict(), path)
    content = path.read_bytes()
    for size in (len(content) // 3, len(content) - 30):
        path.write_bytes(content[:size])
        with pytest.raises(InvalidModel):
            read_torch(path, inputs=(X,))


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read_torch(tmp_path / "nowhere.pt", inputs=(X,))
    with pytest.raises(UsageError, match="directory"):
        read_torch(tmp_path, inputs=(X,))
    with pytest.raises(UsageError, match="no such file"):
        read_torch(Net(), inputs=(X,), weights=tmp_path / "nowhere.pt")
