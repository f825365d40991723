"""Recurrent operators become PyTorch's layers where these are the same, and stay right where they are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

torch = pytest.importorskip("torch")
ort = pytest.importorskip("onnxruntime")

from torch import nn  # noqa: E402

from isthmus.readers.onnx import read_onnx  # noqa: E402
from isthmus.readers.torch import read_torch  # noqa: E402
from isthmus.types import Options  # noqa: E402
from isthmus.writers.onnx import write_onnx  # noqa: E402
from isthmus.writers.torch.export import exported  # noqa: E402
from isthmus.writers.torch.record import Recorded, record  # noqa: E402
from isthmus.writers.torch.source import source  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.onnxruntime]

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
OPTIONS = Options(verify=False)


def operator(kind: str, *, both: bool, bias: bool, states: bool, **attributes: object) -> onnx.ModelProto:
    """One operator with stored weights, as exporters of other frameworks write it."""
    rng = np.random.default_rng(0)
    d, h, features, gates = 2 if both else 1, 3, 4, GATES[kind]
    weights = {"w": (d, gates * h, features), "r": (d, gates * h, h)} | ({"b": (d, 2 * gates * h)} if bias else {})
    inputs = {"x": ["t", "n", features]}
    if states:
        inputs |= {name: [d, "n", h] for name in ["h0", *(["c0"] if kind == "LSTM" else [])]}
    outputs = ["y", "h", *(["c"] if kind == "LSTM" else [])]
    operands = ["x", "w", "r", "b" if bias else "", "", *[name for name in inputs if name != "x"]]
    direction = "bidirectional" if both else attributes.pop("direction", "forward")
    node = helper.make_node(kind, operands, outputs, hidden_size=h, direction=direction, **attributes)
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    tensors = [
        numpy_helper.from_array(rng.normal(size=s).astype(np.float32) * 0.4, name) for name, s in weights.items()
    ]
    graph = helper.make_graph([node], "net", infos, results, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)


def feeds(model: onnx.ModelProto, **sizes: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    made = {}
    for info in model.graph.input:
        shape = [sizes[d.dim_param] if d.dim_param else d.dim_value for d in info.type.tensor_type.shape.dim]
        made[info.name] = rng.normal(size=shape).astype(np.float32)
    return made


def agree(model: onnx.ModelProto, made: Recorded) -> None:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for sizes in ({"t": 5, "n": 2}, {"t": 1, "n": 3}):
        given = feeds(model, **sizes)
        got = made.call({name: torch.from_numpy(array) for name, array in given.items()})
        for name, expected in zip(made.outputs, session.run(None, given), strict=True):
            np.testing.assert_allclose(got[name].detach().numpy(), expected, rtol=1e-5, atol=1e-6, err_msg=name)


def layers(made: Recorded) -> list[nn.Module]:
    return [module for module in made.module.modules() if isinstance(module, nn.RNNBase)]


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("both", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize(("bias", "states"), [(True, False), (False, True)], ids=["bias", "states"])
def test_an_operator_with_stored_weights_is_a_layer(kind: str, both: bool, bias: bool, states: bool) -> None:
    attributes = {"linear_before_reset": 1} if kind == "GRU" else {}
    model = operator(kind, both=both, bias=bias, states=states, **attributes)
    made = record(read_onnx(model, options=OPTIONS))
    (layer,) = layers(made)
    assert type(layer).__name__ == kind and layer.bidirectional is both and layer.bias is bias
    agree(model, made)


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("GRU", {"linear_before_reset": 0}),
        ("LSTM", {"direction": "reverse"}),
        ("LSTM", {"clip": 0.2}),
        ("LSTM", {"input_forget": 1}),
        ("LSTM", {"activations": ["Sigmoid", "Tanh", "Relu"]}),
        ("RNN", {"activations": ["Sigmoid"]}),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # torch's own, on the way to its scan
def test_what_no_layer_computes_stays_an_operator(kind: str, attributes: dict[str, object]) -> None:
    model = operator(kind, both=False, bias=True, states=False, **attributes)
    made = record(read_onnx(model, options=OPTIONS))
    assert not layers(made)
    agree(model, made)


def test_relu_is_a_layer_too() -> None:
    model = operator("RNN", both=True, bias=True, states=False, activations=["Relu", "Relu"])
    made = record(read_onnx(model, options=OPTIONS))
    assert [layer.nonlinearity for layer in layers(made)] == ["relu"]
    agree(model, made)


class Tagger(nn.Module):
    def __init__(self, kind: str, **options: object) -> None:
        super().__init__()
        self.embed = nn.Embedding(9, 4)
        self.body = getattr(nn, kind)(4, 3, **options)
        self.head = nn.Linear(6 if options.get("bidirectional") else 3, 5)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y, last = self.body(self.embed(x))
        return self.head(y), last[0] if isinstance(last, tuple) else last


KINDS = [
    ("LSTM", {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    ("LSTM", {"num_layers": 3, "bias": False}),
    ("GRU", {"num_layers": 2, "batch_first": True}),
    ("GRU", {"bidirectional": True}),
    ("RNN", {"num_layers": 2, "nonlinearity": "relu"}),
]


@pytest.mark.parametrize(("kind", "options"), KINDS, ids=str)
def test_layers_come_back_through_a_file(kind: str, options: dict[str, object], tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Tagger(kind, **options).eval()
    x = torch.randint(0, 9, (2, 5))
    hub = read_torch(net, inputs=(x,), dynamic_shapes=({0: "a", 1: "b"},), options=OPTIONS)
    write_onnx(hub, tmp_path / "net.onnx")
    made = record(read_onnx(tmp_path / "net.onnx", options=OPTIONS))
    assert repr(made.module.body) == repr(net.body)
    before, after = net.state_dict(), made.module.state_dict()
    assert list(before) == list(after) and all(torch.equal(before[key], after[key]) for key in before)
    other = torch.randint(0, 9, (3, 7))
    for got, expected in zip(made.module(other), net(other), strict=True):
        torch.testing.assert_close(got, expected)
    assert f"nn.{kind}(4, 3" in source(made)[0]
    program, notes = exported(made)
    assert not notes and list(program.state_dict) == list(before)
    for got, expected in zip(program.module()(other), net(other), strict=True):
        torch.testing.assert_close(got, expected)


def test_states_of_stacked_layers_are_given_at_once(tmp_path: Path) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.LSTM(4, 3, 2)

        def forward(self, x, h, c):
            y, (h, c) = self.body(x, (h, c))
            return y, h, c[1]

    net = Net().eval()
    inputs = (torch.randn(5, 2, 4), torch.randn(2, 2, 3), torch.randn(2, 2, 3))
    hub = read_torch(net, inputs=inputs, options=OPTIONS)
    write_onnx(hub, tmp_path / "net.onnx")
    made = record(read_onnx(tmp_path / "net.onnx", options=OPTIONS))
    assert repr(made.module.body) == repr(net.body)
    for got, expected in zip(made.module(*inputs), net(*inputs), strict=True):
        torch.testing.assert_close(got, expected)


def test_the_map_of_stored_weights_makes_the_state_dict() -> None:
    model = operator("GRU", both=True, bias=True, states=False, linear_before_reset=1)
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    made = record(read_onnx(model, options=OPTIONS))
    state = made.module.state_dict()
    assert {weight.key for weight in made.weights} == set(state)
    for weight in made.weights:
        tensor = torch.from_numpy(arrays[weight.source].copy())
        tensor = tensor if weight.index is None else tensor[weight.index]
        if weight.blocks is not None:
            parts = tensor.chunk(weight.of)
            tensor = torch.cat([parts[block] for block in weight.blocks])
        assert torch.equal(tensor, state[weight.key])
