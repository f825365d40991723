"""The same weights, the same file: safetensors' metadata in order."""

from __future__ import annotations

import json
from pathlib import Path

_LENGTH = 8
"""Bytes before the header that hold its length."""


def sort_metadata(path: Path) -> None:
    """Put the entries of a ``.safetensors`` file's metadata in order: its library writes them in a random one.

    Nothing else changes, not even a byte's place. A header that Python would spell longer is left as it is.
    """
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(_LENGTH), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        if len(text) <= size:
            file.seek(_LENGTH)
            file.write(text.ljust(size))
