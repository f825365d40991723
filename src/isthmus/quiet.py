"""Importing TensorFlow without what it says of itself to standard error before its logging can be set up."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from types import ModuleType

_NOISE = ("absl::InitializeLog()", "oneDNN custom operations are on", "computation_placer")


def import_tensorflow() -> ModuleType:
    """``tensorflow``, imported now if it was not; what its C++ prints meanwhile is passed on without the known noise.

    Raises ImportError as the import does.
    """
    if "tensorflow" in sys.modules:
        return sys.modules["tensorflow"]
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            return importlib.import_module("tensorflow")
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            said.seek(0)
            lines = said.read().decode(errors="replace").splitlines(keepends=True)
            sys.stderr.write("".join(line for line in lines if not any(noise in line for noise in _NOISE)))
