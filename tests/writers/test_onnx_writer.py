"""Writing ONNX: deterministic bytes, weights beside the model where they are large, names and dimensions kept."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from isthmus.errors import Unsupported
from isthmus.hub.model import Hub
from isthmus.readers.onnx import read_onnx
from isthmus.types import Options
from isthmus.writers import onnx as writer
from isthmus.writers.onnx import blockers, write_onnx
from isthmus.writers.onnx_file import write_file


def _hub(body: str, opset: int = 20, head: str = "float[batch,4] x) => (float[batch,4] y", imports: str = "") -> Hub:
    text = f'<ir_version: 10, opset_import: ["": {opset}{imports}]> g ({head}) {body}'
    return read_onnx(onnx.parser.parse_model(text))


def _heavy(rows: int, cols: int) -> ir.Model:
    x = ir.val("x", ir.DataType.FLOAT, ["batch", rows])
    weights = [ir.tensor(np.full((rows, cols), i, np.float32), name=f"w{i}") for i in range(3)]
    values = [ir.val(t.name, ir.DataType.FLOAT, [rows, cols], const_value=t) for t in weights]
    nodes = [ir.node("MatMul", [x, value]) for value in values]
    total = ir.node("Sum", [node.outputs[0] for node in nodes])
    total.outputs[0].name = "y"
    graph = ir.Graph([x], total.outputs, nodes=[*nodes, total], initializers=values, opset_imports={"": 20}, name="g")
    return ir.Model(graph, ir_version=10)


def test_the_same_bytes_twice(tmp_path: Path) -> None:
    body = "<float[4] w = {1.0,2.0,3.0,4.0}> { i = NonZero(x) s = Shape(i) h = Add(x, w) y = Gelu(h) }"
    digests = set()
    for name in ("a", "b", "c"):
        path = tmp_path / f"{name}.onnx"
        write_onnx(_hub(body), path)
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
        assert str(tmp_path).encode() not in path.read_bytes()
    assert len(digests) == 1


def test_names_and_free_dimensions_are_kept(tmp_path: Path) -> None:
    hub = _hub("{ y = Relu(x) }", head="float[batch,?,4] x) => (float[batch,?,4] y")
    path = tmp_path / "m.onnx"
    write_onnx(hub, path)
    written = onnx.load(path)
    onnx.checker.check_model(written, full_check=True)
    dims = [d.dim_param or d.dim_value for d in written.graph.input[0].type.tensor_type.shape.dim]
    assert dims == ["batch", 0, 4]
    assert [o.name for o in written.graph.output] == ["y"]


def test_weights_are_written_whole(tmp_path: Path) -> None:
    hub = read_onnx(_heavy(8, 5))
    path = tmp_path / "m.onnx"
    write_onnx(hub, path)
    found = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    assert set(found) == {"w0", "w1", "w2"}
    assert all((found[f"w{i}"] == i).all() and found[f"w{i}"].shape == (8, 5) for i in range(3))


@pytest.mark.parametrize(
    "dtype", ["FLOAT16", "BFLOAT16", "FLOAT8E4M3FN", "INT4", "UINT2", "BOOL", "STRING", "COMPLEX64"]
)
@pytest.mark.parametrize("external_from", [0, 1 << 40])
def test_every_kind_of_weight(tmp_path: Path, dtype: str, external_from: int) -> None:
    kind = ir.DataType[dtype]
    if kind == ir.DataType.STRING:
        tensor: ir.TensorProtocol = ir.StringTensor([b"a", b"bc"], shape=ir.Shape([2]), name="w")
    else:
        array = (np.arange(3001) % 2).astype(kind.numpy())
        tensor = ir.Tensor(array, dtype=kind, name="w")
    value = ir.val("w", kind, list(tensor.shape), const_value=tensor)
    node = ir.node("Identity", [value])
    node.outputs[0].name, node.outputs[0].type, node.outputs[0].shape = "y", value.type, value.shape
    graph = ir.Graph([], node.outputs, nodes=[node], initializers=[value], opset_imports={"": 25}, name="g")
    path = tmp_path / "m.onnx"
    write_file(ir.Model(graph, ir_version=13), path, external_from=external_from)
    back = ir.load(path).graph.initializers["w"].const_value
    assert back.dtype == kind and list(back.shape) == list(tensor.shape)
    assert back.numpy().tolist() == tensor.numpy().tolist()
    outside = kind != ir.DataType.STRING and external_from == 0 and tensor.nbytes > 1024
    assert isinstance(back, ir.ExternalTensor) == outside


@pytest.mark.onnxruntime
def test_large_weights_lie_beside_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ort = pytest.importorskip("onnxruntime")
    monkeypatch.setattr(writer, "EXTERNAL_FROM", 1 << 20)
    path = tmp_path / "m.onnx"
    write_onnx(read_onnx(_heavy(512, 512)), path)
    assert path.stat().st_size < 10_000
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "m.onnx.data"]
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"x": np.ones((2, 512), np.float32)})
    np.testing.assert_allclose(got, np.full((2, 512), 3 * 512.0))
    again = read_onnx(path)
    assert isinstance(again.graph.initializers["w1"].const_value, ir.ExternalTensor)


@pytest.mark.parametrize("external_from", [0, 1 << 40])
def test_weights_are_streamed(tmp_path: Path, external_from: int) -> None:
    model = _heavy(2048, 1024)
    tracemalloc.start()
    write_file(model, tmp_path / "m.onnx", external_from=external_from)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


def test_the_hub_stays_as_it_is(tmp_path: Path) -> None:
    hub = _hub("<float[4] w = {1.0,2.0,3.0,4.0}> { y = Add(x, w) }")
    before = ir.to_onnx_text(hub.model)
    write_onnx(hub, tmp_path / "m.onnx")
    assert ir.to_onnx_text(hub.model) == before


def test_unknown_domains_are_refused_by_name() -> None:
    hub = _hub("{ h = my.ops.Magic(x) y = my.ops.Magic(h) }", imports=', "my.ops": 1')
    with pytest.raises(Unsupported, match=r"my\.ops\.Magic \(×2\)"):
        write_onnx(hub, None)
    assert [b.op for b in blockers(hub, Options())] == ["my.ops.Magic"]


def test_onnxruntime_s_own_operators_are_written() -> None:
    hub = _hub("{ y = com.microsoft.Gelu(x) }", imports=', "com.microsoft": 1')
    written = write_onnx(hub, None).model
    assert written.graph.opset_imports == {"": 18, "com.microsoft": 1}


def test_every_blocker_of_a_pin_at_once() -> None:
    hub = _hub("{ h = IsInf(x) a = ReduceMax(h) b = ReduceMin(h) c = Or(a, b) d = CastLike(c, x) y = Add(x, d) }", 23)
    found = blockers(hub, Options(opset=18))
    assert [(b.op, b.reason) for b in found] == [("ReduceMax", "needs opset 20"), ("ReduceMin", "needs opset 20")]
    assert write_onnx(hub, None).model.graph.opset_imports[""] == 20


def test_a_pin_below_an_operator_that_others_define() -> None:
    hub = _hub("{ h = Gelu(x) y = RMSNormalization(h, h) }", 23)
    assert not blockers(hub, Options(opset=19))
    assert write_onnx(hub, None).model.graph.opset_imports[""] == 23
    pinned = write_onnx(hub, None, options=Options(opset=19)).model.graph
    assert pinned.opset_imports[""] == 19
    assert not {"Gelu", "RMSNormalization"} & {node.op_type for node in pinned}
    assert {"Gelu", "RMSNormalization"} <= {node.op_type for node in hub.graph}
