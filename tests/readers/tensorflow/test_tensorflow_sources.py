"""Every kind of source that TensorFlow and Keras have: opened, named, carried to ONNX and judged."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import keras
import tensorflow as tf

import isthmus
from isthmus.cli.main import main
from isthmus.errors import Unsupported, UsageError
from isthmus.readers.tensorflow import read_tensorflow
from isthmus.types import Options

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras' own, where it saves
]


def names(source: Any, **settings: Any) -> tuple[list[str], list[str]]:
    """What goes in and what comes out, as text."""
    hub = read_tensorflow(source, **settings)
    return [str(spec) for spec in hub.signature.inputs], [str(spec) for spec in hub.signature.outputs]


def carried(source: Any, **settings: Any) -> isthmus.types.Conversion:
    """The source as ONNX: it agrees, at several sizes where any is free."""
    conversion = isthmus.convert(source, to="onnx", **settings)
    assert conversion, conversion.verdict
    return conversion


@pytest.fixture(scope="module")
def net() -> Any:
    """Two inputs in an order that is not the alphabet's, a layer that is used twice, two outputs."""
    image, other = keras.Input((6,), name="zeta"), keras.Input((6,), name="alpha")
    shared = keras.layers.Dense(4, activation="relu", name="shared")
    joined = keras.layers.Add()([shared(image), shared(other)])
    tower = keras.Sequential([keras.layers.Dense(3, name="inner"), keras.layers.Dense(2)], name="tower")
    return keras.Model([image, other], [tower(joined), keras.layers.Dense(5, name="head")(joined)])


def test_a_live_functional_model(net: Any) -> None:
    conversion = carried(net)
    signature = conversion.artifact.signature
    assert [str(i) for i in signature.inputs] == ["zeta: float32[batch, 6]", "alpha: float32[batch, 6]"]
    assert [o.name for o in signature.outputs] == ["tower", "head"]
    assert conversion.verdict is not None
    assert len({sample.sizes["batch"] for sample in conversion.verdict.samples}) > 1


def test_the_weights_keep_the_names_of_keras(net: Any) -> None:
    hub = read_tensorflow(net)
    weights = {variable.path: variable for variable in net.variables}
    held = {name: value for name, value in hub.graph.initializers.items() if name in weights}
    assert set(held) == set(weights)
    for name, value in held.items():
        np.testing.assert_array_equal(value.const_value.numpy(), weights[name].numpy())
    modules = {node.metadata_props.get("isthmus.module") for node in hub.graph}
    assert {"shared", "tower.inner", "head"} <= modules


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_file_of_keras(net: Any, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"net{suffix}"
    net.save(path)
    conversion = carried(path)
    assert [i.name for i in conversion.artifact.signature.inputs] == ["zeta", "alpha"]
    assert [o.name for o in conversion.artifact.signature.outputs] == ["tower", "head"]


def test_a_saved_model_of_keras(net: Any, tmp_path: Path) -> None:
    net.export(tmp_path / "net", verbose=False)
    conversion = carried(tmp_path / "net")
    assert [i.name for i in conversion.artifact.signature.inputs] == ["alpha", "zeta"]
    assert [o.name for o in conversion.artifact.signature.outputs] == ["output_0", "output_1"]
    hub = read_tensorflow(tmp_path / "net")
    assert "shared/kernel" in hub.graph.initializers
    assert "shared" in {node.metadata_props.get("isthmus.module") for node in hub.graph}


def test_dicts_of_inputs_and_outputs() -> None:
    parts = {"b": keras.Input((3,), name="b"), "a": keras.Input((3,), name="a")}
    total = keras.layers.Add()([parts["a"], parts["b"]])
    conversion = carried(keras.Model(parts, {"sum": total, "twice": keras.layers.Add()([total, total])}))
    assert [i.name for i in conversion.artifact.signature.inputs] == ["a", "b"]
    assert [o.name for o in conversion.artifact.signature.outputs] == ["sum", "twice"]


class Subclassed(keras.Model):
    """A model whose shapes nobody knows before it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = [keras.layers.Dense(3, name="block"), keras.layers.Dense(3, name="block")]

    def call(self, x: Any, shift: Any = None, training: bool = False) -> Any:
        for block in self.blocks:
            x = block(x)
        return {"y": x if shift is None else x + shift}


def test_a_subclassed_model_is_told_its_shapes() -> None:
    with pytest.raises(UsageError, match="never called"):
        read_tensorflow(Subclassed())
    x = np.ones((2, 3), np.float32)
    carried(Subclassed(), inputs=(x,))
    conversion = carried(Subclassed(), inputs={"shift": x, "x": 2 * x})
    assert [str(i) for i in conversion.artifact.signature.inputs] == [
        "x: float32[batch, 3]",
        "shift: float32[batch, 3]",
    ]
    called = Subclassed()
    called(x)
    assert names(called) == (["x: float32[batch, 3]"], ["y: float32[batch, 3]"])


def test_layers_of_one_name_have_weights_of_their_own() -> None:
    model = Subclassed()
    model(np.ones((2, 3), np.float32))
    hub = read_tensorflow(model)
    kernels = sorted(name for name in hub.graph.initializers if name.endswith("kernel"))
    assert [name.partition("/")[2] for name in kernels] == ["block/kernel", "block_1/kernel"]


class Module(tf.Module):
    """Functions, a variable without a name, a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = tf.Variable(np.arange(6, dtype=np.float32).reshape(3, 2))
        self.parts = [tf.Variable(np.float32(2)), tf.Variable(np.float32(3))]
        self.shift = tf.constant([1.0, 2.0])

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x")])
    def score(self, x: Any) -> Any:
        return {"y": tf.matmul(x, self.weight) * self.parts[1] + self.shift}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.float32, name="x")])
    def both(self, x: Any) -> Any:
        return x * self.parts[0], [x + 1.0, x]


def test_a_module_offers_its_functions() -> None:
    module = Module()
    with pytest.raises(UsageError, match="both, score"):
        read_tensorflow(module)
    conversion = carried(module, options=Options(signature="score"))
    assert set(conversion.model.graph.initializers) >= {"weight", "parts/1"}
    conversion = carried(module, options=Options(signature="both"))
    assert [o.name for o in conversion.artifact.signature.outputs] == ["output_0", "output_1.0", "output_1.1"]


def test_a_saved_model_without_signatures_offers_its_functions(tmp_path: Path) -> None:
    module = Module()
    tf.saved_model.save(module, str(tmp_path / "m"), signatures={})
    with pytest.raises(UsageError, match="both, score"):
        read_tensorflow(tmp_path / "m")
    conversion = carried(tmp_path / "m", options=Options(signature="both"))
    assert [str(i) for i in conversion.artifact.signature.inputs] == ["x: float32[batch]"]


def test_a_function_that_was_traced_for_several_shapes(tmp_path: Path) -> None:
    module = tf.Module()
    module.twice = tf.function(lambda x: x * 2)
    for shape, dtype in (((2,), tf.float32), ((None, 3), tf.float32), ((None, 3), tf.int32)):
        module.twice.get_concrete_function(tf.TensorSpec(shape, dtype, name="x"))
    tf.saved_model.save(module, str(tmp_path / "m"), signatures={})
    options = Options(signature="twice")
    with pytest.raises(UsageError, match=r"traced for x: float32\[2\]; x: float32\[\?, 3\]; x: int32\[\?, 3\]"):
        read_tensorflow(tmp_path / "m", options=options)
    conversion = carried(tmp_path / "m", options=options, dynamic_shapes={"x": ("rows", 3)})
    assert [str(i) for i in conversion.artifact.signature.inputs] == ["x: float32[rows, 3]"]
    conversion = carried(tmp_path / "m", options=options, inputs={"x": np.ones((2, 3), np.int32)})
    assert [str(i) for i in conversion.artifact.signature.inputs] == ["x: int32[batch, 3]"]
    with pytest.raises(UsageError, match="traced for"):
        read_tensorflow(tmp_path / "m", options=options, inputs={"x": np.ones((3,), np.float32)})


def test_shapes_alone_are_enough() -> None:
    @tf.function
    def scaled(x: Any, factor: Any) -> Any:
        return x * factor

    shapes = {"x": ("rows", 3), "factor": ()}
    conversion = carried(scaled, dynamic_shapes=shapes)
    assert [str(i) for i in conversion.artifact.signature.inputs] == ["x: float32[rows, 3]", "factor: float32[]"]
    conversion = carried(Subclassed(), dynamic_shapes={"x": ("batch", 3)})
    assert [str(i) for i in conversion.artifact.signature.inputs] == ["x: float32[batch, 3]"]


def test_functions() -> None:
    @tf.function
    def scaled(x: Any, factor: Any) -> Any:
        return x * factor

    with pytest.raises(UsageError, match="no input signature"):
        read_tensorflow(scaled)
    x = np.ones((2, 3), np.float32)
    fixed = names(scaled, inputs=(x, x))
    assert fixed[0] == ["x: float32[2, 3]", "factor: float32[2, 3]"]
    free = {"x": ("rows", 3), "factor": ("rows", 3)}
    assert names(scaled, inputs=(x, x), dynamic_shapes=free)[0][0] == "x: float32[rows, 3]"
    concrete = scaled.get_concrete_function(tf.TensorSpec((None, 3), tf.float32), tf.TensorSpec((), tf.float32))
    conversion = carried(concrete)
    assert [str(i) for i in conversion.artifact.signature.inputs] == ["x: float32[batch, 3]", "factor: float32[]"]


def test_what_the_user_says_of_shapes(net: Any) -> None:
    inputs, _ = names(net, dynamic_shapes={"zeta": ("n", 6), "alpha": (4, None)})
    assert inputs == ["zeta: float32[n, 6]", "alpha: float32[4, 6]"]
    with pytest.raises(UsageError, match="has 2 dimensions, and 3"):
        read_tensorflow(net, dynamic_shapes={"zeta": (1, 2, 3)})
    with pytest.raises(UsageError, match="axis 1 of input 'zeta' is 6"):
        read_tensorflow(net, dynamic_shapes={"zeta": (None, 7)})
    with pytest.raises(UsageError, match="axis 1 of input 'zeta' is 6 in the model, and n is asked"):
        read_tensorflow(net, dynamic_shapes={"zeta": ("batch", "n")})
    with pytest.raises(UsageError, match="'gamma'"):
        read_tensorflow(net, dynamic_shapes={"gamma": (None, 7)})


def test_images_have_a_height_and_a_width() -> None:
    image = keras.Input((None, None, 3), name="image")
    model = keras.Model(image, keras.layers.ReLU(name="out")(image))
    assert names(model)[0] == ["image: float32[batch, height, width, 3]"]


def test_ragged_outputs_are_refused_by_name() -> None:
    @tf.function(input_signature=[tf.TensorSpec((None,), tf.float32)])
    def rows(x: Any) -> Any:
        return {"rows": tf.RaggedTensor.from_row_lengths(x, [1, 2])}

    with pytest.raises(Unsupported, match="'rows' is no dense tensor"):
        read_tensorflow(rows)


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    text = (
        "import keras\n\n\n"
        "def build():\n"
        "    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name='d')], name='made')\n"
    )
    (tmp_path / "isthmus_keras_factory.py").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_factory_of_keras(factories: Path) -> None:
    conversion = carried("isthmus_keras_factory:build")
    assert conversion.report.source == "isthmus_keras_factory:build"
    assert set(conversion.model.graph.initializers) >= {"made/d/kernel", "made/d/bias"}


WORDS = """
import keras


class Words(keras.Model):
    def __init__(self):
        super().__init__()
        self.table = keras.layers.Embedding(7, 3, name="table")

    def call(self, ids, shift):
        return {"y": self.table(ids) + shift}


def words():
    return Words()
"""


def test_shapes_and_types_by_the_command_line(factories: Path) -> None:
    (factories / "isthmus_words_factory.py").write_text(WORDS, encoding="utf-8")
    told = "ids:[batch,seq]:int64,shift:[batch,1,1]"
    assert main(["convert", "isthmus_words_factory:words", "words.onnx", "--input-shapes", told, "-q"]) == 0
    signature = isthmus.inspect(factories / "words.onnx").signature
    assert [str(i) for i in signature.inputs] == ["ids: int64[batch, seq]", "shift: float32[batch, 1, 1]"]
    assert [str(o) for o in signature.outputs] == ["y: float32[batch, seq, 3]"]


@pytest.mark.torch
@pytest.mark.parametrize("to", ["torch", "saved_model"])
def test_what_is_alive_goes_to_every_target(net: Any, to: Any) -> None:
    for source, options in ((net, Options()), (Module(), Options(signature="both"))):
        conversion = isthmus.convert(source, to=to, options=options)
        assert conversion, conversion.verdict
        onnx = isthmus.convert(source, to="onnx", options=dataclasses.replace(options, verify=False))
        assert conversion.artifact.signature == onnx.artifact.signature


def test_a_live_function_that_does_not_take_every_input_is_judged_on_those_it_takes() -> None:
    @tf.function(input_signature=[tf.TensorSpec([2, 3], tf.float32), tf.TensorSpec([1], tf.int32)])
    def total(x: tf.Tensor, axes: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(x, axis=axes, keepdims=True)

    conversion = isthmus.convert(total, to="onnx")
    assert conversion
    assert any("Invalid reduction dimension" in note.text for note in conversion.verdict.notes)


def test_objects_of_python_among_the_arguments() -> None:
    class Settings:
        shift = 42

    @tf.function
    def shifted(settings: Settings, doubled: bool, x: tf.Tensor, scale: int, w: tf.Tensor) -> tf.Tensor:
        return (x * 2 if doubled else x) + settings.shift + scale / w

    x, w = tf.TensorSpec([2, 3], tf.float32, "x"), tf.TensorSpec([3], tf.float32, "w")
    conversion = isthmus.convert(shifted.get_concrete_function(Settings(), True, x, 12, w), to="onnx")
    assert conversion, conversion.verdict
    assert [spec.name for spec in conversion.artifact.signature.inputs] == ["x", "w"]
