"""SavedModels and graphs that are damaged, hostile or beyond ONNX: refused with their exit code, nothing written."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from isthmus.cli.main import main

pytestmark = pytest.mark.tensorflow

v1 = tf.compat.v1


class Scores(tf.Module):
    """A variable, a function with a signature, one that has none."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = tf.Variable(np.arange(512, dtype=np.float32).reshape(2, 256), name="weight")

    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32, name="x")])
    def score(self, x: Any) -> Any:
        return {"y": tf.matmul(x, self.weight)}


def refused(source: Path, *more: str) -> tuple[int, str]:
    """Exit code and message; the target that was there is as it was, and nothing is beside it."""
    target = source.parent / "out.onnx"
    target.write_text("precious")
    before = sorted(p.name for p in source.parent.iterdir())
    code, error = _run(["convert", str(source), str(target), "--no-verify", "--overwrite", *more])
    assert target.read_text() == "precious"
    assert sorted(p.name for p in source.parent.iterdir()) == before
    return code, error


def _run(line: list[str]) -> tuple[int, str]:
    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
        code = main(line)
    return code, told.getvalue()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    module = Scores()
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"serving_default": module.score})
    return tmp_path / "model"


def edited(folder: Path, change: Callable[[Any], None]) -> Path:
    """The SavedModel with its description changed."""
    proto = saved_model_pb2.SavedModel()
    proto.ParseFromString((folder / "saved_model.pb").read_bytes())
    change(proto.meta_graphs[0])
    (folder / "saved_model.pb").write_bytes(proto.SerializeToString())
    return folder


def cut(path: Path, share: float) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_a_truncated_description(share: float, saved: Path) -> None:
    cut(saved / "saved_model.pb", share)
    code, error = refused(saved)
    assert code == 2, error
    assert "model" in error


def test_a_description_that_is_none(saved: Path) -> None:
    (saved / "saved_model.pb").write_bytes(b"this is not a model\n" * 20)
    assert refused(saved)[0] == 2


@pytest.mark.parametrize("name", ["variables.index", "variables.data-00000-of-00001"])
@pytest.mark.parametrize("share", [None, 0, 0.5])
def test_variables_that_are_missing_or_cut_off(name: str, share: float | None, saved: Path) -> None:
    path = saved / "variables" / name
    if share is None:
        path.unlink()
    else:
        cut(path, share)
    code, error = refused(saved)
    assert code == 2, error
    assert "model" in error and "defect" not in error


def test_a_model_without_signatures_offers_its_functions(tmp_path: Path) -> None:
    tf.saved_model.save(Scores(), str(tmp_path / "bare"), signatures={})
    code, error = refused(tmp_path / "bare")
    assert code == 2
    assert "no signature" in error and "functions score" in error and "--signature" in error
    code, error = refused(tmp_path / "bare", "--signature", "scores")
    assert code == 2
    assert "no signature 'scores'" in error and "functions score" in error


def test_a_signature_that_is_not_there(saved: Path) -> None:
    for verb in (["inspect"], ["check", "--to", "onnx"]):
        code, error = _run([verb[0], str(saved), *verb[1:], "--signature", "train"])
        assert code == 2
        assert "'train'" in error and "serving_default" in error
    assert refused(saved, "--signature", "train")[0] == 2


@pytest.mark.parametrize(
    ("shapes", "complaint"),
    [
        ("x:[batch,3]", "axis 1 of input 'x' is 2"),
        ("x:[2]", "has 2 dimensions"),
        ("z:[2,2]", "'z'"),
        ("x:[2,2]:int64", "int64"),
    ],
)
def test_shapes_that_do_not_fit(shapes: str, complaint: str, saved: Path) -> None:
    code, error = refused(saved, "--input-shapes", shapes)
    assert code == 2
    assert complaint in error


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert refused(tmp_path / "folder")[0] == 2


def frozen(path: Path, build: Callable[[], Any], change: Callable[[Any], None] = lambda graph: None) -> Path:
    with tf.Graph().as_default() as graph:
        build()
    proto = graph.as_graph_def()
    change(proto)
    path.write_bytes(proto.SerializeToString())
    return path


def foreign(graph: Any) -> None:
    """Three nodes of two operators that no TensorFlow has."""
    for name, op in (("a", "FlexDelegate"), ("b", "TPUSecret"), ("c", "FlexDelegate")):
        graph.node.add(name=name, op=op, input=["x"])


def test_operators_of_other_libraries_are_named_all_at_once(tmp_path: Path, saved: Path) -> None:
    path = frozen(
        tmp_path / "g.pb", lambda: tf.identity(v1.placeholder(tf.float32, [2], name="x"), name="y"), foreign
    )
    for source in (path, edited(saved, lambda meta: foreign(meta.graph_def))):
        code, error = refused(source)
        assert code == 3
        assert "FlexDelegate (×2)" in error and "TPUSecret" in error


def test_operators_beyond_onnx_are_named_all_at_once(tmp_path: Path) -> None:
    def build() -> None:
        x = v1.placeholder(tf.string, [None], name="x")
        decoded = tf.io.decode_raw(x, tf.uint8)
        tf.stack([tf.size(tf.io.parse_tensor(x[0], tf.float32)), tf.size(decoded)], name="y")

    path = frozen(tmp_path / "g.pb", build)
    code, error = refused(path)
    assert code == 3
    assert "ParseTensor" in error and "DecodeRaw" in error
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        assert main(["check", str(path), "--to", "torch", "--json"]) == 3
    support = json.loads(told.getvalue())
    assert not support["supported"]
    assert {blocker["op"] for blocker in support["blockers"]} == {"ParseTensor", "DecodeRaw"}


@pytest.mark.parametrize("share", [0.3, 0.99])
def test_a_truncated_graph(share: float, tmp_path: Path) -> None:
    path = frozen(tmp_path / "g.pb", lambda: tf.add(v1.placeholder(tf.float32, [2], name="x"), 1.0, name="y"))
    cut(path, share)
    assert refused(path)[0] == 2


def test_a_graph_with_a_loose_end(tmp_path: Path) -> None:
    def build() -> None:
        tf.add(v1.placeholder(tf.float32, [2], name="x"), 1.0, name="y")

    path = frozen(tmp_path / "g.pb", build, lambda graph: graph.node.add(name="z", op="Neg", input=["nowhere"]))
    code, error = refused(path)
    assert code == 2
    assert "nowhere" in error


def test_tensors_that_are_not_there(tmp_path: Path) -> None:
    path = frozen(tmp_path / "g.pb", lambda: tf.add(v1.placeholder(tf.float32, [2], name="x"), 1.0, name="y"))
    code, error = refused(path, "--signature", "x:0->nowhere:0")
    assert code == 2
    assert "nowhere" in error


@pytest.mark.parametrize("wrap", [tf.numpy_function, tf.py_function])
def test_functions_of_python(wrap: Any, tmp_path: Path) -> None:
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec((2,), tf.float32, name="x")])
    def called(x: Any) -> Any:
        return tf.ensure_shape(wrap(lambda a: a, [x], tf.float32), (2,))

    module.called = called
    tf.saved_model.save(module, str(tmp_path / "python"), signatures=called)
    code, error = refused(tmp_path / "python")
    assert code == 3
    assert "PyFunc" in error


def save_reading(folder: Path, name: str) -> Path:
    """A model whose answer is what a file holds."""
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec((), tf.float32, name="x")])
    def leak(x: Any) -> Any:
        return {"y": x, "file": tf.io.read_file(name)}

    module.leak = leak
    tf.saved_model.save(module, str(folder), signatures=leak)
    return folder


def test_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    code, error = refused(save_reading(tmp_path / "model", str(tmp_path / "secret.txt")))
    assert code == 6
    assert "ReadFile" in error and "--trust-pickle" in error


def test_files_of_a_live_model_are_not_taken_for_constants(tmp_path: Path) -> None:
    from isthmus.errors import Unsupported
    from isthmus.readers.tensorflow import read_tensorflow

    (tmp_path / "secret.txt").write_text("secret")
    function = tf.function(lambda x: (x, tf.io.read_file(str(tmp_path / "secret.txt"))))
    with pytest.raises(Unsupported, match="ReadFile"):
        read_tensorflow(function.get_concrete_function(tf.TensorSpec((), tf.float32)))


def test_files_are_not_written(tmp_path: Path) -> None:
    def build() -> None:
        x = v1.placeholder(tf.float32, [2], name="x")
        with tf.control_dependencies([tf.io.write_file(str(tmp_path / "written"), "text")]):
            tf.identity(x, name="y")

    path = frozen(tmp_path / "g.pb", build)
    code, error = refused(path)
    assert code == 6
    assert "WriteFile" in error
    assert _run(["verify", str(path), str(path)])[0] == 6
    assert not (tmp_path / "written").exists()


def with_table(folder: Path, vocabulary: Path) -> Path:
    module = tf.Module()
    initializer = tf.lookup.TextFileInitializer(
        str(vocabulary), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
    )
    module.table = tf.lookup.StaticHashTable(initializer, -1)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="word")])
    def number(word: Any) -> Any:
        return module.table.lookup(word)

    module.number = number
    tf.saved_model.save(module, str(folder), signatures=number)
    return folder


def test_a_table_of_the_models_own_file_is_carried(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("a\nb\n")
    folder = with_table(tmp_path / "model", tmp_path / "words.txt")
    (tmp_path / "words.txt").unlink()
    assert _run(["convert", str(folder), str(tmp_path / "out.onnx")]) == (0, "")
    (folder / "assets" / "words.txt").unlink()
    code, error = refused(folder)
    assert code == 2
    assert "words.txt" in error


@pytest.mark.parametrize("place", ["../../secret.txt", "absolute", "link"])
def test_a_table_of_a_file_elsewhere(place: str, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret\n")
    folder = with_table(tmp_path / "model", tmp_path / "secret.txt")
    if place == "link":
        (folder / "assets" / "secret.txt").unlink()
        (folder / "assets" / "secret.txt").symlink_to(tmp_path / "secret.txt")
    else:
        name = str(tmp_path / "secret.txt") if place == "absolute" else place

        def moved(meta: Any) -> None:
            meta.asset_file_def[0].filename = name

        edited(folder, moved)
    code, error = refused(folder)
    assert code == 6, error
    assert "outside" in error


@pytest.mark.parametrize("way", ["RaggedTensorSpec", "SparseTensorSpec"])
def test_inputs_that_are_no_dense_tensors(way: str, tmp_path: Path) -> None:
    module = tf.Module()
    spec = getattr(tf, way)((None, None), tf.float32)
    module.total = tf.function(input_signature=[spec])(
        lambda x: tf.reduce_sum(x.values if way.startswith("Sparse") else x.flat_values)
    )
    tf.saved_model.save(module, str(tmp_path / "model"))
    code, error = refused(tmp_path / "model", "--signature", "total")
    assert code == 3
    assert "no dense tensor" in error


def checkpoint(folder: Path) -> Path:
    """A meta graph with a checkpoint beside it."""
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 2], name="x")
        w = v1.get_variable("w", initializer=np.ones((2, 64), np.float32), use_resource=False)
        tf.matmul(x, w, name="y")
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(folder / "net.ckpt"))
    return folder / "net.ckpt.meta"


@pytest.mark.parametrize("missing", ["net.ckpt.index", "net.ckpt.data-00000-of-00001"])
def test_a_checkpoint_that_is_missing(missing: str, tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    (tmp_path / missing).unlink()
    code, error = refused(path)
    assert code == 2, error
    assert "net.ckpt" in error and "defect" not in error


def test_a_checkpoint_by_any_name(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    for source in (path, tmp_path, tmp_path / "net.ckpt", tmp_path / "net.ckpt.index"):
        assert _run(["inspect", str(source)]) == (0, "")
    path.unlink()
    for source in (path, tmp_path, tmp_path / "net.ckpt", tmp_path / "net.ckpt.index"):
        code, error = refused(source) if source != tmp_path else _run(["inspect", str(source)])
        assert code == 2
        assert "net.ckpt.meta" in error


def test_a_meta_graph_that_is_cut_off(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    cut(path, 0.5)
    assert refused(path)[0] == 2


def test_a_table_that_nothing_fills(tmp_path: Path) -> None:
    def build() -> None:
        x = v1.placeholder(tf.int64, [None], name="x")
        table = tf.raw_ops.HashTableV2(key_dtype=tf.int64, value_dtype=tf.float32, shared_name="never_filled")
        tf.raw_ops.LookupTableFindV2(table_handle=table, keys=x, default_value=0.0, name="y")

    code, error = refused(frozen(tmp_path / "g.pb", build))
    assert code == 3, error
    assert "table" in error
