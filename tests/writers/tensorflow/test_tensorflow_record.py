"""A recorded module: names, shapes, types, what is refused and in which words."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from isthmus.errors import Unsupported, UsageError

tf = pytest.importorskip("tensorflow")

from hubs import hub, lazy_chain, scaled_difference  # noqa: E402

from isthmus.readers.onnx import read_onnx  # noqa: E402
from isthmus.types import Options  # noqa: E402
from isthmus.writers.tensorflow import blockers, parameters  # noqa: E402
from isthmus.writers.tensorflow.backend import essence  # noqa: E402
from isthmus.writers.tensorflow.names import arguments, sanitized  # noqa: E402
from isthmus.writers.tensorflow.record import record  # noqa: E402

pytestmark = pytest.mark.tensorflow

NAMES = [
    ("x", "y", "z"),
    ("y", "x", "z"),
    ("x:0", "0", "gpu_0/out"),
    ("gpu_0/data_0", "a.b", "out.0"),
    ("x:0", "x_0", "x.0"),
    ("X", "x", "Y"),
    ("größe", "入力", "é b"),
    ("self", "training", "name"),
    ("0", "arg_0", "1"),
    ("_x", "import", "y:0"),
]
A = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
B = np.array([[1, 0], [0, 1], [2, 2]], np.int32)


@pytest.mark.parametrize("names", NAMES, ids=str)
def test_any_name_is_taken_and_given_back(names: tuple[str, str, str]) -> None:
    first, second, output = names
    module = record(scaled_difference(*names))
    call = module.signatures["serving_default"]
    for made in (
        call(**{second: B, first: A}),
        call(tf.constant(A), tf.constant(B)),
        module.eager({first: tf.constant(A), second: tf.constant(B)}),
    ):
        assert list(made) == [output]
        np.testing.assert_array_equal(made[output].numpy(), 2 * A - B)
    assert list(call.structured_input_signature[1]) == [first, second]
    assert call.structured_input_signature[1][first].shape.as_list() == [None, 2]


def test_a_wrong_call_says_what_is_wrong() -> None:
    module = record(scaled_difference("x", "y", "z"))
    with pytest.raises(UsageError, match=r"missing \['y'\], unknown \['w'\]"):
        module(A, w=B)
    with pytest.raises(UsageError, match="input 'y' is float32, and this model takes int32"):
        module(A, A)
    with pytest.raises(UsageError, match="3 inputs given"):
        module(A, B, B)
    with pytest.raises(UsageError, match=r"given twice: \['x'\]"):
        module(A, x=A)
    with pytest.raises(UsageError, match="not recorded to be trained"):
        module(A, B, training=True)


def test_outputs_that_are_inputs_constants_or_one_value_twice() -> None:
    module = record(
        hub(
            """
            <ir_version: 10, opset_import: ["" : 20]>
            g (float[n] x, float s) => (float[n] x, float[2] w, float[n] r, float[n] same, float s)
            <float[2] w = {1, 2}>
            { r = Relu (x)  same = Identity (r) }
            """
        )
    )
    made = module.signatures["serving_default"](x=np.float32([-1, 2, 3]), s=np.float32(7))
    assert {name: tensor.numpy().tolist() for name, tensor in made.items()} == {
        "x": [-1, 2, 3],
        "w": [1, 2],
        "r": [0, 2, 3],
        "same": [0, 2, 3],
        "s": 7,
    }


def test_a_model_without_inputs() -> None:
    text = "g () => (float[2] y) { y = Constant <value_floats = [1.0, 2.0]> () }"
    module = record(hub(f'<ir_version: 10, opset_import: ["" : 20]> {text}'))
    assert module.signatures["serving_default"]()["y"].numpy().tolist() == [1, 2]


@pytest.mark.parametrize(
    "dtype", ["float16", "bfloat16", "float8e4m3fn", "float8e5m2", "int4", "uint4", "string", "bool"]
)
def test_types_pass_through(dtype: str) -> None:
    text = f'<ir_version: 10, opset_import: ["" : 21]> g ({dtype}[n] x) => ({dtype}[n] y) {{ y = Identity (x) }}'
    spec = record(hub(text)).signatures["serving_default"].structured_outputs["y"]
    assert spec.dtype.name.replace("_", "") == {"float8e4m3fn": "float8e4m3fn"}.get(dtype, dtype)


def test_plain_numbers_take_the_type_of_the_input() -> None:
    module = record(scaled_difference("x", "y", "z"))
    assert module([[1, 2]], [[3, 4]])["z"].numpy().tolist() == [[-1, 0]]


def test_an_unknown_rank_stays_unknown() -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    call = record(read_onnx(model)).signatures["serving_default"]
    assert call.structured_input_signature[1]["x"].shape.rank is None
    for shape in ((), (2,), (1, 2, 3)):
        assert call(x=np.full(shape, -1, np.float32))["y"].shape == shape


def test_sequences_are_refused_with_the_fact() -> None:
    model = hub(
        """
        <ir_version: 10, opset_import: ["" : 20]>
        g (float[n] x) => (seq(float[n]) parts) { parts = SequenceConstruct (x, x) }
        """
    )
    with pytest.raises(Unsupported, match="'parts' is a sequence, and a TensorFlow signature carries tensors only"):
        record(model)
    assert next(b.op for b in blockers(model)) == "output"


def test_a_type_that_tensorflow_lacks_is_refused() -> None:
    text = '<ir_version: 12, opset_import: ["" : 24]> g (float8e8m0[n] x) => (float8e8m0[n] y) { y = Identity (x) }'
    found = blockers(hub(text))
    assert [b.reason for b in found] == [f"{n!r}: TensorFlow has no float8e8m0 tensors" for n in ("x", "y")]


def test_every_blocker_is_named_at_once() -> None:
    model = hub(
        """
        <ir_version: 10, opset_import: ["" : 20, "com.example" : 1]>
        g (float[2, 3] x, float[2, 3] y) => (float[2, 3] z)
        { a = com.example.Odd (x)  b = com.example.Even (y)  c = com.example.Odd (y)  d = Add (a, b)  z = Add (d, c) }
        """
    )
    found = blockers(model)
    assert {(b.op, b.count) for b in found} == {("com.example.Odd", 2), ("com.example.Even", 1)}
    with pytest.raises(Unsupported) as raised:
        record(model)
    assert {b.op for b in raised.value.blockers} == {"com.example.Odd", "com.example.Even"}


def test_blockers_reads_no_large_weight() -> None:
    def made(index: int) -> np.ndarray:
        raise AssertionError("a weight was read")

    assert blockers(lazy_chain([4096, 4096, 64], made)) == []
    assert blockers(lazy_chain([4096, 4096, 64], made), Options(trainable=True)) == []


def test_what_tensorflow_says_is_cut_to_its_essence() -> None:
    eager = "{{function_node __wrapped__MatMul_device_/job:localhost/task:0}} Matrix size-incompatible: In[0]: [2,3]"
    assert essence(f"{eager} [Op:MatMul] name: ") == "Matrix size-incompatible: In[0]: [2,3]"
    said = "Cannot reshape a tensor with 6 elements to shape [7]"
    node = "'{{node f/Reshape}} = Reshape[T=DT_FLOAT, Tshape=DT_INT32](x, f/Reshape/shape)'"
    assert essence(f"{said} for {node} with input shapes: [2,3], [1] and with input tensors computed as [7].") == (
        f"{said} for Reshape of shapes [2,3], [1]"
    )
    traced = 'in user code:\n\n    File "/home/me/net.py", line 3, in call  *\n        x = f(x)\n'
    assert essence(traced) == "x = f(x)"
    assert "/home" not in essence("cannot read /home/me/models/net.py") and len(essence("a" * 900)) == 240


def test_large_weights_are_captured_and_used(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = [np.random.default_rng(i).standard_normal((64, 64)).astype(np.float32) for i in range(2)]
    monkeypatch.setattr(parameters, "INLINE_LIMIT", 0)
    module = record(lazy_chain([64, 64, 64], weights.__getitem__))
    x = np.ones((2, 64), np.float32)
    np.testing.assert_allclose(module(x)["y"].numpy(), x @ weights[0] @ weights[1], rtol=1e-4)


def test_argument_order_is_the_one_in_which_tensorflow_flattens() -> None:
    chosen = arguments(["x:0", "b", "x_0", "0"])
    assert chosen.order == ("0", "b", "x_0", "x:0")
    assert chosen.clashes == {"x:0": "x:0_1"}
    notes = record(scaled_difference("x:0", "x_0", "z")).hub.notes
    assert [n.text for n in notes] == [
        "TensorFlow cannot tell input 'x:0' from another one; once loaded it is called 'x:0_1'"
    ]
    assert sorted(map(sanitized, chosen.keywords.values())) == ["arg_0", "b", "x_0", "x_0_1"]
    assert list(chosen.traced.values()) == sorted(chosen.traced.values())
