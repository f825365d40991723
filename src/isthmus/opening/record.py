"""What a SavedModel of Isthmus' own says of the model that it was converted from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isthmus.errors import InvalidModel
from isthmus.types import StoredWeight

_RECORD = "assets.extra/isthmus.json"


@dataclass(frozen=True)
class Stored:
    """A weight of that model. ``variable`` and ``nodes`` (``function/node``) hold it here, transposed by ``perm``.

    ``made_of`` tells how it was itself made of one of that model's, where its name alone does not. ``role`` is
    ``parameter`` or ``buffer``, or ``constant`` where it was no weight; ``copy_of`` names the weight that this is a
    further copy of, in another order of axes; ``key`` is its key in a PyTorch state dict, where it has another.
    """

    variable: str
    trainable: bool
    nodes: tuple[str, ...]
    perm: tuple[int, ...]
    source_shape: tuple[int, ...] | None
    made_of: StoredWeight | None = None
    role: str = ""
    copy_of: str = ""
    key: str = ""


@dataclass(frozen=True)
class Record:
    """Names of inputs and outputs in the order of that model, and its weights by name.

    ``keywords`` holds the inputs that a signature takes under another name, for TensorFlow cannot tell theirs from
    others'. ``scopes`` tells which module's operations stand in which scope, ``classes`` what each module is, and
    ``state`` as JSON what a PyTorch model has beside its graph.
    """

    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    keywords: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, Stored] = field(default_factory=dict)
    scopes: Mapping[str, str] = field(default_factory=dict)
    classes: Mapping[str, str] = field(default_factory=dict)
    state: str = ""


def record_of(folder: Path) -> Record:
    """The record in a SavedModel folder, empty where there is none. Raises InvalidModel where it is damaged."""
    try:
        found = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        return Record(
            tuple(str(name) for name in found.get("inputs", ())),
            tuple(str(name) for name in found.get("outputs", ())),
            {str(name): str(word) for name, word in found.get("keywords", {}).items()},
            {str(name): _stored(str(name), entry) for name, entry in found.get("weights", {}).items()},
            {str(scope): str(module) for scope, module in found.get("scopes", {}).items()},
            {str(module): str(kind) for module, kind in found.get("classes", {}).items()},
            str(found.get("state", "")),
        )
    except FileNotFoundError:
        return Record()
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidModel(f"{folder.name}/{_RECORD} is damaged: {error}") from error


def _stored(name: str, entry: Mapping[str, Any]) -> Stored:
    return Stored(
        variable=str(entry.get("variable", "")),
        trainable=bool(entry.get("trainable", False)),
        nodes=tuple(str(node) for node in entry.get("nodes", ())),
        perm=tuple(int(axis) for axis in entry.get("perm", ())),
        source_shape=tuple(int(size) for size in entry["source_shape"]) if "source_shape" in entry else None,
        made_of=_made_of(name, entry["made_of"]) if "made_of" in entry else None,
        role=str(entry.get("role", "")),
        copy_of=str(entry.get("copy_of", "")),
        key=str(entry.get("key", "")),
    )


def _made_of(name: str, told: Mapping[str, Any]) -> StoredWeight:
    lists = {key: tuple(int(part) for part in told[key]) for key in ("blocks", "perm", "shape") if key in told}
    return StoredWeight(key=name, **{**told, **lists})
