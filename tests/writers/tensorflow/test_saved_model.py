"""A SavedModel as written: loads with TensorFlow alone, by the source's names, and holds nothing of this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest

tf = pytest.importorskip("tensorflow")

from hubs import hub, lazy_chain, run_alone, scaled_difference  # noqa: E402

from isthmus.lower.contract import Lowerings, merge  # noqa: E402
from isthmus.readers.onnx import read_onnx  # noqa: E402
from isthmus.types import Options  # noqa: E402
from isthmus.writers.tensorflow import parameters, record, write_saved_model  # noqa: E402
from isthmus.writers.tensorflow.saved_model import RECORD  # noqa: E402

pytestmark = pytest.mark.tensorflow

LOAD = """
    import tensorflow as tf
    A, B = tf.constant([[1., 2.], [3., 4.]]), tf.constant([[1, 0], [0, 1]])
    loaded = tf.saved_model.load(folder)
    call = loaded.signatures["serving_default"]
    first, second, output = {names!r}
    assert set(call.structured_input_signature[1]) == {{first, second}}, call.structured_input_signature
    assert call.structured_input_signature[1][second].dtype == tf.int32
    assert list(call.structured_outputs) == [output]
    made = call(**{{first: A, second: B}})
    assert made[output].numpy().tolist() == [[1, 4], [6, 7]], made
    assert loaded(A, B)[output].numpy().tolist() == [[1, 4], [6, 7]]
"""
LOAD_V1 = """
    import tensorflow as tf
    first, second, output = {names!r}
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        signature = tf.compat.v1.saved_model.loader.load(session, ["serve"], folder).signature_def["serving_default"]
        assert set(signature.inputs) == {{first, second}} and list(signature.outputs) == [output], signature
        feeds = {{signature.inputs[first].name: [[1, 2], [3, 4]], signature.inputs[second].name: [[1, 0], [0, 1]]}}
        assert session.run(signature.outputs[output].name, feeds).tolist() == [[1, 4], [6, 7]]
"""
SHAPES = ((96, 96), (96, 64))
NAMES = [
    ("x", "y", "z"),
    ("y", "x", "z"),
    ("x:0", "0", "gpu_0/out"),
    ("X", "x", "Y"),
    ("größe", "入力", "é b"),
    ("z.b", "a.b", "out.0"),
]


def test_names_survive_in_a_process_that_has_only_tensorflow(tmp_path: Path) -> None:
    """All spellings in one process: starting TensorFlow takes longer than the rest."""
    code = "import os\nroot = folder\n"
    for index, names in enumerate(NAMES):
        write_saved_model(scaled_difference(*names), tmp_path / str(index))
        code += f"folder = os.path.join(root, '{index}')\n" + _dedent(LOAD).format(names=names)
        code += _dedent(LOAD_V1).format(names=names)
    assert run_alone(code + "print('done')", tmp_path) == "done\n"


def _dedent(text: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in text.splitlines()) + "\n"


def test_names_that_tensorflow_cannot_tell_apart(tmp_path: Path) -> None:
    names = ("x:0", "x_0", "y")
    write_saved_model(scaled_difference(*names), tmp_path / "m")
    run_alone(_dedent(LOAD_V1).format(names=names), tmp_path / "m")  # the signature itself has them all
    assert json.loads((tmp_path / "m" / RECORD).read_text())["keywords"] == {"x:0": "x:0_1"}
    loaded = tf.saved_model.load(str(tmp_path / "m")).signatures["serving_default"]
    made = loaded(**{"x:0_1": tf.constant([[1.0, 2.0]]), "x_0": tf.constant([[1, 0]])})
    assert made["y"].numpy().tolist() == [[1, 4]]


@pytest.mark.parametrize("inline", [0, 1 << 30], ids=["streamed", "inline"])
@pytest.mark.parametrize("frozen", [0, 40_000, 1 << 30], ids=["variables", "mixed", "constants"])
def test_weights_arrive_whichever_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inline: int, frozen: int
) -> None:
    weights = [np.random.default_rng(i).standard_normal(s).astype(np.float32) for i, s in enumerate(SHAPES)]
    monkeypatch.setattr(parameters, "INLINE_LIMIT", inline)
    monkeypatch.setattr(parameters, "FREEZE_LIMIT", frozen)
    live = write_saved_model(lazy_chain([96, 96, 64], weights.__getitem__), tmp_path / "m")
    expected = {0: {"layers.0.weight", "layers.1.weight"}, 40_000: {"layers.0.weight"}, 1 << 30: set()}[frozen]
    assert set(live.parameters) == expected
    x = np.random.default_rng(9).standard_normal((3, 96)).astype(np.float32)
    loaded = tf.saved_model.load(str(tmp_path / "m"))
    for made in (live(x), loaded.signatures["serving_default"](x=tf.constant(x)), loaded(tf.constant(x))):
        np.testing.assert_allclose(made["y"].numpy(), x @ weights[0] @ weights[1], rtol=1e-4, atol=1e-4)
    assert set(loaded.parameters) == expected
    nodes = {n.name: n for n in _model_function(tmp_path / "m").node_def}
    for index in range(2):
        name = f"layers.{index}.weight"
        if name not in expected:
            content = nodes[name].attr["value"].tensor
            np.testing.assert_array_equal(tf.make_ndarray(content), weights[index])
    written = json.loads((tmp_path / "m" / RECORD).read_text())
    assert {n for n, w in written["weights"].items() if "variable" in w} == expected
    assert written["weights"]["layers.1.weight"].get("nodes", ["__inference_model/layers.1.weight"]) == [
        "__inference_model/layers.1.weight"
    ]


def _model_function(folder: Path) -> Any:
    from tensorflow.core.protobuf import saved_model_pb2

    proto = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    functions = proto.meta_graphs[0].graph_def.library.function
    return next(f for f in functions if f.signature.name == "__inference_model")


def test_the_same_model_gives_the_same_bytes_and_nothing_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parameters, "FREEZE_LIMIT", 40_000)
    weights = [np.full(s, 0.01, np.float32) for s in SHAPES]
    for name in ("a", "b"):
        write_saved_model(lazy_chain([96, 96, 64], weights.__getitem__), tmp_path / name)
    files = {p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file()}
    assert {str(f) for f in files} >= {"saved_model.pb", RECORD, "variables/variables.index"}
    for file in files:
        held = (tmp_path / "a" / file).read_bytes()
        assert held == (tmp_path / "b" / file).read_bytes(), file
        for secret in (tmp_path, Path.home() / "", Path(__file__).parents[3], Path(tf.__file__).parent):
            assert str(secret).encode() not in held or str(secret) == "/"
        assert b".py" not in held


@pytest.mark.parametrize("trainable", [False, True])
def test_gradients_of_our_own_survive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainable: bool) -> None:
    """A custom gradient is a function of its own, which takes tensors out of the model's, weights among them."""
    table = Lowerings()

    @table.lower("MatMul")
    def matmul(a: Any, b: Any) -> Any:
        def doubled(upstream: Any) -> tuple[Any, Any]:
            return 2 * tf.matmul(upstream, b, transpose_b=True), 2 * tf.matmul(a, upstream, transpose_a=True)

        return tf.custom_gradient(lambda a, b: (tf.matmul(a, b), doubled))(a, b)

    monkeypatch.setattr(record, "LOWERINGS", {**record.LOWERINGS, **merge(table)})
    monkeypatch.setattr(parameters, "INLINE_LIMIT", 0)
    weights = [np.random.default_rng(i).standard_normal(s).astype(np.float32) for i, s in enumerate(SHAPES)]
    for name in ("a", "b"):
        model = lazy_chain([96, 96, 64], weights.__getitem__)
        write_saved_model(model, tmp_path / name, options=Options(trainable=trainable))
    held = [(tmp_path / name / "saved_model.pb").read_bytes() for name in ("a", "b")]
    assert held[0] == held[1]
    loaded = tf.saved_model.load(str(tmp_path / "a"))
    x = tf.ones([2, 96])
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(loaded(x)["y"])
    gradients = tape.gradient(total, [x, *loaded.trainable_variables])
    assert len(gradients) == 1 + 2 * trainable
    expected = np.ones((2, 64)) @ weights[1].T @ weights[0].T
    np.testing.assert_allclose(gradients[0].numpy(), 4 * expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "dtype", ["float64", "float16", "bfloat16", "float8_e4m3fn", "int8", "uint16", "int64", "bool", "complex64"]
)
def test_streamed_weights_of_every_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    monkeypatch.setattr(parameters, "INLINE_LIMIT", 0)
    array = np.random.default_rng(0).integers(0, 2, (64, 70)).astype(np.dtype(getattr(ml_dtypes, dtype, dtype)))
    held = ir.Value(name="w", const_value=ir.tensor(array), shape=ir.Shape(array.shape))
    held.type = ir.TensorType(ir.tensor(array).dtype)
    node = ir.node("Identity", [held])
    out = node.outputs[0]
    out.name, out.type, out.shape = "y", held.type, held.shape
    graph = ir.Graph([], [out], nodes=[node], initializers=[held], opset_imports={"": 21}, name="g")
    write_saved_model(read_onnx(ir.Model(graph, ir_version=10)), tmp_path / "m")
    nodes = [n.op for n in _model_function(tmp_path / "m").node_def]
    assert nodes.count("Const") == 1 and "Placeholder" not in nodes
    made = tf.saved_model.load(str(tmp_path / "m")).signatures["serving_default"]()["y"].numpy()
    assert made.dtype == array.dtype and made.tobytes() == array.tobytes()


def test_odd_signatures_are_saved(tmp_path: Path) -> None:
    texts = {
        "none": "g () => (float[2] y) { y = Constant <value_floats = [1.0, 2.0]> () }",
        "text": "g (string[n] x) => (string[n] y) { y = Identity (x) }",
        "scalar": "g (float x) => (float x, float y) { y = Relu (x) }",
        "half": "g (bfloat16[n] x) => (bfloat16[n] y) { y = Identity (x) }",
    }
    for name, text in texts.items():
        write_saved_model(hub(f'<ir_version: 10, opset_import: ["" : 20]> {text}'), tmp_path / name)
    load = {name: tf.saved_model.load(str(tmp_path / name)).signatures["serving_default"] for name in texts}
    assert load["none"]()["y"].numpy().tolist() == [1, 2]
    assert load["text"](x=tf.constant(["é", ""]))["y"].numpy().tolist() == ["é".encode(), b""]
    assert {k: float(v) for k, v in load["scalar"](x=tf.constant(-3.0)).items()} == {"x": -3, "y": 0}
    assert load["half"](x=tf.constant([1.5], tf.bfloat16))["y"].dtype == tf.bfloat16


def test_weights_of_a_loop_stand_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A weight that both branches use is one constant, outside of them."""
    monkeypatch.setattr(parameters, "INLINE_LIMIT", 0)
    row = ", ".join(["0.5"] * 2048)
    model = hub(
        f"""
        <ir_version: 10, opset_import: ["" : 20]>
        g (bool c, float[2048] x) => (float[2048] y) <float[2048] w = {{{row}}}>
        {{
            y = If (c) <then_branch = t () => (float[2048] a) {{ a = Add (x, w) }},
                        else_branch = e () => (float[2048] b) {{ b = Mul (x, w) }}>
        }}
        """
    )
    write_saved_model(model, tmp_path / "m")
    assert (tmp_path / "m/saved_model.pb").stat().st_size < 2 * 8192 + 60_000
    call = tf.saved_model.load(str(tmp_path / "m")).signatures["serving_default"]
    x = tf.fill([2048], 4.0)
    assert [float(call(c=tf.constant(c), x=x)["y"][7]) for c in (True, False)] == [4.5, 2.0]
    assert json.loads((tmp_path / "m" / RECORD).read_text())["weights"]["w"]["nodes"] == ["__inference_model/w"]
