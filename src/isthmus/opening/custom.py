"""Custom objects of Keras that the user names as ``package.module:Name``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from isthmus.opening.named import named_object

NAME_THEM = "name each with --custom-objects package.module:Name"


def custom_objects(names: Sequence[str]) -> dict[str, Any]:
    """The classes and functions by their own names. Raises errors.UsageError where one cannot be imported."""
    found = {text: named_object(text) for text in names}
    return {getattr(thing, "__name__", text.rpartition(":")[2]): thing for text, thing in found.items()}
