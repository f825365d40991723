"""A module on disk that worker processes can import: factories of small PyTorch models, some of them ill-bred."""

from __future__ import annotations

from pathlib import Path

import pytest

FACTORIES = '''
import os, signal, sys, time
import torch
from torch import nn


class Loud(nn.Module):
    """Prints on every channel and reads standard input before it answers."""

    def forward(self, x):
        print('{"result": "forged"}', flush=True)
        os.write(1, b"written past Python\\n")
        sys.stdin.read()
        return {"double": x * 2, "parts": [x + 1, x > 0]}


class Doomed(nn.Module):
    def forward(self, x):
        sys.stderr.write("last words\\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)


class Leaving(nn.Module):
    def forward(self, x):
        sys.exit(17)


class Slow(nn.Module):
    def forward(self, x):
        time.sleep(60)
        return x


class Halves(nn.Module):
    """Takes even lengths only, and changes its input in place."""

    def forward(self, x):
        x.mul_(2)
        return x.reshape(x.shape[0], 2, -1)


def linear():
    torch.manual_seed(0)
    return nn.Linear(3, 2)


def not_a_module():
    return 3
'''


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the module, importable here and in the workers."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "ill_bred.py").write_text(FACTORIES, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    return "ill_bred"
