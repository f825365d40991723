"""More than two gigabytes of weights: written, within the memory promised, and loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "big_saved_model.py"
GIGABYTES = 2.3


@pytest.mark.parametrize("build", [[], ["--trainable"]], ids=["inference", "trainable"])
def test_writing_holds_at_most_three_times_the_weights(build: list[str]) -> None:
    command = [sys.executable, str(SCRIPT), "--gigabytes", str(GIGABYTES), *build]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=900)
    measured = {line.partition(" ")[0]: json.loads(line.partition(" ")[2]) for line in done.stdout.splitlines()}
    held = measured["write"]["peak_gb"] - measured["none"]["peak_gb"]
    assert GIGABYTES < held < 3 * GIGABYTES
    assert measured["files"]["variables.data-00000-of-00001"] > 2
    assert measured["load"]["call_ms"] > 0
