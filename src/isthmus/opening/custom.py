"""Custom objects that the user names as ``module:name``: their module is imported because the user says so."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isthmus.errors import UsageError


def custom_objects(names: Sequence[str]) -> dict[str, Any]:
    """The classes and functions by their own names. The working directory is searched as ``python -m`` would.

    Raises errors.UsageError where one cannot be imported.
    """
    found: dict[str, Any] = {}
    for text in names:
        module, colon, name = text.partition(":")
        if not colon or not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
            raise UsageError(f"{text!r} names no custom object", hint="write package.module:Name")
        thing = _imported(module)
        for part in name.split("."):
            if not hasattr(thing, part):
                raise UsageError(f"{module} has no {name}")
            thing = getattr(thing, part)
        found[getattr(thing, "__name__", name)] = thing
    return found


def _imported(module: str) -> Any:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(f"cannot import {module}: {error}") from error
    finally:
        sys.path.remove(here)
