"""The printed source of nets as people write them: what it looks like, what it passes, what it keeps."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import person_nets  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.utils import _pytree as pytree  # noqa: E402

from isthmus.readers.onnx import read_onnx  # noqa: E402
from isthmus.readers.torch import read_torch  # noqa: E402
from isthmus.types import Options  # noqa: E402
from isthmus.writers.onnx import write_onnx  # noqa: E402
from isthmus.writers.torch.source import write_python  # noqa: E402

pytestmark = pytest.mark.torch

ROOT = Path(__file__).parents[3]
OPTIONS = Options(verify=False)


@dataclass(frozen=True)
class Person:
    """A net, its inputs, how long its source may be, and what one must read in it."""

    make: Callable[[], nn.Module]
    inputs: Callable[[], tuple[Tensor, ...]]
    longest: int
    reads: tuple[str, ...]
    free: tuple[Mapping[int, str], ...] = ({0: "batch"},)


def image(size: int) -> Callable[[], tuple[Tensor, ...]]:
    return lambda: (torch.randn(2, 3, size, size),)


def tokens() -> tuple[Tensor, ...]:
    return (torch.randint(0, 40, (2, 6)),)


TEXT = ({0: "batch", 1: "time"},)
NETS: Mapping[str, Person] = {
    "resnet18": Person(
        person_nets.ResNet18,
        image(64),
        95,
        (
            "class ResNet18(nn.Module):",
            "self.layer1 = nn.Sequential(BasicBlock(64), BasicBlock(64))",
            "return self.fc(x.flatten(1))",
        ),
    ),
    "mobilenet": Person(
        person_nets.MobileNetV2,
        image(32),
        120,
        (
            "class ConvNormActivation(nn.Sequential):",
            "padding=kernel // 2,",
            "self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(64, 10))",
            "x = torch.mean(self.features(x), dim=[2, 3], keepdim=True)",
        ),
    ),
    "efficientnet": Person(
        person_nets.EfficientNet, image(32), 125, ("class SqueezeExcitation(nn.Module):", "nn.Sequential(MBConv(")
    ),
    "unet": Person(
        person_nets.UNet,
        image(32),
        90,
        ("def forward(self, x: Tensor, y: Tensor) -> Tensor:", "return self.conv(torch.cat((y, self.up(x)), dim=1))"),
    ),
    "vit": Person(
        person_nets.ViT,
        image(16),
        80,
        (
            "self.layers = nn.Sequential(*(EncoderBlock() for _ in range(3)))",
            "nn.MultiheadAttention(32, 4, dropout=0.1, batch_first=True)",
            "return self.heads(x[:, 0])",
        ),
    ),
    "gpt": Person(
        person_nets.GPT,
        tokens,
        115,
        (
            '"h": nn.ModuleList(GPTBlock() for _ in range(3)),',
            'in self.transformer["h"].children():',
            ".split(32, 2)",
            "time = x.size(1)",
            "self.bias[:, :, :time, :time]",
            "F.scaled_dot_product_attention(",
        ),
        TEXT,
    ),
    "tagger": Person(
        person_nets.Tagger,
        tokens,
        50,
        ("nn.LSTM(12, 8, num_layers=2, batch_first=True, dropout=0.3, bidirectional=True)",),
        TEXT,
    ),
    "bert": Person(
        person_nets.Bert,
        lambda: (*tokens(), torch.ones(2, 6, dtype=torch.int64)),
        120,
        (
            "self.self = BertSelfAttention()",
            "self.layer = nn.ModuleList(BertLayer() for _ in range(3))",
            "for layer in self.layer:\n            y = layer(y, x)",
            "torch.arange(24).reshape(1, 24), persistent=False",
            "* torch.finfo(torch.float32).min",
        ),
        TEXT * 2,
    ),
}


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[nn.Module, nn.Module, Path]]:
    """A net, what it is after a file, and the file of its source; made once."""
    made: dict[str, tuple[nn.Module, nn.Module, Path]] = {}
    folder = tmp_path_factory.mktemp("printed")

    def of(name: str) -> tuple[nn.Module, nn.Module, Path]:
        if name not in made:
            torch.manual_seed(0)
            case = NETS[name]
            net, path = case.make().eval(), folder / f"{name}.onnx"
            write_onnx(read_torch(net, inputs=case.inputs(), dynamic_shapes=case.free, options=OPTIONS), path)
            source = folder / f"{name}_net.py"
            made[name] = (net, write_python(read_onnx(path, options=OPTIONS), source).module, source)
        return made[name]

    return of


@pytest.mark.parametrize("name", NETS)
def test_it_reads_as_a_person_writes(name: str, printed: Callable[[str], tuple[nn.Module, nn.Module, Path]]) -> None:
    net, back, path = printed(name)
    text, case = path.read_text(), NETS[name]
    assert len(text.splitlines()) <= case.longest
    for words in case.reads:
        assert words in text
    assert not re.search(r"^ +\w+_\d+ = ", text, re.M), "no numbered results"
    for command in (
        ["check", "--isolated"],
        ["check", "--config", str(ROOT / "pyproject.toml")],
        ["format", "--check", "--isolated", "--line-length", "100"],
    ):
        subprocess.run([sys.executable, "-m", "ruff", *command, "--no-cache", "-q", str(path)], check=True)
    space = {"__name__": path.stem, "__file__": str(path)}
    exec(compile(text, str(path), "exec"), space)
    made = space["load_model"]()
    assert list(made.state_dict()) == list(back.state_dict()) and set(made.state_dict()) == set(net.state_dict())
    assert all(torch.equal(tensor, made.state_dict()[key]) for key, tensor in net.state_dict().items())
    assert {name for name, _ in made.named_modules()} == {name for name, _ in net.named_modules()}
    inputs = case.inputs()
    with torch.no_grad():
        expected = pytree.tree_leaves(net(*inputs))
        for one in (made, back):
            for a, b in zip(pytree.tree_leaves(one(*inputs)), expected, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_type_checkers_are_content(printed: Callable[[str], tuple[nn.Module, nn.Module, Path]]) -> None:
    paths = [printed(name)[2] for name in NETS]
    command = [sys.executable, "-m", "mypy", "--strict", *(path.name for path in paths)]
    subprocess.run(command, check=True, cwd=paths[0].parent)


def test_the_page_shows_what_is_written(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "pytorch.md").read_text()
    shown = re.search(r"<!-- by isthmus -->\n```py\n(.*?)```", page, re.S)
    assert shown
    net = person_nets.ResNet18().eval()
    write_onnx(
        read_torch(net, inputs=(torch.randn(2, 3, 64, 64),), dynamic_shapes=({0: "batch"},), options=OPTIONS),
        tmp_path / "resnet18.onnx",
    )
    write_python(read_onnx(tmp_path / "resnet18.onnx", options=OPTIONS), tmp_path / "resnet18_source.py")
    assert (tmp_path / "resnet18_source.py").read_text() == shown[1]
    assert len(shown[1].splitlines()) < 200


@pytest.mark.parametrize("name", ["bert", "tagger", "resnet18"])
@pytest.mark.filterwarnings("ignore")
def test_files_of_the_torchscript_exporter_get_their_keys_back(name: str, tmp_path: Path) -> None:
    """It calls the weights that it transposes, reorders or folds others into ``onnx::MatMul_123``."""
    torch.manual_seed(0)
    case = NETS[name]
    net = (person_nets.ResNet18(8, 10) if name == "resnet18" else case.make()).eval()
    with torch.no_grad():
        for parameter in net.parameters():  # the exporter makes one of equal ones
            parameter.add_(0.1 * torch.randn_like(parameter))
    torch.onnx.export(net, case.inputs(), str(tmp_path / "net.onnx"), dynamo=False)
    recorded = write_python(read_onnx(tmp_path / "net.onnx", options=OPTIONS), tmp_path / "net.py")
    before, after = net.state_dict(), recorded.module.state_dict()
    if name == "resnet18":  # batch norms are in the convolutions, which got biases
        convolutions = {path for path, part in net.named_modules() if isinstance(part, nn.Conv2d)}
        assert {key.rpartition(".")[0] for key in after} == {*convolutions, "fc"}
        (note,) = [note for note in recorded.hub.notes if note.topic == "training"]
        assert "no normalization comes back" in note.text
    else:
        assert set(before) == set(after)
        assert all(torch.equal(tensor, after[key]) for key, tensor in before.items())
    inputs = case.inputs()
    with torch.no_grad():
        pairs = zip(*(pytree.tree_leaves(one(*inputs)) for one in (net, recorded.module)), strict=True)
        for expected, got in pairs:
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
