"""What Isthmus wrote for PyTorch, judged as files: under the source's names, and refused where it is damaged."""

from __future__ import annotations

import importlib
import json
import os
import sys
import zipfile
from pathlib import Path

import judged_nets as nets
import numpy as np
import pytest

import isthmus
from isthmus.cli.main import main
from isthmus.errors import InvalidModel
from isthmus.types import Options, TensorSpec
from isthmus.verify.runners.process import ProcessRunner
from isthmus.verify.runners.torch_files import from_factory, from_file

pytestmark = [pytest.mark.torch, pytest.mark.onnxruntime]
pytest.importorskip("torch")
pytest.importorskip("safetensors")

QUIET = Options(verify=False)
HOSTILE = (
    "g (float[n, 3] in_0, float[n, 3] class) => (float[n, 2] self, float[n, 3] None) "
    "<float[3, 2] w = {1, 2, 3, 4, 5, 6}> { None = Add(in_0, class)  self = MatMul(None, w) }"
)


def written(tmp_path: Path, name: str, text: str = HOSTILE) -> tuple[Path, Path]:
    """A model with names that no Python has, and what it became."""
    source = Path(nets.save(tmp_path / "m.onnx", text))
    isthmus.convert(source, tmp_path / name, options=QUIET)
    return source, tmp_path / name


@pytest.mark.parametrize("name", ["net.py", "net.pt2"])
def test_a_written_file_answers_by_the_names_of_its_source(name: str, tmp_path: Path, capsys) -> None:
    source, target = written(tmp_path, name)
    assert main(["verify", str(source), str(target), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["agrees"] and [entry["output"] for entry in told["comparisons"]] == ["self", "None"]


def test_two_written_files_are_judged_without_their_source(tmp_path: Path) -> None:
    _, one = written(tmp_path, "net.py")
    _, other = written(tmp_path, "net.pt2", HOSTILE.replace("Add", "Sub"))
    verdict = isthmus.verify(one, other)
    assert not verdict and [c.grade for c in verdict.comparisons] == ["wrong", "wrong"]


def test_weights_that_were_saved_anew_need_no_record(tmp_path: Path) -> None:
    """As after training: the file then tells nothing of its source, and the names stand in the Python source."""
    from safetensors.torch import load_file, save_file

    source, target = written(tmp_path, "net.py")
    save_file(load_file(tmp_path / "net.safetensors"), tmp_path / "net.safetensors")
    assert isthmus.verify(source, target)


def opened(path: Path) -> None:
    import torch

    from_file(torch, path)


def test_python_of_others_is_refused_and_not_run(tmp_path: Path, capsys) -> None:
    path = tmp_path / "other.py"
    path.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef load_model(): pass\n", encoding="utf-8")
    assert main(["verify", nets.scale(tmp_path / "m.onnx"), str(path)]) == 2
    assert "no model that Isthmus wrote: it defines no INPUTS, OUTPUTS" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()
    path.write_text("def load_model(:", encoding="utf-8")
    with pytest.raises(InvalidModel, match=r"other\.py is no Python source"):
        opened(path)


def test_python_is_no_source_of_a_conversion(tmp_path: Path, capsys) -> None:
    (tmp_path / "net.py").write_text("INPUTS = ()", encoding="utf-8")
    assert main(["convert", str(tmp_path / "net.py"), str(tmp_path / "again.onnx")]) == 2
    assert "net:load_model" in capsys.readouterr().err


def test_weights_that_are_absent_damaged_or_anothers_are_named(tmp_path: Path, capsys) -> None:
    from safetensors.torch import save_file
    from torch import ones

    source, target = written(tmp_path, "net.py")
    weights = tmp_path / "net.safetensors"
    content = weights.read_bytes()
    weights.unlink()
    assert main(["verify", str(source), str(target)]) == 2
    assert "net.py has no net.safetensors beside it" in capsys.readouterr().err
    weights.write_bytes(content[:-4])
    with pytest.raises(InvalidModel, match=r"net\.safetensors cannot be read as safetensors"):
        opened(target)
    for others in ({"w": ones(2, 2)}, {"v": ones(3, 2)}):
        save_file(others, weights)
        with pytest.raises(InvalidModel, match=r"net\.safetensors does not fit net\.py"):
            opened(target)


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    _, target = written(tmp_path, "net.py")
    weights = tmp_path / "net.safetensors"
    for told in ("{", "[]", '{"weights": []}', '{"weights": [{}], "signature": {}}'):
        save_file(load_file(weights), weights, metadata={"isthmus.json": told})
        with pytest.raises(InvalidModel, match=r"net\.safetensors: what it tells of its source is damaged"):
            opened(target)


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.path}",)


def test_a_program_that_would_run_code_is_not_judged(tmp_path: Path, capsys) -> None:
    import torch

    source, target = written(tmp_path, "net.pt2")
    torch.save(Payload(tmp_path / "ran"), tmp_path / "part.pt")
    hostile = tmp_path / "hostile.pt2"
    with zipfile.ZipFile(target) as archive, zipfile.ZipFile(hostile, "w") as made:
        for member in archive.infolist():
            made.writestr(member, archive.read(member))
        folder = archive.namelist()[0].partition("/")[0]
        made.write(tmp_path / "part.pt", f"{folder}/data/weights/part.pt")
    assert main(["verify", str(source), str(hostile)]) == 6
    error = capsys.readouterr().err
    assert "system" in error and "--trust-pickle" in error
    assert main(["verify", str(hostile), str(source)]) == 6
    assert not (tmp_path / "ran").exists()


def test_values_are_those_of_the_source(tmp_path: Path) -> None:
    _, target = written(tmp_path, "net.py")
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    with ProcessRunner("torch", str(target)) as runner:
        assert runner.signature.inputs[1] == TensorSpec("class", "float32", ("n", 3))
        made = runner.run({"in_0": x, "class": x})
    assert np.array_equal(made["self"], (2 * x) @ np.arange(1, 7, dtype=np.float32).reshape(3, 2))
    assert not (tmp_path / "__pycache__").exists()


@pytest.mark.parametrize("name", ["net", "Nets.build", "program"])
def test_what_a_name_stands_for_is_the_same_for_the_judge(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module of a file, a factory in a class whose weights are random, an exported program."""
    import torch

    from isthmus.readers.torch.sources import open_source

    (tmp_path / "named_nets.py").write_text(
        "import torch\n"
        "net = torch.nn.Linear(3, 4)\n"
        "class Nets:\n"
        "    build = staticmethod(lambda: torch.nn.Linear(3, 4))\n"
        "program = torch.export.export(net, (torch.zeros(2, 3),))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "named_nets", raising=False)
    importlib.import_module("named_nets")
    before = torch.get_rng_state()
    read = open_source(f"named_nets:{name}", QUIET, None).thing
    assert torch.equal(before, torch.get_rng_state())
    judged = from_factory(torch, f"named_nets:{name}", None, False)
    for made in (read, judged):
        assert isinstance(made, torch.export.ExportedProgram if name == "program" else torch.nn.Linear)
    states = [dict(made.state_dict if name == "program" else made.state_dict()) for made in (read, judged)]
    assert all(torch.equal(tensor, states[1][key]) for key, tensor in states[0].items())
