"""Bad input gets a clear error and its exit code; no half-written target stays, nothing that was there is lost."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest

from isthmus.cli.main import main


def left_over(folder: Path, *expected: str) -> set[str]:
    return {p.name for p in folder.iterdir()} - set(expected)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("empty.onnx", b"", "empty"),
        ("text.onnx", b"this is not a model\n" * 20, "text"),
        ("zeros.onnx", b"\0" * 400, "onnx"),
        ("archive.onnx", b"PK\x03\x04" + b"\0" * 60, "zip"),
        ("empty.pt2", b"", "empty"),
        pytest.param("text.pt2", b"hello there, this is text\n", "text.pt2", marks=pytest.mark.torch),
    ],
)
def test_files_that_are_no_models(name, content, complaint, tmp_path, capsys) -> None:
    (tmp_path / name).write_bytes(content)
    assert main(["convert", str(tmp_path / name), str(tmp_path / "out.onnx"), "--no-verify"]) in (2, 6)
    assert complaint.lower() in capsys.readouterr().err.lower()
    assert not left_over(tmp_path, name)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_model(share, linear, tmp_path, capsys) -> None:
    whole = linear.read_bytes()
    linear.write_bytes(whole[: int(len(whole) * share)])
    assert main(["convert", str(linear), str(tmp_path / "out.onnx"), "--no-verify"]) == 2
    assert "linear.onnx" in capsys.readouterr().err
    assert not left_over(tmp_path, "linear.onnx")


class Bomb:
    """Unpickling this writes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.torch
@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_a_pickle_is_refused_and_its_culprits_named(suffix, tmp_path, capsys) -> None:
    import torch

    path = tmp_path / f"bomb{suffix}"
    torch.save({"weight": torch.ones(2), "extra": Bomb(tmp_path / "ran")}, path)
    assert main(["convert", str(path), str(tmp_path / "out.onnx"), "--no-verify"]) == 6
    error = capsys.readouterr().err
    assert "system" in error
    assert "--trust-pickle" in error
    assert not left_over(tmp_path, path.name), "the pickle ran, or something was written"


@pytest.mark.torch
def test_a_bare_pickle_is_refused(tmp_path, capsys) -> None:
    path = tmp_path / "bare.pt"
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    assert main(["convert", str(path), str(tmp_path / "out.onnx"), "--no-verify"]) == 6
    assert not left_over(tmp_path, "bare.pt")


@pytest.mark.torch
def test_pickled_weights_of_a_factory_are_refused(tmp_path, capsys, monkeypatch) -> None:
    import torch

    (tmp_path / "nets_of_bomb.py").write_text("import torch\ndef build():\n    return torch.nn.Linear(2, 2)\n")
    monkeypatch.syspath_prepend(tmp_path)
    torch.save({"weight": Bomb(tmp_path / "ran")}, tmp_path / "w.pt")
    line = ["convert", "nets_of_bomb:build", str(tmp_path / "out.onnx"), "--weights", str(tmp_path / "w.pt")]
    assert main([*line, "--input-shapes", "input:[n,2]", "--no-verify"]) == 6
    assert not left_over(tmp_path, "nets_of_bomb.py", "w.pt", "__pycache__")


def with_external_data(path: Path, location: str) -> None:
    model = onnx.load(path)
    weight = model.graph.initializer[0]
    weight.ClearField("float_data")
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "24")):
        weight.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "inner/../../secret.bin"])
def test_external_data_that_leaves_the_folder(location, linear, tmp_path, capsys) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "secret.bin").write_bytes(np.ones(6, np.float32).tobytes())
    model = linear.rename(home / "linear.onnx")
    with_external_data(model, location)
    assert main(["convert", str(model), str(tmp_path / "out.onnx"), "--no-verify"]) == 6
    assert "outside" in capsys.readouterr().err or location
    assert not left_over(tmp_path, "home", "secret.bin")


def test_external_data_by_a_link(linear, tmp_path, capsys) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "secret.bin").write_bytes(np.ones(6, np.float32).tobytes())
    (home / "weights.bin").symlink_to(tmp_path / "secret.bin")
    model = linear.rename(home / "linear.onnx")
    with_external_data(model, "weights.bin")
    assert main(["convert", str(model), str(tmp_path / "out.onnx"), "--no-verify"]) == 6


def test_external_data_that_is_not_there(linear, tmp_path, capsys) -> None:
    with_external_data(linear, "weights.bin")
    assert main(["convert", str(linear), str(tmp_path / "out.onnx"), "--no-verify"]) == 2
    assert "weights.bin" in capsys.readouterr().err
    (tmp_path / "weights.bin").write_bytes(b"\0" * 8)
    assert main(["convert", str(linear), str(tmp_path / "out.onnx"), "--no-verify"]) == 2


@pytest.mark.parametrize(
    ("hidden", "arguments"),
    [
        (("onnxruntime",), ["convert", "{linear}", "out.onnx"]),
        (("tensorflow",), ["convert", "{linear}", "out"]),
        (("torch",), ["convert", "model.pt2", "out.onnx"]),
        (("onnxscript",), ["convert", "model.pt2", "out.onnx"]),
    ],
)
def test_a_missing_framework_is_named_with_its_command(hidden, arguments, linear, tmp_path, run_isthmus) -> None:
    (tmp_path / "model.pt2").write_bytes(b"PK\x03\x04")
    done = run_isthmus(*[a.format(linear=linear) for a in arguments], without=hidden)
    assert done.returncode == 5, done.stderr
    assert hidden[0] in done.stderr
    assert "pip install" in done.stderr
    assert not left_over(tmp_path, "linear.onnx", "model.pt2", "hidden")


def test_onnx_alone_is_enough_to_convert_without_judging(linear, tmp_path, run_isthmus) -> None:
    hidden = ("torch", "tensorflow", "onnxruntime", "onnxscript", "keras")
    done = run_isthmus("convert", linear, "out.onnx", "--no-verify", without=hidden)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.onnx").is_file()


@pytest.mark.onnxruntime
@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        (np.ones((4, 5), np.float32), "shape"),
        (np.ones((4, 3), np.float64), "float64"),
        (np.ones(3, np.float32), "shape"),
    ],
)
def test_inputs_that_do_not_fit(array, complaint, linear, tmp_path, capsys) -> None:
    np.savez(tmp_path / "data.npz", x=array)
    line = ["convert", str(linear), str(tmp_path / "out.onnx"), "--inputs", str(tmp_path / "data.npz")]
    assert main(line) == 2
    assert complaint in capsys.readouterr().err
    assert not left_over(tmp_path, "linear.onnx", "data.npz")


@pytest.mark.onnxruntime
def test_inputs_that_are_a_pickle(linear, tmp_path, capsys) -> None:
    np.savez(tmp_path / "data.npz", x=np.array([Bomb(tmp_path / "ran")], dtype=object))
    line = ["convert", str(linear), str(tmp_path / "out.onnx"), "--inputs", str(tmp_path / "data.npz")]
    assert main(line) == 6
    assert not left_over(tmp_path, "linear.onnx", "data.npz")


def test_an_existing_target_stays(linear, tmp_path, capsys) -> None:
    (tmp_path / "out.onnx").write_text("precious")
    line = ["convert", str(linear), str(tmp_path / "out.onnx"), "--no-verify"]
    assert main(line) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "out.onnx").read_text() == "precious"
    assert main([*line, "--overwrite"]) == 0
    assert onnx.load(tmp_path / "out.onnx").graph.name == "linear"


def test_a_target_that_cannot_be_written(linear, tmp_path, capsys) -> None:
    assert main(["convert", str(linear), str(tmp_path / "no" / "such" / "out.onnx"), "--no-verify"]) == 2
    assert main(["convert", str(linear), "/proc/out.onnx", "--no-verify"]) == 2
    (tmp_path / "file").write_text("")
    assert main(["convert", str(linear), str(tmp_path / "file" / "out.onnx"), "--no-verify"]) == 2
    assert not left_over(tmp_path, "linear.onnx", "file")


def _heeds_interrupts() -> None:
    """A shell's background jobs, of which this test may be one, hand down that they ignore them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.onnxruntime
@pytest.mark.parametrize("polite", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_everything_as_it_was(polite, linear, tmp_path) -> None:
    (tmp_path / "out.onnx").write_text("precious")
    command = [sys.executable, "-m", "isthmus", "convert", str(linear), str(tmp_path / "out.onnx"), "--overwrite"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, cwd=tmp_path, preexec_fn=_heeds_interrupts) as process:
        while not list(tmp_path.glob(".out.onnx.*")) and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(polite)
        assert process.wait(60) == 130, process.stderr.read().decode()
    assert (tmp_path / "out.onnx").read_text() == "precious"
    assert not left_over(tmp_path, "linear.onnx", "out.onnx")


@pytest.mark.onnxruntime
@pytest.mark.parametrize("external", [False, True])
def test_a_result_that_disagrees_is_kept_aside(external, linear, tmp_path, monkeypatch, capsys) -> None:
    from isthmus import roads
    from isthmus.writers import onnx as writer

    if external:
        monkeypatch.setattr(writer, "EXTERNAL_FROM", 1)

    honest = roads.write

    def dishonest(hub, kind, path, options):
        weight = hub.graph.initializers["weight"]
        import onnx_ir

        weight.const_value = onnx_ir.tensor(weight.const_value.numpy() + 1, name="weight")
        return honest(hub, kind, path, options)

    monkeypatch.setattr(roads, "write", dishonest)
    (tmp_path / "out.onnx").write_text("precious")
    assert main(["convert", str(linear), str(tmp_path / "out.onnx"), "--overwrite"]) == 1
    assert (tmp_path / "out.onnx").read_text() == "precious"
    kept = onnx.load(tmp_path / "out.onnx.unverified")
    assert onnx.numpy_helper.to_array(kept.graph.initializer[0]).shape == (3, 2)
    assert (tmp_path / "out.onnx.data.unverified").exists() == external
