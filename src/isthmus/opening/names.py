"""Names for the leaves of nested inputs and outputs, and for free dimensions."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from isthmus.errors import UsageError
from isthmus.types import Dim

SERVING = "serving_default"

_COUNTED = re.compile(r"(.*?)(\d+)\Z")
_PLANES = {4: ("height", "width"), 5: ("depth", "height", "width")}
"""The free axes between batch and channels, by rank."""


def leaves(structure: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """A dotted name for every leaf, in TensorFlow's order: keys sorted. A lone leaf has the empty name."""
    items = _items(structure)
    if items is None:
        yield path, structure
        return
    for key, item in items:
        yield from leaves(item, f"{path}.{key}" if path else str(key))


def output_names(structure: Any) -> list[tuple[str, Any]]:
    """The tensors of what a function returned, by name: keys of dicts, ``output_0``, ``output_1``… otherwise."""
    named = isinstance(structure, Mapping) or hasattr(structure, "_fields")
    found = [(path if named else f"output_{path or 0}", leaf) for path, leaf in leaves(structure) if leaf is not None]
    return list(zip(distinct(name for name, _ in found), (leaf for _, leaf in found), strict=True))


def module_path(path: str) -> str:
    """``encoder/layer_._0/dense`` → ``encoder.layer.0.dense``: transformers writes ``_._`` for a place in a list."""
    return path.replace("_._", ".").replace("/", ".")


def distinct(names: Iterable[str]) -> list[str]:
    """The names, with a number where one comes again."""
    taken: set[str] = set()
    found = []
    for name in names:
        candidate, count = name, 0
        while candidate in taken:
            count += 1
            candidate = f"{name}_{count}"
        taken.add(candidate)
        found.append(candidate)
    return found


def ranked(names: Iterable[str], order: Sequence[str]) -> list[str]:
    """``names`` in the given order; where that is of other names, sorted, numbers by their value."""
    listed = list(names)
    return list(order) if set(order) == set(listed) else sorted(listed, key=counted)


def counted(name: str) -> tuple[str, int]:
    """A key that sorts ``output_10`` behind ``output_2``."""
    match = _COUNTED.match(name)
    return (match[1], int(match[2])) if match else (name, -1)


def signature_key(signatures: Collection[str], asked: str | None) -> str:
    """The signature to open: as asked, else ``serving_default``, else the only one; empty where nothing tells."""
    if asked:
        return asked
    if SERVING in signatures:
        return SERVING
    return next(iter(signatures)) if len(signatures) == 1 else ""


def no_signature(model: str, key: str, signatures: Sequence[str], functions: Sequence[str] = ()) -> UsageError:
    """The error that names what can be chosen."""
    offered = [f"signatures {', '.join(signatures)}"] if signatures else []
    offered += [f"functions {', '.join(functions)}"] if functions else []
    if key:
        told = f"{model} has no signature {key!r}"
    else:
        told = f"{model} has no {SERVING}" if signatures else f"{model} has no signature"
    if not offered:
        return UsageError(f"{told}, and no function at all")
    return UsageError(f"{told}; it has {' and '.join(offered)}", hint="choose one with --signature")


def dims_of(name: str, shape: Sequence[int | None] | None, *, alone: bool) -> tuple[Dim, ...] | None:
    """Names for the free dimensions of an input: ``batch`` comes first, images have a ``height`` and a ``width``.

    What is no batch is the input's own, and has its name before it unless it is ``alone``.
    """
    if shape is None:
        return None
    planes = _planes(shape)
    own = "" if alone else f"{name}_"
    return tuple(
        dim
        if dim is not None
        else "batch"
        if axis == 0
        else f"{own}{planes[axis]}"
        if axis in planes
        else f"{name}_dim_{axis}"
        for axis, dim in enumerate(shape)
    )


def _planes(shape: Sequence[int | None]) -> dict[int, str]:
    """The axes of an image by name: those between the batch and the channels, which alone are known."""
    names = _PLANES.get(len(shape), ())
    if not names or (shape[-1] is None) == (shape[1] is None):
        return {}
    first = 1 if shape[-1] is not None else 2
    return {first + place: name for place, name in enumerate(names)}


def _items(structure: Any) -> Sequence[tuple[Any, Any]] | None:
    """What a structure holds, by key, or None where it is a leaf."""
    if isinstance(structure, Mapping):
        return [(key, structure[key]) for key in sorted(structure)]
    if hasattr(structure, "_fields"):
        return [(key, getattr(structure, key)) for key in structure._fields]
    return list(enumerate(structure)) if isinstance(structure, (list, tuple)) else None
