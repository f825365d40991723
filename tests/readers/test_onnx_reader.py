"""Reading ONNX: what comes out is canonical, the source stays as it was, and bad input is named for what it is."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from isthmus.errors import InvalidModel, UnsafeInput, UsageError
from isthmus.hub.canonical import check_canonical
from isthmus.readers.onnx import read_onnx


def _parsed(body: str, opset: int = 18, head: str = "float[N,4] x) => (float[N,4] y") -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": {opset}]> g ({head}) {body}')


def _weighted(location: str | None = None, **place: str) -> onnx.ModelProto:
    """``y = x + w``, w of 4 floats, outside where a location is given."""
    model = _parsed("<float[4] w = {1.0,2.0,3.0,4.0}> { y = Add(x, w) }")
    if location is not None:
        weight = model.graph.initializer[0]
        weight.CopyFrom(TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4]))
        weight.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **place}.items():
            weight.external_data.add(key=key, value=value)
    return model


def _saved(folder: Path, model: onnx.ModelProto, data: bytes | None = None, name: str = "w.bin") -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    if data is not None:
        (folder / name).write_bytes(data)
    return path


WEIGHTS = np.arange(4, dtype=np.float32).tobytes()


# ---- what comes out -------------------------------------------------------------------------------------
def test_a_file_becomes_a_canonical_hub(tmp_path: Path) -> None:
    hub = read_onnx(_saved(tmp_path, _weighted()))
    assert check_canonical(hub.model) == []
    assert hub.source_kind == "onnx"
    assert [str(spec) for spec in hub.signature.inputs] == ["x: float32[N, 4]"]
    assert [str(spec) for spec in hub.signature.outputs] == ["y: float32[N, 4]"]


def test_live_models_stay_as_they_were() -> None:
    proto = _parsed("{ c = Constant<value_float = 2.0>() h = Softmax<axis=1>(x) y = Mul(h, c) }", 12)
    before = proto.SerializeToString(deterministic=True)
    read_onnx(proto)
    assert proto.SerializeToString(deterministic=True) == before
    model = ir.from_proto(proto)
    text = ir.to_proto(model).SerializeToString(deterministic=True)
    read_onnx(model)
    assert ir.to_proto(model).SerializeToString(deterministic=True) == text


def test_weights_on_disk_are_not_read(tmp_path: Path) -> None:
    hub = read_onnx(_saved(tmp_path, _weighted("w.bin"), WEIGHTS))
    tensor = hub.graph.initializers["w"].const_value
    assert isinstance(tensor, ir.ExternalTensor) and tensor.raw is None
    np.testing.assert_array_equal(tensor.numpy(), np.arange(4, dtype=np.float32))


def test_initializers_that_are_inputs_are_no_inputs() -> None:
    model = _weighted()
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4]))
    hub = read_onnx(model)
    assert [spec.name for spec in hub.signature.inputs] == ["x"]
    assert [value.name for value in hub.graph.inputs] == ["x"]


def test_functions_are_inlined_with_their_own_opset() -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["": 18, "local": 1]>
           g (float[2,3,4] x) => (float[2,3,4] y, float[2,3,4] z) { y, z = local.rows(x) }
           <domain: "local", opset_import: ["": 11]> rows (a) => (b, a) { b = Softmax<axis=1>(a) }"""
    )
    model.graph.node[0].metadata_props.add(key="isthmus.module", value="net.rows")
    hub = read_onnx(model)
    assert check_canonical(hub.model) == []
    assert {node.metadata_props.get("isthmus.module") for node in hub.graph} == {"net.rows"}
    assert [value.name for value in hub.graph.inputs] == ["x"]
    assert "Flatten" in {node.op_type for node in hub.graph}


def test_free_dimensions() -> None:
    hub = read_onnx(_parsed("{ y = Relu(x) }", head="float[batch,?,4] x) => (float[a,b,c] y"))
    names = hub.graph.inputs[0].shape
    assert names[0].value == "batch" and names[1].value == "x_dim_1" and names[2] == 4
    assert hub.signature.inputs[0].shape == ("batch", None, 4)


def test_dynamic_shapes_free_and_fix() -> None:
    model = _parsed("{ y = Relu(x) }", head="float[1,3] x) => (float[1,3] y")
    hub = read_onnx(model, dynamic_shapes={"x": ("batch", 3)})
    assert hub.signature.inputs[0].shape == ("batch", 3)
    assert hub.signature.outputs[0].shape == ("batch", 3)
    with pytest.raises(UsageError, match="no input 'z'"):
        read_onnx(model, dynamic_shapes={"z": (1,)})
    with pytest.raises(UsageError, match="2 dimensions"):
        read_onnx(model, dynamic_shapes={"x": (1, 2, 3)})


def test_the_same_model_gives_the_same_names() -> None:
    body = "{ i = NonZero(x) j = Transpose(i) k = Cast<to=1>(j) y = Relu(k) }"
    texts = {ir.to_onnx_text(read_onnx(_parsed(body)).model) for _ in range(3)}
    assert len(texts) == 1


def test_sequences_optionals_and_maps_keep_their_kind() -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["": 18, "ai.onnx.ml": 3]> g (seq(float[N]) s, float[2,3] x)
           => (float[] y) {
             i = Constant<value_int = 0>()
             y = SequenceAt(s, i)
             m = ai.onnx.ml.ZipMap<classlabels_int64s = [1, 2, 3]>(x)
           }"""
    )
    kind = onnx.TypeProto()
    kind.sequence_type.elem_type.map_type.key_type = TensorProto.INT64
    kind.sequence_type.elem_type.map_type.value_type.tensor_type.elem_type = TensorProto.FLOAT
    model.graph.output.add(name="m", type=kind)
    hub = read_onnx(model)
    assert [spec.kind for spec in hub.signature.inputs] == ["sequence", "tensor"]
    assert hub.signature.outputs[1].kind == "map"


def test_sparse_weights_become_dense() -> None:
    model = _parsed("{ y = Add(x, w) }")
    values = numpy_helper.from_array(np.array([5.0, 7.0], np.float32), "w")
    indices = numpy_helper.from_array(np.array([1, 3], np.int64), "w.i")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))
    hub = read_onnx(model)
    np.testing.assert_array_equal(hub.graph.initializers["w"].const_value.numpy(), [0, 5, 0, 7])
    assert model.graph.sparse_initializer


def test_bodies_give_their_constants_to_the_main_graph() -> None:
    hub = read_onnx(
        _parsed(
            "{ y = If<then_branch = t () => (float[N,4] u) { c = Constant<value_float=1.0>() u = Add(x, c) },"
            " else_branch = e () => (float[N,4] c) { c = Identity(x) }>(b) }",
            head="float[N,4] x, bool b) => (float[N,4] y",
        )
    )
    assert check_canonical(hub.model) == []
    assert len(hub.graph.initializers) == 1


# ---- bad input ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"hello, this is a text file\n" * 20, "text file"),
        (b"PK\x03\x04" + bytes(200), "zip archive"),
        (b"\x89HDF\r\n" + bytes(200), "HDF5"),
        (pickle.dumps({"weights": [1, 2, 3]}), "pickle"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        (b".d;\xad", "not an ONNX model"),
    ],
)
def test_other_files_are_named(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(InvalidModel, match=says):
        read_onnx(path)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.99])
def test_truncated_files(tmp_path: Path, part: float) -> None:
    data = _weighted().SerializeToString()
    path = tmp_path / "model.onnx"
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(InvalidModel):
        read_onnx(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match="does not exist"):
        read_onnx(tmp_path / "none.onnx")
    with pytest.raises(InvalidModel, match="is a folder"):
        read_onnx(tmp_path)


@pytest.mark.parametrize("location", ["../w.bin", "/etc/hostname", "a/../../w.bin", "..\\w.bin", "C:\\w.bin"])
def test_external_data_outside_of_the_folder(tmp_path: Path, location: str) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "w.bin").write_bytes(WEIGHTS)
    with pytest.raises(UnsafeInput, match="outside") as caught:
        read_onnx(_saved(inner, _weighted(location)))
    assert caught.value.exit_code == 6


def test_external_data_behind_links(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    secret = tmp_path / "secret.bin"
    secret.write_bytes(WEIGHTS)
    path = _saved(inner, _weighted("w.bin"))
    (inner / "w.bin").symlink_to(secret)
    with pytest.raises(UnsafeInput, match="link that leaves"):
        read_onnx(path)
    (inner / "w.bin").unlink()
    os.link(secret, inner / "w.bin")
    with pytest.raises(UnsafeInput, match="hard link"):
        read_onnx(path)


@pytest.mark.parametrize(
    "place", [{"offset": "8"}, {"length": "9999"}, {"length": "4"}, {"offset": "4", "length": "16"}]
)
def test_external_data_that_does_not_fit(tmp_path: Path, place: dict[str, str]) -> None:
    with pytest.raises(InvalidModel, match="bytes at offset"):
        read_onnx(_saved(tmp_path, _weighted("w.bin", **place), WEIGHTS))


@pytest.mark.parametrize("offset", ["many", "-4", "0x10"])
def test_external_data_at_places_that_are_no_numbers(tmp_path: Path, offset: str) -> None:
    with pytest.raises(InvalidModel, match=offset):
        read_onnx(_saved(tmp_path, _weighted("w.bin", offset=offset), WEIGHTS))


def test_external_data_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match="missing"):
        read_onnx(_saved(tmp_path, _weighted("w.bin")))


def test_a_live_proto_has_no_folder() -> None:
    with pytest.raises(InvalidModel, match="no folder"):
        read_onnx(_weighted("w.bin"))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("{ y = Relu(z) }", "reads 'z', which nothing defines"),
        ("{ z = Relu(x) }", "output 'y' is defined by nothing"),
        ("{ y = Relu(x) y = Relu(x) }", "'y' is defined 2 times"),
        ("{ y = Relu<alpha=1.0>(x) }", "no attribute"),
        ("{ y = Relu(x, x) }", "2 inputs"),
        ("{ y = Gelu(x) }", "since opset 20"),
        ("{ y = Concat(x, x) }", "lacks the attribute 'axis'"),
        ("{ y = Flatten<axis=1.0>(x) }", "as FLOAT, not INT"),
        ("{ a = Add(x, b) b = Relu(a) y = Relu(b) }", "cycle"),
        (
            (
                "<bool k = {1}> { y = If<then_branch = t (float[N,4] x) => (float[N,4] u) { u = Relu(x) }, "
                "else_branch = e () => (float[N,4] v) { v = Neg(x) }>(k) }"
            ),
            "then_branch that takes 'x'",
        ),
        (
            (
                "<bool k = {1}> { y, z = If<then_branch = t () => (float[N,4] u) { u = Relu(x) }, "
                "else_branch = e () => (float[N,4] v) { v = Neg(x) }>(k) }"
            ),
            "gives 2 outputs, and its then_branch 1",
        ),
        (
            "<int64 m = {3}> { y = Loop<body = b (int64 i, bool c) => (bool d) { d = Identity(c) }>(m, , x) }",
            "body that takes 2 inputs, and gives it 3",
        ),
        (
            (
                "<int64 m = {3}> { y, z = Loop<body = b (int64 i, bool c, float[N,4] s) => (bool d, float[N,4] t) "
                "{ d = Identity(c) t = Relu(s) }>(m, , x) }"
            ),
            "too few",
        ),
    ],
)
def test_inconsistent_graphs(body: str, says: str) -> None:
    with pytest.raises(InvalidModel, match=says):
        read_onnx(_parsed(body))


def test_functions_in_a_circle() -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["": 18, "l": 1]> g (float[2] x) => (float[2] y) { y = l.f(x) }
           <domain: "l", opset_import: ["": 18, "l": 1]> f (a) => (b) { b = l.h(a) }
           <domain: "l", opset_import: ["": 18, "l": 1]> h (a) => (b) { b = l.f(a) }"""
    )
    with pytest.raises(InvalidModel, match="circle"):
        read_onnx(model)


def test_an_opset_of_the_future() -> None:
    with pytest.raises(InvalidModel, match="999"):
        read_onnx(_parsed("{ y = Relu(x) }", 999))


def test_unknown_domains_are_carried() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["": 18, "my.ops": 1]> g (float[2] x) => (float[2] y) { y = my.ops.Magic(x) }'
    )
    assert [node.op_type for node in read_onnx(model).graph] == ["Magic"]
