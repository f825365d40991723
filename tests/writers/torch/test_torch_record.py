"""A recorded module: sizes stay on the host, layers are PyTorch's, weights keep their names and bits."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")

from isthmus.errors import Unsupported  # noqa: E402
from isthmus.readers.onnx import read_onnx  # noqa: E402
from isthmus.types import Options  # noqa: E402
from isthmus.writers.torch.export import exported  # noqa: E402
from isthmus.writers.torch.record import Recorded, record  # noqa: E402
from isthmus.writers.torch.source import source  # noqa: E402

pytestmark = pytest.mark.torch


def recorded(text: str, **weights: np.ndarray) -> Recorded:
    """A model in ONNX's text form, with further initializers."""
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 18]>\n{text}')
    model.graph.initializer.extend(onnx.numpy_helper.from_array(a, n) for n, a in weights.items())
    return record(read_onnx(model, options=Options(verify=False)))


FLAT = """net (float[n, c, 4] x) => (float[a, b] y, int64[1] s) <int64[1] zero = {0}, int64[1] rest = {-1}>
{
    shape = Shape (x)
    first = Gather <axis = 0> (shape, zero)
    second = Shape <start = 1, end = 2> (x)
    wide = Add (second, second)
    target = Concat <axis = 0> (first, rest)
    y = Reshape (x, target)
    s = Mul (wide, first)
}"""


@pytest.mark.parametrize("sizes", [(2, 3), (5, 1)])
def test_sizes_are_numbers_until_a_tensor_is_wanted(sizes: tuple[int, int]) -> None:
    made = recorded(FLAT)
    x = torch.randn(*sizes, 4)
    for way in (made.call, made.eager):
        outputs = way({"x": x})
        assert torch.equal(outputs["y"], x.reshape(sizes[0], -1))
        assert outputs["s"].tolist() == [2 * sizes[0] * sizes[1]]
    text = source(made)[0]
    assert "n = x.size(0)" in text and "x.reshape(n, -1)" in text
    assert text.count("torch.tensor(") == 1, "only what is an output is a tensor"


def test_free_dimensions_keep_their_names_in_a_program() -> None:
    program, notes = exported(recorded(FLAT))
    assert not notes
    assert {str(s) for s in program.range_constraints} and len(program.range_constraints) == 2
    x = torch.randn(7, 5, 4)
    assert program.module()(x)[0].shape == (7, 20)


def test_layers_are_made_of_weights_under_their_own_names() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(3, 4)).astype(np.float32)
    bias = rng.normal(size=4).astype(np.float32)
    made = recorded(
        "net (float[n, 3] x) => (float[n, 4] y) { p = MatMul (x, head_weight)\n y = Add (p, head_bias) }",
        head_weight=weight,
        head_bias=bias,
    )
    layer = next(m for m in made.module.modules() if isinstance(m, torch.nn.Linear))
    assert torch.equal(layer.weight, torch.from_numpy(weight.T))
    key, perm = made.stored["head_weight"].key, made.stored["head_weight"].perm
    assert perm == (1, 0) and torch.equal(made.module.state_dict()[key].permute(perm), torch.from_numpy(weight))
    assert all(p.requires_grad for p in made.module.parameters())


def test_a_padding_that_is_not_even_is_no_layer() -> None:
    weight = np.ones((1, 1, 3, 3), np.float32)
    text = "net (float[n, 1, 5, 5] x) => (float[n, 1, a, b] y) { y = Conv <pads = [0, 0, 1, 2]> (x, stem.weight) }"
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 18]>\n{text.replace("stem.weight", "w")}')
    model.graph.node[0].input[1] = "stem.weight"
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "stem.weight"))
    made = record(read_onnx(model, options=Options(verify=False)))
    assert not [m for m in made.module.modules() if isinstance(m, torch.nn.Conv2d)]
    assert list(made.module.state_dict()) == ["stem.weight"]
    assert made.call({"x": torch.ones(2, 1, 5, 5)})["y"].shape == (2, 1, 4, 5)


def test_types_that_pytorch_has_not_are_refused_together() -> None:
    with pytest.raises(Unsupported, match="no string tensors") as refusal:
        recorded(
            "net (string[n] x, string[n] z) => (string[n] y, string[n] w) { y = Identity (x) \n w = Identity (z) }"
        )
    assert len(refusal.value.blockers) == 4


def test_a_module_can_be_copied_and_trained() -> None:
    made = recorded(
        "net (float[n, 3] x) => (float[n, 2] y) { h = MatMul (x, w)\n y = Relu (h) }",
        w=np.full((3, 2), 0.1, np.float32),
    )
    module = copy.deepcopy(made.module)
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    x, losses = torch.ones(4, 3), []
    for _ in range(5):
        loss = ((module(x) - 1) ** 2).mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    compiled = torch.compile(made.module, backend="eager")
    assert torch.allclose(compiled(x), made.module(x))


@pytest.mark.parametrize("end", ["min", "max"])
def test_masks_are_filled_with_the_largest_numbers_there_are(end: str) -> None:
    """PyTorch takes the decimals that float32's largest number is usually written as for an overflow."""
    made = recorded(
        "net (float[n] x, bool[n] hidden) => (float[n] y) { y = Where (hidden, fill, x) }",
        fill=np.float32(getattr(np.finfo(np.float32), end)),
    )
    x, hidden = torch.randn(3), torch.tensor([True, False, True])
    wanted = torch.where(hidden, torch.tensor(getattr(torch.finfo(torch.float32), end)), x)
    assert torch.equal(made.module(x, hidden), wanted)
    assert f"torch.finfo(torch.float32).{end}" in source(made)[0]


def test_ranges_start_at_sizes() -> None:
    made = recorded(
        """net (float[n] x) => (int64[a] down, int64[b] up) <int64 one = {1}, int64 back = {-1}>
        {
            sizes = Shape (x)
            n = Squeeze (sizes)
            end = Neg (n)
            twice = Add (n, n)
            down = Range (n, end, back)
            up = Range (n, twice, one)
        }"""
    )
    program, _ = exported(made)
    for n in (3, 6):
        for down, up in (made.module(torch.zeros(n)), program.module()(torch.zeros(n))):
            assert down.tolist() == list(range(n, -n, -1)) and up.tolist() == list(range(n, 2 * n))


@pytest.mark.parametrize("training", [0, 1])
def test_a_gradient_goes_through_moments_that_are_computed(training: int) -> None:
    """Those of standardized filters; PyTorch's own batch norm has no gradient for its moments."""
    made = recorded(
        f"""net (float[2, 3, 4] x) => (float[2, 3, 4] y) <float[3] one = {{1.0, 2.0, 3.0}}, int64[2] at = {{0, 2}}>
        {{
            w = Mul (x, weight)
            m = ReduceMean <keepdims = 0> (w, at)
            v = ReduceSumSquare <keepdims = 0> (w, at)
            y = BatchNormalization <training_mode = {training}> (w, one, one, m, v)
        }}""",
        weight=np.linspace(0.5, 2, 12, dtype=np.float32).reshape(3, 4),
    )
    x, scale = torch.randn(2, 3, 4), torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1)
    weight = made.module.get_parameter("weight")
    w = weight.detach().clone().requires_grad_()
    moved = x * w
    mean, square = moved.mean((0, 2), keepdim=True), moved.square().sum((0, 2), keepdim=True)
    square = moved.var((0, 2), correction=0, keepdim=True) if training else square
    wanted = (moved - mean) / torch.sqrt(square + 1e-5) * scale + scale
    got = made.module(x)
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)
    cotangent = torch.randn(2, 3, 4)
    (got * cotangent).sum().backward()
    (wanted * cotangent).sum().backward()
    torch.testing.assert_close(weight.grad, w.grad, rtol=1e-4, atol=1e-5)
