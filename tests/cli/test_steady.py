"""The same source gives the same files, whatever process converts it, and whatever that did before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.tensorflow, pytest.mark.torch]

MAKE = """
import keras
x = keras.Input((5, 3), name="x")
other = keras.Input((4,), name="other")
both = keras.layers.Concatenate()([keras.layers.GRU(4, name="gru")(x), other])
net = keras.Model([x, other], [keras.layers.Dense(2, name="head")(both), keras.layers.LayerNormalization()(both)])
net.save("net.keras")
net.export("net", verbose=False)
"""
CONVERT = """
import sys
from isthmus.cli.main import main
sources = ["net.keras", "net"]
for source in sources if sys.argv[2] == "0" else sources[::-1]:
    for suffix in (".onnx", ".py", ""):
        line = ["convert", source, f"{sys.argv[1]}/{source.replace('.', '_')}{suffix}", "--no-verify", "-q"]
        assert main(line) == 0
"""


def python(program: str, folder: Path, seed: str, *arguments: str) -> None:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONHASHSEED": seed}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def content(path: Path) -> object:
    if not path.name.endswith(".isthmus.json"):
        return path.read_bytes()
    report = json.loads(path.read_text())
    return {**report, "ledger": [{**change, "seconds": 0} for change in report["ledger"]]}


def test_files_are_the_same_each_time(tmp_path: Path) -> None:
    python(MAKE, tmp_path, "0")
    for place in ("0", "1"):
        (tmp_path / place).mkdir()
        python(CONVERT, tmp_path, place, place, place)
    first, second = (sorted(p for p in (tmp_path / place).rglob("*") if p.is_file()) for place in ("0", "1"))
    assert [p.name for p in first] == [p.name for p in second]
    assert len(first) > 12
    for one, other in zip(first, second, strict=True):
        assert content(one) == content(other), one.name
