"""Keras files that are damaged, hostile or bring code of their own: each ends with its exit code, nothing written."""

from __future__ import annotations

import contextlib
import io
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import h5py
import keras

from isthmus.cli.main import main

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras' own, where it saves
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5"),
]

CUSTOM = """
import keras

class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x

@keras.saving.register_keras_serializable("ours")
def sharp(x):
    return x * keras.ops.sigmoid(3 * x)
"""


def run(line: list[str]) -> tuple[int, str]:
    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
        code = main(line)
    return code, told.getvalue()


def refused(source: Path, *more: str) -> tuple[int, str]:
    """Exit code and message; the target that was there is as it was, and nothing is beside it."""
    target = source.parent / "out.onnx"
    target.write_text("precious")
    before = sorted(p.name for p in source.parent.iterdir())
    code, error = run(["convert", str(source), str(target), "--no-verify", "--overwrite", *more])
    assert target.read_text() == "precious"
    assert sorted(p.name for p in source.parent.iterdir()) == before
    return code, error


def dense(width: int = 4) -> Any:
    return keras.Sequential([keras.Input((width,), name="x"), keras.layers.Dense(3, name="dense")])


@pytest.fixture(params=[".keras", ".h5"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"net{request.param}"
    dense(64).save(path)
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "net.keras"
    dense(64).save(path)
    return path


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The archive with its members changed."""
    with zipfile.ZipFile(path) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return path


def reconfigured(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The archive with the description of its model changed."""

    def changed(members: dict[str, bytes]) -> None:
        config = json.loads(members["config.json"])
        change(config)
        members["config.json"] = json.dumps(config).encode()

    return rewritten(path, changed)


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file(share: float, saved: Path) -> None:
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(len(whole) * share)])
    code, error = refused(saved)
    assert code == 2, error
    assert saved.name in error


def test_a_file_that_is_none(saved: Path) -> None:
    saved.write_bytes(b"this is not a model\n" * 40)
    code, error = refused(saved)
    assert code == 2
    assert saved.name in error


@pytest.mark.parametrize("text", [b"{", b"[]", b"null", b'{"class_name": "Dense"}', b"{}", b"[" * 100_000])
def test_a_description_that_makes_no_sense(text: bytes, archive: Path) -> None:
    code, error = refused(rewritten(archive, lambda members: members.update({"config.json": text})))
    assert code == 2, error
    assert "defect" not in error


@pytest.mark.parametrize("member", ["config.json", "metadata.json", "model.weights.h5"])
def test_a_member_that_is_missing(member: str, archive: Path) -> None:
    code, error = refused(rewritten(archive, lambda members: members.pop(member)))
    assert code == 2, error
    assert "net.keras" in error


def test_weights_that_are_cut_off(archive: Path) -> None:
    code, error = refused(rewritten(archive, lambda m: m.update({"model.weights.h5": m["model.weights.h5"][:-600]})))
    assert code == 2, error


def test_weights_of_another_shape(archive: Path) -> None:
    def changed(config: dict[str, Any]) -> None:
        config["config"]["layers"][1]["config"]["units"] = 5

    code, error = refused(reconfigured(archive, changed))
    assert code == 2, error
    assert "net.keras" in error


def test_weights_without_their_model(tmp_path: Path) -> None:
    path = tmp_path / "net.weights.h5"
    dense().save_weights(path)
    code, error = refused(path)
    assert code == 2
    assert "weights only" in error


@pytest.mark.parametrize("name", ["../outside.txt", "/outside.txt", "a/../../outside.txt", "..\\outside.txt"])
def test_members_outside_of_the_archive(name: str, archive: Path) -> None:
    code, error = refused(rewritten(archive, lambda members: members.update({name: b"text"})))
    assert code == 6
    assert "outside" in error


def test_a_member_that_is_a_link(archive: Path) -> None:
    link = zipfile.ZipInfo("assets/vocabulary.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(link, "/etc/passwd")
    assert refused(archive)[0] == 6


def test_a_member_that_comes_twice(archive: Path) -> None:
    with zipfile.ZipFile(archive, "a") as opened, pytest.warns(UserWarning, match="Duplicate"):
        opened.writestr("config.json", "{}")
    assert refused(archive)[0] == 6


def test_an_archive_that_explodes(archive: Path) -> None:
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("assets/bomb", b"\0" * (64 << 20))
    code, error = refused(archive)
    assert code == 6
    assert "claims" in error


def with_weights(path: Path, change: Callable[[Any], None]) -> Path:
    """An HDF5 file, or that of an archive, changed."""
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    def changed(members: dict[str, bytes]) -> None:
        buffer = io.BytesIO(members["model.weights.h5"])
        with h5py.File(buffer, "r+") as file:
            change(file)
        members["model.weights.h5"] = buffer.getvalue()

    return rewritten(path, changed)


def test_links_to_other_files(saved: Path) -> None:
    def linked(file: Any) -> None:
        file["elsewhere"] = h5py.ExternalLink("/etc/other.h5", "/data")

    code, error = refused(with_weights(saved, linked))
    assert code == 6
    assert "another file" in error


def test_values_in_other_files(saved: Path) -> None:
    def moved(file: Any) -> None:
        file.create_dataset("elsewhere", (4,), "f4", external=[("/etc/hostname", 0, 16)])

    assert refused(with_weights(saved, moved))[0] == 6


def test_weights_that_explode(saved: Path) -> None:
    def bomb(file: Any) -> None:
        file.create_dataset("bomb", (1 << 20, 1 << 20), "f4", chunks=(1 << 10, 1 << 10))

    assert refused(with_weights(saved, bomb))[0] == 6


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_lambda_layers_are_code(suffix: str, tmp_path: Path) -> None:
    x = keras.Input((3,), name="x")
    layer = keras.layers.Lambda(lambda t: t * 2 + 1, name="affine", output_shape=(3,))
    keras.Model(x, layer(x)).save(tmp_path / f"net{suffix}")
    code, error = refused(tmp_path / f"net{suffix}")
    assert code == 6
    assert "affine" in error and "--trust-pickle" in error
    assert run(["inspect", str(tmp_path / f"net{suffix}")])[0] == 6
    code, error = run(["convert", str(tmp_path / f"net{suffix}"), str(tmp_path / "ok.onnx"), "--trust-pickle"])
    assert code == 0, error


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_custom_objects_are_named_and_given(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "isthmus_custom_layers.py").write_text(CUSTOM, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    import isthmus_custom_layers as custom

    x = keras.Input((3,), name="x")
    sharp = keras.layers.Dense(3, activation=custom.sharp)(custom.Twice(name="twice")(x))
    path = tmp_path / f"net{suffix}"
    keras.Model(x, sharp).save(path)
    code, error = refused(path)
    assert code == 6
    assert "Twice" in error and "sharp" in error and "--custom-objects" in error
    named = [f"--custom-objects=isthmus_custom_layers:{name}" for name in ("Twice", "sharp")]
    code, error = refused(path, named[0])
    assert code == 6
    assert "sharp" in error and "Twice" not in error
    code, error = refused(path, "--custom-objects", "isthmus_custom_layers:Thrice")
    assert code == 2
    assert "Thrice" in error
    code, error = run(["convert", str(path), str(tmp_path / "ok.onnx"), *named])
    assert code == 0, error


@pytest.mark.parametrize(
    "described",
    [
        {"module": "os", "class_name": "system", "config": {}, "registered_name": None},
        {"module": "builtins", "class_name": "function", "config": "eval", "registered_name": "function"},
        {"module": "keras.utils", "class_name": "get_file", "config": {"origin": "file:///etc/passwd"}},
    ],
)
def test_descriptions_that_name_other_code(described: dict[str, Any], archive: Path) -> None:
    def changed(config: dict[str, Any]) -> None:
        config["config"]["layers"][1]["config"]["activation"] = described

    code, error = refused(reconfigured(archive, changed))
    assert code in (2, 6), error
    assert "defect" not in error


def test_vocabularies_are_not_read_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret\n")
    lookup = keras.layers.StringLookup(vocabulary=["a", "b"], name="lookup")
    keras.Sequential([keras.Input((1,), dtype="string"), lookup]).save(tmp_path / "net.keras")

    def changed(config: dict[str, Any]) -> None:
        config["config"]["layers"][1]["config"]["vocabulary"] = str(tmp_path / "secret.txt")

    code, error = refused(reconfigured(tmp_path / "net.keras", changed))
    assert code == 6, error
    assert "secret.txt" in error


def test_models_of_text_alone_are_refused_or_right(tmp_path: Path) -> None:
    lookup = keras.layers.StringLookup(vocabulary=["a", "b"], invert=True, name="lookup")
    keras.Sequential([keras.Input((2,), dtype="int64"), lookup]).save(tmp_path / "net.keras")
    code, error = run(["convert", str(tmp_path / "net.keras"), str(tmp_path / "ok.onnx")])
    assert code == 0, error


def test_inputs_that_do_not_fit(archive: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.ones((2, 5), np.float32))
    code, error = run(["convert", str(archive), str(tmp_path / "ok.onnx"), "--inputs", str(tmp_path / "data.npz")])
    assert code == 2
    assert "shape" in error
    assert not (tmp_path / "ok.onnx").exists()


def test_custom_objects_of_keras_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tf_keras = pytest.importorskip("tf_keras")
    monkeypatch.syspath_prepend(tmp_path)
    text = "import tensorflow as tf\n\n\ndef sharp(x):\n    return x * tf.sigmoid(3 * x)\n"
    (tmp_path / "isthmus_custom_functions.py").write_text(text, encoding="utf-8")
    import isthmus_custom_functions as custom

    path = tmp_path / "net.h5"
    layers = [tf_keras.layers.InputLayer((3,)), tf_keras.layers.Dense(2, activation=custom.sharp)]
    tf_keras.Sequential(layers).save(path)
    code, error = refused(path)
    assert code == 6, error
    assert "sharp" in error and "--custom-objects" in error
    line = ["convert", str(path), str(tmp_path / "ok.onnx"), "--custom-objects", "isthmus_custom_functions:sharp"]
    code, error = run([*line, "--no-verify"])
    assert code == 0, error
