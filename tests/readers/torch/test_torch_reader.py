"""Names, free dimensions, weights, roads and notes of the PyTorch reader."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import torch
from torch import Tensor, nn
from torch.export import Dim

from isthmus.errors import Unsupported, UsageError
from isthmus.hub.canonical import check_canonical
from isthmus.readers.torch import read_torch
from isthmus.types import Options

pytestmark = [pytest.mark.torch, pytest.mark.onnxruntime]


class Nested(nn.Module):
    """Structures in, structures out."""

    def forward(self, x: Tensor, parts: list[Tensor], more: dict[str, Tensor]) -> dict[str, Any]:
        return {"sum": x + parts[0] + more["key"], "both": [parts[1], x * 2], "none": None, "count": 3}


@dataclasses.dataclass
class Result:
    """What nobody told torch about."""

    logits: Tensor
    hidden: Tensor | None = None


class Records(nn.Module):
    """Returns a dataclass."""

    def forward(self, x: Tensor) -> Result:
        return Result(x.exp())


class Small(nn.Module):
    """Conv, norm, dropout, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.drop, self.head = nn.Dropout(0.25), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(torch.relu(self.norm(self.conv(x))).mean((2, 3))))


class Tied(nn.Module):
    """One matrix under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(9, 4), nn.Linear(4, 9, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.embed(tokens))


class Branches(nn.Module):
    """Goes one way or the other by its data."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x - 1


def names(specs: Any) -> list[str]:
    return [str(spec) for spec in specs]


def test_structures_name_inputs_and_outputs() -> None:
    x = torch.randn(2, 3)
    hub = read_torch(Nested(), inputs={"x": x, "parts": [x, x + 1], "more": {"key": x}})
    assert [s.name for s in hub.signature.inputs] == ["x", "parts.0", "parts.1", "more.key"]
    assert [s.name for s in hub.signature.outputs] == ["sum", "both.0", "both.1"]
    assert any(note.topic == "output" and "count" in note.text for note in hub.notes)


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        (lambda x: x + 1, ["output"]),
        (lambda x: (x + 1, x), ["output_0", "output_1"]),
        (lambda x: (x, {"a": x, "b": [x, x * 2]}), ["output_0", "output_1.a", "output_1.b.0", "output_1.b.1"]),
    ],
)
def test_outputs_are_named_and_never_shared(
    returned: Callable[..., Any], expected: list[str], run: Callable[..., Any]
) -> None:
    module = nn.Module()
    module.forward = lambda x: returned(x)  # type: ignore[method-assign]
    x = torch.randn(2, 3)
    hub = read_torch(module, inputs=(x,))
    assert [s.name for s in hub.signature.outputs] == expected
    leaves = torch.utils._pytree.tree_leaves(returned(x))
    for got, leaf in zip(run(hub, x), leaves, strict=True):
        np.testing.assert_allclose(got, leaf.numpy(), rtol=1e-6)


def test_variadic_parameters_are_named_and_free(run: Callable[..., Any]) -> None:
    class Variadic(nn.Module):
        def forward(self, *xs: Tensor, scale: Tensor, **rest: Tensor) -> Tensor:
            return (xs[0] - xs[1]) * scale + rest["extra"]

    x = torch.randn(2, 3)
    inputs = {"xs": [x, x * 2], "scale": x, "extra": x}
    free = {0: "n"}
    shapes = {"xs": [free, free], "scale": free, "extra": free}
    hub = read_torch(Variadic(), inputs=inputs, dynamic_shapes=shapes)
    assert hub.road == "torch.export"
    assert [str(s) for s in hub.signature.inputs] == [
        f"{n}: float32[n, 3]" for n in ("xs.0", "xs.1", "scale", "extra")
    ]
    y = torch.randn(5, 3)
    np.testing.assert_allclose(run(hub, y, y * 2, y, y)[0], (-y * y + y).numpy(), rtol=1e-5, atol=1e-6)


def test_each_of_many_inputs_may_have_an_entry_of_its_own() -> None:
    class Product(nn.Module):
        def forward(self, *xs: Tensor) -> Tensor:
            return xs[0] @ xs[1]

    inputs, shapes = (torch.randn(2, 3), torch.randn(3, 4)), ({0: "rows"}, {1: "columns"})
    for told in (shapes, (shapes,), {"xs": shapes}):
        hub = read_torch(Product(), inputs=inputs, dynamic_shapes=told)
        assert [str(s) for s in hub.signature.inputs] == ["xs.0: float32[rows, 3]", "xs.1: float32[3, columns]"]
    with pytest.raises(UsageError, match=r"3 entries, the inputs are xs\.0, xs\.1"):
        read_torch(Product(), inputs=inputs, dynamic_shapes=(*shapes, None))


def test_dataclass_fields_are_output_names() -> None:
    hub = read_torch(Records(), inputs=(torch.randn(2, 3),))
    assert [s.name for s in hub.signature.outputs] == ["logits"]


def test_names_of_inputs_win_over_weights_of_the_same_name(run: Callable[..., Any]) -> None:
    module = nn.Module()
    module.x = nn.Parameter(torch.randn(3))
    module.forward = lambda x: x + module.x  # type: ignore[method-assign]
    x = torch.randn(2, 3)
    hub = read_torch(module, inputs=(x,))
    assert [s.name for s in hub.signature.inputs] == ["x"]
    np.testing.assert_allclose(run(hub, x)[0], (x + module.x).detach().numpy())


def test_dimensions_of_one_name_are_tied_and_never_traced_at_one() -> None:
    module = nn.Module()
    module.forward = lambda a, b: a @ b  # type: ignore[method-assign]
    shapes = {"a": {0: "batch size"}, "b": ("batch size", None, "n")}
    hub = read_torch(module, inputs=(torch.randn(1, 2, 3), torch.randn(1, 3, 1)), dynamic_shapes=shapes)
    assert names(hub.signature.inputs) == ["a: float32[batch size, 2, 3]", "b: float32[batch size, 3, n]"]
    assert names(hub.signature.outputs) == ["output: float32[batch size, 2, n]"]


def test_dim_objects_and_relations() -> None:
    half = Dim("half", min=2, max=50)
    module = nn.Module()
    module.forward = lambda a: a.reshape(-1, 2)  # type: ignore[method-assign]
    hub = read_torch(module, inputs=(torch.randn(8),), dynamic_shapes=({0: 2 * half},))
    assert hub.signature.inputs[0].shape == ("2*half",)
    assert hub.extras["dims"]["2*half"] == {"min": 4, "max": 100, "multiple": 2, "offset": 0}


def test_needed_constraints_are_taken_up_and_told() -> None:
    module = nn.Module()
    module.forward = lambda a: a.reshape(a.shape[0] // 4, 4, 3)  # type: ignore[method-assign]
    hub = read_torch(module, inputs=(torch.randn(8, 3),), dynamic_shapes={"a": {0: "rows"}})
    assert hub.signature.inputs[0].shape == ("rows", 3)
    assert hub.extras["dims"]["rows"]["multiple"] == 4
    assert [note.topic for note in hub.notes] == ["dimension"]


def test_an_axis_that_falls_is_told_with_its_reason() -> None:
    module = nn.Module()
    module.weight = nn.Parameter(torch.randn(3, 5))
    module.forward = lambda a, b: torch.cat([a, b]) + module.weight  # type: ignore[method-assign]
    inputs = (torch.randn(2, 5), torch.randn(1, 5))
    hub = read_torch(module, inputs=inputs, dynamic_shapes={"a": {0: "rows", 1: "width"}})
    assert hub.signature.inputs[0].shape == (2, 5)
    told = " ".join(note.text for note in hub.notes)
    assert "rows fell to 2" in told
    assert "width fell to 5" in told


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"z": {0: "n"}}, "'z'"),
        ({"x": {5: "n"}}, "axes 0 to 3"),
        ({"x": {0: 7}}, "asked to be 7"),
        ({"x": ("a", "b")}, "4 axes"),
        (3, "must be a dict"),
    ],
)
def test_wrong_dimensions_are_refused(shapes: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_torch(Small(), inputs=(torch.randn(2, 3, 5, 5),), dynamic_shapes=shapes)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (None, "does not say what its inputs"),
        ((torch.randn(2, 4, 5, 5),), "fails on the given inputs"),
        ((torch.randn(2), torch.randn(2)), "do not fit forward"),
        ({"y": torch.randn(2)}, "no parameter named y"),
        ("nowhere.npz", "no such file"),
    ],
)
def test_wrong_inputs_are_refused(inputs: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_torch(Small(), inputs=inputs)


def test_inputs_from_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", x=np.zeros((2, 3, 5, 5), np.float32))
    by_name = read_torch(Small(), inputs=tmp_path / "in.npz")
    np.savez(tmp_path / "in.npz", np.zeros((2, 3, 5, 5), np.float32))
    by_place = read_torch(Small(), inputs=str(tmp_path / "in.npz"))
    assert by_name.signature == by_place.signature


def test_the_module_is_left_as_it_was() -> None:
    module = Small().train()
    module.norm.eval()
    module.conv.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    read_torch(module, inputs=(torch.randn(2, 3, 5, 5),), dynamic_shapes={"x": {0: "batch"}})
    assert [m.training for m in (module, module.conv, module.norm, module.drop)] == [True, True, False, True]
    assert not module.conv.weight.requires_grad
    assert module.head.weight.requires_grad
    assert "forward" not in vars(module)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
    assert torch.is_grad_enabled()
    module(torch.randn(2, 3, 5, 5)).sum().backward()


def test_weights_keep_their_names_and_memory() -> None:
    module = Small()
    hub = read_torch(module, inputs=(torch.randn(2, 3, 5, 5),))
    weights = hub.graph.initializers
    expected = {name for name in module.state_dict() if not name.endswith("num_batches_tracked")}
    assert expected <= set(weights)
    array = weights["head.weight"].const_value.numpy()
    assert array.__array_interface__["data"][0] == module.head.weight.data_ptr()


def test_tied_weights_stay_one() -> None:
    hub = read_torch(Tied(), inputs=(torch.zeros(2, 3, dtype=torch.long),))
    assert "embed.weight" in hub.graph.initializers
    assert "head.weight" not in hub.graph.initializers


def test_inference_and_trainable_agree_and_differ_in_dropout(run: Callable[..., Any]) -> None:
    module, x = Small().eval(), torch.randn(2, 3, 5, 5)
    plain = read_torch(module, inputs=(x,))
    trainable = read_torch(module, inputs=(x,), options=Options(trainable=True))
    ops = [node.op_type for node in trainable.graph]
    assert ops.count("Dropout") == 1
    assert ops.count("BatchNormalization") == 1
    assert "Dropout" not in [node.op_type for node in plain.graph]
    with torch.no_grad():
        expected = module(x).numpy()
    np.testing.assert_allclose(run(plain, x)[0], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(run(trainable, x)[0], expected, rtol=1e-5, atol=1e-6)


def test_the_hub_is_canonical_and_knows_where_nodes_come_from() -> None:
    hub = read_torch(Small(), inputs=(torch.randn(2, 3, 5, 5),), dynamic_shapes={"x": {0: "batch"}})
    assert check_canonical(hub.model) == []
    conv = next(node for node in hub.graph if node.op_type == "Conv")
    assert any("conv" in value for value in conv.metadata_props.values())
    for node in hub.graph:
        assert str(Path(__file__).parent) not in "".join(node.metadata_props.values())


def test_branches_on_data_are_refused_with_every_road_named() -> None:
    with pytest.raises(Unsupported) as caught:
        read_torch(Branches(), inputs=(torch.randn(2, 3),))
    assert [blocker.op for blocker in caught.value.blockers] == [
        "torch.export",
        "torch.export(strict=True)",
        "torch.onnx TorchScript exporter",
    ]
    assert "branches on its data" in caught.value.blockers[-1].reason


def test_missing_operators_are_named_all_at_once() -> None:
    with torch.library._scoped_library("isthmus_test", "DEF") as library:
        library.define("twist(Tensor x) -> Tensor")
        library.impl("twist", lambda x: x.flip(0), "CompositeExplicitAutograd")
        torch.library.register_fake("isthmus_test::twist", torch.empty_like, lib=library)
        module = nn.Module()
        module.forward = lambda x: torch.ops.isthmus_test.twist(torch.special.i0(x)) + torch.polygamma(1, x)  # type: ignore[method-assign]
        with pytest.raises(Unsupported) as caught:
            read_torch(module, inputs=(torch.rand(2, 3),))
    names_of = {blocker.op for blocker in caught.value.blockers}
    assert {"isthmus_test.twist", "aten.polygamma"} <= names_of
    assert len(names_of) == 3


def test_the_road_of_last_resort_keeps_names_and_says_why(run: Callable[..., Any]) -> None:
    class Picky(Small):
        def forward(self, x: Tensor) -> Tensor:
            if float(x.abs().sum()) < 0:
                return x
            return super().forward(x)

    module, x = Picky().eval(), torch.randn(2, 3, 5, 5)
    hub = read_torch(module, inputs={"x": x}, dynamic_shapes={"x": {0: "batch"}})
    assert "TorchScript" in hub.road
    assert [note.topic for note in hub.notes] == ["road", "road"]
    assert str(hub.signature.inputs[0]) == "x: float32[batch, 3, 5, 5]"
    assert {"conv.weight", "norm.running_mean", "head.bias"} <= set(hub.graph.initializers)
    other = torch.randn(5, 3, 5, 5)
    with torch.no_grad():
        np.testing.assert_allclose(run(hub, other)[0], module(other).numpy(), rtol=1e-4, atol=1e-5)


def test_python_numbers_among_the_inputs_are_told(run: Callable[..., Any]) -> None:
    module = nn.Module()
    module.forward = lambda x, power: x**power  # type: ignore[method-assign]
    hub = read_torch(module, inputs=(torch.rand(2), 3))
    assert [spec.name for spec in hub.signature.inputs] == ["x"]
    assert any(note.topic == "input" and "power" in note.text for note in hub.notes)
    np.testing.assert_allclose(run(hub, torch.full((2,), 2.0))[0], [8.0, 8.0])


def test_hints_of_torch_export_are_free_dimensions() -> None:
    module = nn.Module()
    module.forward = lambda x, y: x.exp()[: x.shape[0]] + y  # type: ignore[method-assign]
    shapes = {"x": {0: Dim.AUTO, 1: Dim.STATIC}, "y": {0: Dim.DYNAMIC}}
    hub = read_torch(module, inputs=(torch.randn(4, 3), torch.randn(4, 3)), dynamic_shapes=shapes)
    assert hub.signature.inputs[0].shape == ("x_0", 3)
    assert isinstance(hub.signature.inputs[1].shape[0], str)


def test_complex_borders_are_refused() -> None:
    module = nn.Module()
    module.forward = lambda x: torch.complex(x, x)  # type: ignore[method-assign]
    with pytest.raises(Unsupported, match="complex"):
        read_torch(module, inputs=(torch.randn(2, 3),))


def test_buffers_that_forward_updates_are_told() -> None:
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.count += 1
            return x + self.count

    module = Counter()
    hub = read_torch(module, inputs=(torch.randn(2),))
    assert any(note.topic == "state" and "count" in note.text for note in hub.notes)
    assert module.count.item() == 0


def test_no_file_of_the_reader_catches_everything() -> None:
    folder = Path(__import__("isthmus.readers.torch", fromlist=["x"]).__file__).parent
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None
                assert getattr(node.type, "id", "") not in ("Exception", "BaseException")
