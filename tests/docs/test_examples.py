"""Every example of the documentation runs as it stands."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
pytestmark = [pytest.mark.torch, pytest.mark.tensorflow, pytest.mark.onnxruntime]

BUILD = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3, 2)

    def forward(self, x):
        return self.conv(x).relu().mean((2, 3))

def build():
    return Net()
"""


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def run(command: list[str], folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(folder), "TF_CPP_MIN_LOG_LEVEL": "3", "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=lambda p: p.name)
def test_examples(page: Path, linear: Path, tmp_path: Path) -> None:
    """What a page has in Python, then what it has for the shell, in one folder."""
    program = "\n".join(blocks(page, "python"))
    run([sys.executable, "-c", program], tmp_path)
    _provide(linear, tmp_path)
    for block in blocks(page, "sh"):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0] == "isthmus":
                run([sys.executable, "-m", *words], tmp_path)


def _provide(linear: Path, folder: Path) -> None:
    """What the shell's examples take for given: a model, and a package that builds one."""
    import torch
    from safetensors.torch import save_file

    linear.rename(folder / "model.onnx")
    (folder / "package").mkdir()
    (folder / "package" / "module.py").write_text(BUILD)
    names = {}
    exec(BUILD, names)
    torch.manual_seed(0)
    save_file(names["build"]().state_dict(), folder / "weights.safetensors")
