"""Python objects that a user names as ``package.module:name``: imported because the user says so."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from isthmus.errors import FrameworkMissing, UsageError

_FRAMEWORKS = ("torch", "tensorflow", "keras", "tf_keras")


def named_object(text: str) -> Any:
    """The object. The working directory is searched as ``python -m`` would.

    Raises errors.UsageError where the name is none, or cannot be imported; errors.FrameworkMissing where that is for
    want of a framework.
    """
    module, colon, name = text.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
        raise UsageError(f"{text!r} names nothing that can be imported", hint="write package.module:Name")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
    except ImportError as error:
        if error.name in _FRAMEWORKS and error.name != module:
            raise FrameworkMissing(error.name, f"{module} imports it") from error
        raise UsageError(f"cannot import {module}: {error}") from error
    finally:
        sys.path.remove(here)
    for part in name.split("."):
        if not hasattr(found, part):
            raise UsageError(f"{module} has no {name}")
        found = getattr(found, part)
    return found
