"""What every test may use: small ONNX models, and the command line as a user calls it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says more of the machine than of the code.
settings.register_profile("isthmus", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("isthmus")

FRAMEWORKS = ("torch", "tensorflow", "onnxruntime")

LINEAR = """
<ir_version: 10, opset_import: ["" : 18]>
linear (float[batch, 3] x) => (float[batch, 2] y)
<float[3, 2] weight = {0.5, -1, 2, 0.25, -0.75, 1}, float[2] bias = {0.1, -0.2}>
{
   product = MatMul (x, weight)
   shifted = Add (product, bias)
   y = Relu (shifted)
}
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Pass over what needs a framework that is not installed: the suite runs with any subset."""
    for item in items:
        for framework in FRAMEWORKS:
            if item.get_closest_marker(framework) and importlib.util.find_spec(framework) is None:
                item.add_marker(pytest.mark.skip(reason=f"{framework} is not installed"))


@pytest.fixture
def linear(tmp_path: Path) -> Path:
    """A model of three nodes with a free batch."""
    path = tmp_path / "linear.onnx"
    onnx.save(onnx.parser.parse_model(LINEAR), path)
    return path


@pytest.fixture
def run_isthmus(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``isthmus`` in a process of its own, in an empty folder; ``without`` hides frameworks from it."""

    def run(*arguments: str | Path, without: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}
        if without:
            environment["PYTHONPATH"] = os.pathsep.join(
                [str(hiding(tmp_path, without)), os.environ.get("PYTHONPATH", "")]
            )
        command = [sys.executable, "-m", "isthmus", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300)

    return run


def hiding(folder: Path, frameworks: tuple[str, ...]) -> Path:
    """A folder whose ``sitecustomize`` makes Python find none of ``frameworks``."""
    home = folder / "hidden"
    home.mkdir(exist_ok=True)
    (home / "sitecustomize.py").write_text(
        "from importlib.machinery import PathFinder\n"
        "find = PathFinder.find_spec\n"
        f"hidden = {frameworks!r}\n"
        "def find_spec(name, path=None, target=None):\n"
        "    return None if name.split('.')[0] in hidden else find(name, path, target)\n"
        "PathFinder.find_spec = staticmethod(find_spec)\n"
    )
    return home
