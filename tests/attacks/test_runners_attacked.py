"""Runners that die, hang, shout or lie, and files that would run code: each an error, none a wrong verdict."""

from __future__ import annotations

import os
import pickle
import time
from pathlib import Path

import judged_nets as nets
import numpy as np
import pytest

from isthmus.errors import FrameworkMissing, InvalidModel, RunnerFailed, UnsafeInput
from isthmus.verify.runners.process import ProcessRunner

X = np.arange(6, dtype=np.float32).reshape(2, 3)

FACTORIES = """
import os, signal, sys, time
from torch import nn


class Loud(nn.Module):
    def forward(self, x):
        print('{"result": "forged"}', flush=True)
        os.write(1, b"written past Python\\n")
        os.system("echo from a child")
        assert sys.stdin.read() == ""
        return {"double": x * 2, "parts": [x + 1, x > 0]}


class Doomed(nn.Module):
    def forward(self, x):
        print("last words", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


class Leaving(nn.Module):
    def forward(self, x):
        os._exit(17)


class Slow(nn.Module):
    def forward(self, x):
        child = os.fork()
        if child:
            print("child", child, file=sys.stderr, flush=True)
        time.sleep(60)


class Endless(nn.Module):
    def forward(self, x):
        for _ in range(2000):
            print("noise " * 200, file=sys.stderr)
        return x
"""


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "ill_bred.py").write_text(FACTORIES, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "ill_bred"


@pytest.mark.torch
def test_what_a_model_prints_and_reads_never_meets_the_protocol(factories: str) -> None:
    with ProcessRunner("torch", f"{factories}:Loud") as runner:
        made = runner.run({"x": X})
        assert list(made) == ["double", "parts.0", "parts.1"]
        assert np.array_equal(made["double"], 2 * X)
        assert made["parts.1"].dtype == bool
        assert np.array_equal(runner.run({"x": X})["double"], 2 * X)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("Doomed", r"(?s)died running the model .*: killed by SIGKILL.*\| last words\nhint: .*memory"),
        ("Leaving", r"died running the model .*: exit code 17"),
    ],
)
def test_a_death_is_told_with_its_cause_and_last_words(factories: str, factory: str, message: str) -> None:
    with ProcessRunner("torch", f"{factories}:{factory}") as runner:
        with pytest.raises(RunnerFailed, match=message) as caught:
            runner.run({"x": X})
        with pytest.raises(RunnerFailed, match="died"):
            runner.run({"x": X})
    assert caught.value.exit_code == 4


@pytest.mark.torch
def test_a_runner_that_hangs_is_ended_with_all_its_children(factories: str) -> None:
    runner = ProcessRunner("torch", f"{factories}:Slow", timeout=30)
    runner._timeout = 2.0
    began = time.monotonic()
    with runner, pytest.raises(RunnerFailed, match=r"longer than 2 s running the model") as caught:
        runner.run({"x": X})
    assert time.monotonic() - began < 20
    assert "--timeout" in caught.value.hint
    child = int(caught.value.message.partition("| child ")[2].split()[0])
    time.sleep(0.2)
    stat = Path(f"/proc/{child}/stat")
    assert not stat.exists() or stat.read_text().split()[2] == "Z"


@pytest.mark.torch
def test_endless_talk_fills_no_pipe(factories: str) -> None:
    with ProcessRunner("torch", f"{factories}:Endless", timeout=60) as runner:
        assert np.array_equal(runner.run({"x": X})["output"], X)
        assert len(runner._tail) <= 8192


@pytest.mark.onnxruntime
def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    with ProcessRunner("onnx", nets.scale(tmp_path / "m.onnx")) as runner:
        runner.run({"x": X})
        (private,) = scratch.iterdir()
        assert private.stat().st_mode & 0o077 == 0
        assert list(private.iterdir()) == []
    assert list(scratch.iterdir()) == []
    assert runner._process.poll() is not None
    runner.close()


@pytest.mark.parametrize(
    ("kind", "framework", "extra"),
    [("onnx", "onnxruntime", "onnx"), ("torch", "torch", "torch"), ("tensorflow",) * 3],
)
def test_a_missing_framework_is_named_with_its_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, framework: str, extra: str
) -> None:
    raising = f"raise ModuleNotFoundError('hidden', name={framework!r})"
    (tmp_path / f"{framework}.py").write_text(raising, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "saved_model.pb").write_bytes(b"")
    source = {"onnx": nets.scale(tmp_path / "m.onnx"), "torch": "any:factory", "tensorflow": str(tmp_path)}[kind]
    with pytest.raises(FrameworkMissing, match=rf"pip install 'isthmus\[{extra}\]'") as caught:
        ProcessRunner(kind, source)
    assert caught.value.exit_code == 5


@pytest.mark.onnxruntime
def test_a_framework_that_is_broken_is_not_called_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "onnxruntime.py").write_text("import absent_dependency", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(RunnerFailed, match="misses its own dependency absent_dependency"):
        ProcessRunner("onnx", nets.scale(tmp_path / "m.onnx"))


@pytest.mark.onnxruntime
def test_a_file_in_the_current_folder_is_never_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("onnxruntime", "numpy", "json"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with ProcessRunner("onnx", nets.scale(tmp_path / "m.onnx")) as runner:
        assert runner.run({"x": X})["y"].shape == (2, 3)
    assert not (tmp_path / "ran").exists()


@pytest.mark.onnxruntime
@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x0a\x12\x07cut"])
def test_a_broken_onnx_file_is_an_invalid_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(InvalidModel, match=r"m\.onnx"):
        ProcessRunner("onnx", str(path))


@pytest.mark.torch
@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04 cut short"])
@pytest.mark.parametrize("suffix", [".pt", ".pt2"])
def test_a_broken_torch_file_is_an_invalid_model(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"m{suffix}"
    path.write_bytes(content)
    with pytest.raises(InvalidModel, match=rf"m\{suffix}"):
        ProcessRunner("torch", str(path))


@pytest.mark.tensorflow
@pytest.mark.parametrize("content", [b"", b"not a model"])
def test_a_broken_saved_model_is_an_invalid_model(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(InvalidModel):
        ProcessRunner("tensorflow", str(tmp_path))


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.system, (f"touch {self.path}",))


@pytest.mark.torch
def test_weights_that_would_run_code_are_refused(tmp_path: Path, factories: str) -> None:
    path = tmp_path / "w.pt"
    with path.open("wb") as file:
        pickle.dump({"w": Payload(tmp_path / "ran")}, file)
    with pytest.raises(UnsafeInput, match=r"w\.pt would run code.*\n.*--trust-pickle") as caught:
        ProcessRunner("torch", f"{factories}:Loud", weights=str(path))
    assert caught.value.exit_code == 6
    assert not (tmp_path / "ran").exists()
