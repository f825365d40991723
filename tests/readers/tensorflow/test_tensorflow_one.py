"""What TensorFlow 1 saved: frozen graphs, meta graphs with their checkpoints, SavedModels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from reading import assert_equal, run_hub

import isthmus
from isthmus.errors import InvalidModel, Unsupported, UsageError
from isthmus.hub.model import Hub
from isthmus.readers.tensorflow import read_tensorflow
from isthmus.types import Options

pytestmark = pytest.mark.tensorflow

v1 = tf.compat.v1
X = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)


def net(*, is_resource: bool = True, with_table: bool = False) -> tuple[Any, Any]:
    """A small classifier: a trained and a fixed variable, an input whose batch is free."""
    x = v1.placeholder(tf.float32, [None, 4], name="features")
    with v1.variable_scope("dense"):
        kernel = v1.get_variable(
            "kernel", initializer=tf.constant(np.arange(12, dtype=np.float32).reshape(4, 3)), use_resource=is_resource
        )
        bias = v1.get_variable(
            "bias", initializer=tf.constant([1.0, 2.0, 3.0]), trainable=False, use_resource=is_resource
        )
    y = tf.nn.softmax(tf.matmul(x, kernel) / 9.0 + bias, name="scores")
    if with_table:
        table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(np.arange(3), np.asarray([7, 5, 6])), -1
        )
        return x, {"scores": y, "label": table.lookup(tf.argmax(y, 1))}
    return x, {"scores": y}


def expected(x: np.ndarray) -> np.ndarray:
    total = x @ np.arange(12, dtype=np.float32).reshape(4, 3) / 9 + np.asarray([1, 2, 3], np.float32)
    return tf.nn.softmax(total).numpy()


def signature(hub: Hub) -> tuple[list[str], list[str]]:
    return [str(i) for i in hub.signature.inputs], [o.name for o in hub.signature.outputs]


def frozen(folder: Path) -> Path:
    with tf.Graph().as_default() as graph, v1.Session() as session:
        net(is_resource=False)
        v1.placeholder(tf.float32, name="unused")
        session.run(v1.global_variables_initializer())
        proto = v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ["scores"])
    (folder / "net.pb").write_bytes(proto.SerializeToString())
    return folder / "net.pb"


def saved(folder: Path, *, is_resource: bool = True, with_table: bool = False, **signatures: Any) -> Path:
    with tf.Graph().as_default(), v1.Session() as session:
        x, outputs = net(is_resource=is_resource, with_table=with_table)
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        builder = v1.saved_model.Builder(str(folder / "net"))
        told = v1.saved_model.predict_signature_def({"x": x}, outputs)
        keys = signatures.get("keys", ("serving_default",))
        builder.add_meta_graph_and_variables(
            session, ["serve"], dict.fromkeys(keys, told), main_op=v1.tables_initializer()
        )
        builder.save()
    return folder / "net"


def checkpoint(folder: Path, *, is_resource: bool = True) -> Path:
    with tf.Graph().as_default(), v1.Session() as session:
        net(is_resource=is_resource)
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(folder / "net"))
    return folder / "net.meta"


def test_a_frozen_graph_shows_its_ports(tmp_path: Path) -> None:
    hub = read_tensorflow(frozen(tmp_path))
    assert signature(hub) == (["features: float32[batch, 4]"], ["scores"])
    np.testing.assert_allclose(run_hub(hub, X)[0], expected(X), rtol=1e-5)


def test_ports_that_the_user_names(tmp_path: Path) -> None:
    hub = read_tensorflow(frozen(tmp_path), options=Options(signature="features:0->truediv,scores:0"))
    assert signature(hub) == (["features: float32[batch, 4]"], ["truediv", "scores"])


def test_an_input_in_the_midst_of_a_graph(tmp_path: Path) -> None:
    hub = read_tensorflow(frozen(tmp_path), options=Options(signature="truediv:0->scores:0"))
    assert [i.name for i in hub.signature.inputs] == ["truediv"]
    given = np.zeros((2, 3), np.float32)
    np.testing.assert_allclose(run_hub(hub, given)[0], tf.nn.softmax(given + np.float32([1, 2, 3])), rtol=1e-5)


@pytest.mark.parametrize("make", [frozen, checkpoint, lambda folder: saved(folder, with_table=True)])
def test_each_is_judged_by_a_session(make: Any, tmp_path: Path) -> None:
    conversion = isthmus.convert(make(tmp_path), tmp_path / "net.onnx")
    assert conversion, conversion.verdict
    assert conversion.verdict is not None
    assert len({sample.sizes["batch"] for sample in conversion.verdict.samples}) > 1


@pytest.mark.parametrize("is_resource", [True, False])
def test_a_meta_graph_and_its_checkpoint(is_resource: bool, tmp_path: Path) -> None:
    path = checkpoint(tmp_path, is_resource=is_resource)
    hub = read_tensorflow(path)
    weights = {name: value for name, value in hub.graph.initializers.items() if name.startswith("dense")}
    assert set(weights) == {"dense/kernel", "dense/bias"}
    roles = {name: value.metadata_props["isthmus.role"] for name, value in weights.items()}
    assert roles == {"dense/kernel": "parameter", "dense/bias": "buffer"}
    np.testing.assert_allclose(run_hub(hub, X)[0], expected(X), rtol=1e-5)


@pytest.mark.parametrize("is_resource", [True, False])
def test_a_saved_model(is_resource: bool, tmp_path: Path) -> None:
    path = saved(tmp_path, is_resource=is_resource)
    hub = read_tensorflow(path)
    assert signature(hub) == (["x: float32[batch, 4]"], ["scores"])
    assert {"dense/kernel", "dense/bias"} <= set(hub.graph.initializers)
    np.testing.assert_allclose(run_hub(hub, X)[0], expected(X), rtol=1e-5)


def test_a_table_of_a_saved_model(tmp_path: Path) -> None:
    path = saved(tmp_path, with_table=True)
    hub = read_tensorflow(path)
    label, scores = run_hub(hub, X)
    assert [o.name for o in hub.signature.outputs] == ["label", "scores"]
    assert_equal(label, np.asarray([7, 5, 6])[scores.argmax(1)], 0, 0)


def test_signatures_by_name(tmp_path: Path) -> None:
    path = saved(tmp_path, keys=("first", "second"))
    with pytest.raises(UsageError, match="second"):
        read_tensorflow(path)
    assert signature(read_tensorflow(path, options=Options(signature="second")))[1] == ["scores"]


def test_to_pytorch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    model = isthmus.convert(saved(tmp_path), to="torch", options=Options(verify=False)).model
    np.testing.assert_allclose(model(torch.from_numpy(X)).detach().numpy(), expected(X), rtol=1e-5)
    assert len(list(model.parameters())) == 1


def test_a_checkpoint_that_lacks_a_variable(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    for part in tmp_path.glob("net.data*"):
        part.unlink()
    (tmp_path / "net.index").unlink()
    with pytest.raises(InvalidModel, match="without its variables"):
        read_tensorflow(path)


def test_a_damaged_graph(tmp_path: Path) -> None:
    path = frozen(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InvalidModel, match="cut off"):
        read_tensorflow(path)


def test_names_that_the_graph_has_not(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        read_tensorflow(frozen(tmp_path), options=Options(signature="features->nowhere"))


def test_all_that_cannot_be_carried_is_told_at_once(tmp_path: Path) -> None:
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [4], name="x")
        image = tf.io.encode_jpeg(tf.cast(tf.reshape(x, [2, 2, 1]), tf.uint8))
        tf.strings.length(tf.io.encode_base64(image), name="length")
        logarithm = tf.raw_ops.MatrixLogarithm(input=tf.complex(tf.reshape(x, [2, 2]), 0.0))
        tf.math.real(logarithm, name="other")
        (tmp_path / "net.pb").write_bytes(graph.as_graph_def().SerializeToString())
    with pytest.raises(Unsupported) as raised:
        read_tensorflow(tmp_path / "net.pb")
    assert {blocker.op for blocker in raised.value.blockers} >= {"EncodeJpeg", "MatrixLogarithm"}
